"""A second opinion on slots: walk over UTC minute by minute and look at what the zone's clock shows.

It shares no code with `task.schedules`. The rule, in the plainest form that can be executed:

* a *named* schedule (a cron without a leading ``*`` in minute and hour, ``.day.at()``, days, weeks) is
  due when the clock reaches a wall time for the first time. A minute that the clock jumps over is
  reached with the jump; a minute that it shows again was reached before.
* a *shown* schedule (a cron with a leading ``*`` in minute or hour, ``.hour.at()``) is due whenever the
  clock shows a wall time that it means.
* an *interval* is due whenever so many minutes have passed since its anchor.

Moments are whole minutes since 1970 in UTC, wall minutes the same plus the zone's offset. A schedule is
written in words, such as ``cron 30 2 * * *``, ``every 2 days at 02:30`` or ``every sunday at 02:30``.
"""

import datetime
import functools
import json
import pathlib
import zoneinfo

import schedule

from task.schedules import cron, every

UTC = datetime.UTC
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = datetime.timedelta(minutes=1)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

#: A year of each zone that holds all its kinds of change. Apia skipped the whole of 30 December 2011.
YEARS = {
    "Europe/Amsterdam": 2025,
    "America/New_York": 2025,
    "Australia/Lord_Howe": 2025,
    "Asia/Beirut": 2025,
    "America/Santiago": 2025,
    "Europe/Dublin": 2025,
    "Africa/Casablanca": 2025,
    "Pacific/Apia": 2011,
}

#: The nights of the golden rows: the zone, what happens, the day, and a wall time that it touches.
NIGHTS = [
    ("Europe/Amsterdam", "gap", "2025-03-30", "02:30"),
    ("Europe/Amsterdam", "overlap", "2025-10-26", "02:30"),
    ("America/New_York", "gap", "2025-03-09", "02:30"),
    ("America/New_York", "overlap", "2025-11-02", "01:30"),
    ("Australia/Lord_Howe", "gap", "2025-10-05", "02:10"),
    ("Australia/Lord_Howe", "overlap", "2025-04-06", "01:40"),
    ("Asia/Beirut", "gap", "2025-03-30", "00:30"),
    ("Asia/Beirut", "overlap", "2025-10-25", "23:30"),
    ("America/Santiago", "gap", "2025-09-07", "00:30"),
    ("America/Santiago", "overlap", "2025-04-05", "23:30"),
    ("Europe/Dublin", "gap", "2025-03-30", "01:30"),
    ("Europe/Dublin", "overlap", "2025-10-26", "01:30"),
    ("Africa/Casablanca", "gap", "2025-04-06", "02:30"),
    ("Africa/Casablanca", "overlap", "2025-02-23", "02:30"),
    ("Pacific/Apia", "gap", "2011-09-24", "03:30"),
    ("Pacific/Apia", "overlap", "2011-04-02", "03:30"),
    ("Pacific/Apia", "skipped day", "2011-12-30", "12:30"),
]

#: Each kind of schedule, and how many hours before and after the change its row shows.
KINDS = {
    "cron {m} {h} * * *": (30, 54),
    "cron {m},50 {h} * * *": (30, 54),
    "cron */20 * * * *": (2, 2),
    "cron */20 {h} * * *": (30, 54),
    "cron {m} * * * *": (3, 3),
    "cron {m} */2 * * *": (5, 5),
    "every day at {h}:{m}": (30, 54),
    "every {weekday} at {h}:{m}": (192, 192),
    "every hour at {m}:00": (3, 3),
    "every 3 hours at {m}:00": (7, 7),
    "every 20 minutes": (2, 2),
    "every 3 hours": (7, 7),
    "every 5400 seconds": (4, 4),
    "every 2 days": (72, 120),
}

GOLDEN = pathlib.Path(__file__).with_name("dst_golden.json")


def minute_of(moment: datetime.datetime) -> int:
    return (moment - EPOCH) // MINUTE


def moment_of(minute: int) -> datetime.datetime:
    return EPOCH + minute * MINUTE


@functools.lru_cache(maxsize=16)
def offsets(zone: str, start: int, end: int) -> list[int]:
    """The offset in minutes at every minute of ``[start, end)``. Between two equal hours it is equal."""
    info = zoneinfo.ZoneInfo(zone)

    def at(minute: int) -> int:
        return moment_of(minute).astimezone(info).utcoffset() // MINUTE

    found: list[int] = []
    for hour in range(start, end, 60):
        stop = min(hour + 60, end)
        first, last = at(hour), at(stop)
        found += [first] * (stop - hour) if first == last else [at(minute) for minute in range(hour, stop)]
    return found


def changes(zone: str, year: int) -> list[tuple[int, int, int]]:
    """Each change of the zone in a year: its minute, the offset before and the offset after."""
    start = minute_of(datetime.datetime(year, 1, 1, tzinfo=UTC))
    found = offsets(zone, start, start + 366 * 1440)
    return [(start + i, found[i - 1], found[i]) for i in range(1, len(found)) if found[i] != found[i - 1]]


def build(words: str, zone: str) -> schedule.Job:
    """The Job that the words mean, in the zone, also where ``.at()`` gives no way to name one."""
    if words.startswith("cron "):
        return cron(words.removeprefix("cron "), tz=zone)
    head, _, time = words.removeprefix("every ").partition(" at ")
    count, _, unit = head.rpartition(" ")
    job = getattr(every(int(count or 1)), unit)
    if time:
        job.at(time, zone)
    job.at_time_zone = zoneinfo.ZoneInfo(zone)
    return job


@functools.lru_cache(maxsize=4)
def clock_of(zone: str, start: int, end: int) -> list[tuple[int, int]]:
    """The walk itself: each minute of ``[start, end)`` with the wall minute that the clock then shows."""
    return [(start + i, start + i + offset) for i, offset in enumerate(offsets(zone, start, end))]


def walk(words: str, zone: str, anchor: int, start: int, end: int) -> list[int]:
    """Every slot later than *start* and before *end*, where *anchor* and *start* are minutes of a walk.

    A named minute that the clock had reached by *start* is not due any more, so the walk begins a few
    days earlier.
    """
    early = start - 4 * 1440
    clock = clock_of(zone, early, end)
    if words.startswith("cron "):
        fields = words.removeprefix("cron ").split()
        found = shown if fields[0][0] == "*" or fields[1][0] == "*" else reached
        slots = found(clock, cron_walls(fields, clock))
    else:
        slots = every_slots(words.removeprefix("every "), zone, anchor, clock)
    return [slot for slot in slots if slot > start]


def shown(clock: list[tuple[int, int]], wanted: set[int]) -> list[int]:
    """The moments at which the clock shows a wanted wall minute."""
    return [moment for moment, wall in clock if wall in wanted]


def reached(clock: list[tuple[int, int]], wanted: set[int]) -> list[int]:
    """The moments at which the clock reaches a wanted wall minute for the first time, or jumps over it."""
    slots = []
    high = clock[0][1]
    for moment, wall in clock:
        if wall > high:
            if wall in wanted or (wall > high + 1 and not wanted.isdisjoint(range(high + 1, wall))):
                slots.append(moment)
            high = wall
    return slots


def cron_walls(fields: list[str], clock: list[tuple[int, int]]) -> set[int]:
    """The wall minutes that five fields mean, over the days of the walk and those that it jumps over."""
    minutes, hours, days, months, weekdays = map(numbers, fields, ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)))
    weekdays = {number % 7 for number in weekdays}
    # Debian: both fields must match when one of them starts with a star, else either.
    both = fields[2].startswith("*") or fields[4].startswith("*")
    walls = set()
    first, last = clock[0][1] // 1440, max(wall for _, wall in clock) // 1440
    for number in range(first, last + 1):
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=number)
        by_date, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and ((by_date and by_weekday) if both else (by_date or by_weekday)):
            walls.update(number * 1440 + hour * 60 + minute for hour in hours for minute in minutes)
    return walls


def numbers(field: str, bounds: tuple[int, int]) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = bounds
        elif "-" in span:
            first, last = map(int, span.split("-"))
        else:
            first = last = int(span)
            last = bounds[1] if step else last
        found.update(range(first, last + 1, int(step or 1)))
    return found


def every_slots(words: str, zone: str, anchor: int, clock: list[tuple[int, int]]) -> list[int]:
    head, _, time = words.partition(" at ")
    count, _, unit = head.rpartition(" ")
    number = int(count or 1)
    local = anchor + offsets(zone, anchor, anchor + 1)[0]
    if unit in ("seconds", "minutes", "hours") and not time:
        period = number // 60 if unit == "seconds" else number * (60 if unit == "hours" else 1)
        return [moment for moment, _ in clock if moment > anchor and (moment - anchor) % period == 0]
    if unit in ("hours", "hour"):
        return on_the_hour(number, int(time.split(":")[0]), local, anchor, clock)
    day = local // 1440
    if unit in WEEKDAYS:
        while (day + 3) % 7 != WEEKDAYS.index(unit):  # 1 January 1970 was a Thursday
            day += 1
        number, unit = 7, "days"
    at = int(time[:2]) * 60 + int(time[3:5]) if time else local % 1440
    step = number * (7 if unit in ("week", "weeks") else 1)
    named = {day * 1440 + at + k * step * 1440 for k in range(800)}
    # As in `schedule`: with an interval over 1, `.at()` is due one whole period later.
    if time and step not in (1, 7):
        named.discard(day * 1440 + at)
    return [slot for slot in reached(clock, named) if slot > anchor]


def on_the_hour(number: int, minute: int, local: int, anchor: int, clock: list[tuple[int, int]]) -> list[int]:
    """Every n hours of elapsed time, each put off until the clock shows the minute."""
    faces = [moment for moment, wall in clock if wall % 60 == minute]
    if number == 1:
        return [moment for moment in faces if moment > anchor]
    slots = []
    wanted = anchor - local % 60 + minute + number * 60
    for moment in faces:
        if moment >= wanted:
            slots.append(moment)
            while wanted <= moment:
                wanted += number * 60
    return slots


def golden_rows() -> list[dict[str, object]]:
    """What the walk finds for each kind of schedule around each night."""
    rows: list[dict[str, object]] = []
    for zone, night, date, time in NIGHTS:
        day = datetime.date.fromisoformat(date)
        change = next(m for m, *_ in changes(zone, day.year) if abs(m - minute_of_day(day)) < 2 * 1440)
        hour, minute = time.split(":")
        naive = datetime.datetime.combine(day, datetime.time(int(hour), int(minute))) - datetime.timedelta(days=2)
        anchor = minute_of(naive.replace(tzinfo=zoneinfo.ZoneInfo(zone)))
        for kind, (before, after) in KINDS.items():
            words = kind.format(h=hour, m=minute, weekday=WEEKDAYS[day.weekday()])
            start, end = max(change - before * 60, anchor), change + after * 60
            rows.append(
                {
                    "zone": zone,
                    "night": night,
                    "schedule": words,
                    "anchor": moment_of(anchor).isoformat(),
                    "after": moment_of(start).isoformat(),
                    "before": moment_of(end).isoformat(),
                    "slots": [local(slot, zone) for slot in walk(words, zone, anchor, start, end)],
                }
            )
    return rows


def minute_of_day(day: datetime.date) -> int:
    return minute_of(datetime.datetime(day.year, day.month, day.day, tzinfo=UTC))


def local(minute: int, zone: str) -> str:
    return moment_of(minute).astimezone(zoneinfo.ZoneInfo(zone)).isoformat(timespec="minutes")


if __name__ == "__main__":
    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(row) for row in golden_rows()) + "\n]\n")
