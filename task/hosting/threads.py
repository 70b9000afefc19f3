"""How many threads there may be here, and how many there are."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Room", "thread_room"]


class Room(NamedTuple):
    """What is used of a bound on threads."""

    #: What sets it: ``its control group (pids.max)`` …
    bound: str
    used: int
    limit: int

    @property
    def share(self) -> float:
        """What is used of it, from 0 to 1."""
        return self.used / self.limit


def thread_room() -> Room | None:
    """The bound that is nearest; None where none is known."""
    return max(_rooms(), key=lambda room: room.share, default=None)


def _rooms() -> Iterator[Room]:
    own = threading.active_count()
    for bound, used, limit in (_of_control_group(), _of_user()):
        if limit:
            yield Room(bound, max(used, own), limit)


def _of_control_group() -> tuple[str, int, int]:
    """Its own, and those that it is in: whichever is nearest."""
    name = "its control group (pids.max)"
    nearest = 0, 0
    for folder in _control_groups():
        used, limit = _number(folder / "pids.current"), _number(folder / "pids.max")
        if limit and (not nearest[1] or used / limit > nearest[0] / nearest[1]):
            nearest = used, limit
    return name, *nearest


def _control_groups() -> Iterator[Path]:
    from pathlib import Path  # the core does without it

    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if not kinds or "pids" in kinds.split(","):
            root = Path("/sys/fs/cgroup") / ("pids" if kinds else "")
            place = root / path.strip("/")
            yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(root))


def _of_user() -> tuple[str, int, int]:
    """The user's: it binds nobody who is root."""
    name = "its user (ulimit -u)"
    try:
        import resource  # not on Windows
    except ImportError:
        return name, 0, 0
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if limit == resource.RLIM_INFINITY or os.geteuid() == 0:
        return name, 0, 0
    return name, _threads_of_user(os.getuid()), limit


def _threads_of_user(uid: int) -> int:
    total = 0
    try:
        processes = os.listdir("/proc")
    except OSError:  # this is no Linux: those of this process have to do
        return 0
    for process in filter(str.isdigit, processes):
        try:
            if os.stat(f"/proc/{process}").st_uid == uid:
                total += len(os.listdir(f"/proc/{process}/task"))
        except OSError:  # it has ended
            continue
    return total


def _number(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.isdigit() else 0  # "max": there is no bound


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
