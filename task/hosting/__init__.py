"""What this process stands on: its server, its siblings, its threads, its files, its zone data."""

from task.hosting.reloader import mark_running, reloader_twin
from task.hosting.servers import Server, find_server
from task.hosting.source_files import SourceFiles
from task.hosting.threads import Room, thread_room
from task.hosting.zones import ZoneData, names_no_zone, zone_data

__all__ = [
    "Room",
    "Server",
    "SourceFiles",
    "ZoneData",
    "find_server",
    "mark_running",
    "names_no_zone",
    "reloader_twin",
    "thread_room",
    "zone_data",
]
