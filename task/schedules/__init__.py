"""When: the schedules, and the pure function that says when each is due.

A schedule is a `schedule.Job`. This package is the only one that knows how `schedule` and croniter
keep theirs.
"""

from schedule import CancelJob

from task.schedules.cron import CronJob, cron
from task.schedules.every import Job, every
from task.schedules.live import LiveJob, cadence, live_copy, same_schedule, started
from task.schedules.once import OnceJob, once
from task.schedules.reading import schedule_from_words
from task.schedules.slots import (
    check_interval,
    check_job,
    first_from,
    follows_elapsed_time,
    is_random,
    newest_slot,
    next_slot,
    plan,
)
from task.schedules.timetable import Due, Line, Misfire, Missed, Timetable, walk
from task.schedules.walltime import UTC, Zone, resolve_zone, shorten, to_moment, to_wall, zone_name
from task.schedules.words import identity, needs_zone, words

__all__ = [
    "UTC",
    "CancelJob",
    "CronJob",
    "Due",
    "Job",
    "Line",
    "LiveJob",
    "Misfire",
    "Missed",
    "OnceJob",
    "Timetable",
    "Zone",
    "cadence",
    "check_interval",
    "check_job",
    "cron",
    "every",
    "first_from",
    "follows_elapsed_time",
    "identity",
    "is_random",
    "live_copy",
    "needs_zone",
    "newest_slot",
    "next_slot",
    "once",
    "plan",
    "resolve_zone",
    "same_schedule",
    "schedule_from_words",
    "shorten",
    "started",
    "to_moment",
    "to_wall",
    "walk",
    "words",
    "zone_name",
]
