"""Writes `dst.md`, the page on daylight saving, from what `next_slot` answers.

Run it after a change of the schedules: ``python docs/make_dst_table.py``. A test compares the page
with what this program yields.
"""

import datetime
import pathlib
import zoneinfo

import schedule

from task.schedules import cron, every, next_slot

PAGE = pathlib.Path(__file__).with_name("dst.md")
HOUR = datetime.timedelta(hours=1)

HEAD = """\
# Daylight saving

<!-- Written by make_dst_table.py from executed schedules. Do not edit it by hand. -->

Twice a year most zones change their clocks: in spring an hour of wall time is skipped (the *gap*), in
autumn an hour is repeated (the *overlap*). `task` follows the rule of Debian's cron (`man 8 cron`,
"Daylight Saving Time and other time changes"), for cron expressions and for `every` alike:

- **A named wall time fires once a day.** That is `cron("30 2 * * *")`, `every().day.at("02:30")`,
  `every().sunday.at("02:30")`, and days and weeks without `.at()`. Where the gap skips it, it fires at
  the first moment after the gap. Where the overlap repeats it, it fires the first time.
- **A pattern follows the clock through both.** That is a cron whose minute or hour field starts with
  `*`, `every().hour.at("30:00")` and `every().minute.at(":30")`: they fire whenever the clock shows the
  time. Minutes in the gap are never shown, minutes in the overlap are shown twice. With more than one
  hour between (`every(2).hours.at("30:00")`) it is elapsed hours that count.
- **An interval is elapsed time.** `every(45).minutes` and `every(2).hours` take no notice.

Two named times that fall into one gap become one moment, and so one run. Debian's cron makes an
exception for changes of three hours and more, and drops what they skip; `task` makes none, so that no
day is lost: see Pacific/Apia below, which skipped a whole day.

To stay clear of all this, name a time that no change touches (noon, say), or use the zone `"UTC"`.
"""

FIRST = """
## Two nights in Amsterdam

On 30 March 2025 the clock went from 02:00 to 03:00, on 26 October 2025 from 03:00 back to 02:00. All
slots from 01:00 to 04:00 of the clock; `+01:00` is winter time, `+02:00` summer time. The intervals were
registered at 00:30, the days two days before at 02:30.

| schedule | 30 March, the gap | 26 October, the overlap |
| --- | --- | --- |
"""

SECOND = """
## Eight zones

What a cron and an hourly schedule inside the change did; `every().day.at()` is as the cron of one time.

| zone | the clock went | named time | fired | every hour | fired |
| --- | --- | --- | --- | --- | --- |
"""

#: The zone, the last second of the old offset in UTC, and a wall time inside the change.
NIGHTS = [
    ("Europe/Amsterdam", "2025-03-30T00:59:59", "02:30"),
    ("Europe/Amsterdam", "2025-10-26T00:59:59", "02:30"),
    ("America/New_York", "2025-03-09T06:59:59", "02:30"),
    ("America/New_York", "2025-11-02T05:59:59", "01:30"),
    ("Australia/Lord_Howe", "2025-10-04T15:29:59", "02:10"),
    ("Australia/Lord_Howe", "2025-04-05T14:59:59", "01:40"),
    ("Asia/Beirut", "2025-03-29T21:59:59", "00:30"),
    ("Asia/Beirut", "2025-10-25T20:59:59", "23:30"),
    ("America/Santiago", "2025-09-07T03:59:59", "00:30"),
    ("America/Santiago", "2025-04-06T02:59:59", "23:30"),
    ("Europe/Dublin", "2025-03-30T00:59:59", "01:30"),
    ("Europe/Dublin", "2025-10-26T00:59:59", "01:30"),
    ("Africa/Casablanca", "2025-04-06T01:59:59", "02:30"),
    ("Africa/Casablanca", "2025-02-23T01:59:59", "02:30"),
    ("Pacific/Apia", "2011-09-24T13:59:59", "03:30"),
    ("Pacific/Apia", "2011-04-02T13:59:59", "03:30"),
    ("Pacific/Apia", "2011-12-30T09:59:59", "12:30"),
]

AMSTERDAM = zoneinfo.ZoneInfo("Europe/Amsterdam")


def cases() -> list[tuple[str, schedule.Job, str]]:
    """The schedules of the first table: as written, the Job, and the wall time of their anchor."""
    zone = "Europe/Amsterdam"
    return [
        ('cron("30 2 * * *")', cron("30 2 * * *", zone), "00:30"),
        ('cron("0,30 2 * * *")', cron("0,30 2 * * *", zone), "00:30"),
        ('cron("30 1-3 * * *")', cron("30 1-3 * * *", zone), "00:30"),
        ('cron("0 3 * * *")', cron("0 3 * * *", zone), "00:30"),
        ('cron("30 * * * *")', cron("30 * * * *", zone), "00:30"),
        ('cron("*/30 * * * *")', cron("*/30 * * * *", zone), "00:30"),
        ('cron("*/30 2 * * *")', cron("*/30 2 * * *", zone), "00:30"),
        ('cron("30 */2 * * *")', cron("30 */2 * * *", zone), "00:30"),
        ('every().day.at("02:30")', every().day.at("02:30", zone), "00:30"),
        ('every().sunday.at("02:30")', every().sunday.at("02:30", zone), "00:30"),
        ("every(2).days", local(every(2).days), "02:30"),
        ('every().hour.at("30:00")', every().hour.at("30:00", zone), "00:30"),
        ('every(2).hours.at("30:00")', every(2).hours.at("30:00", zone), "00:30"),
        ("every(45).minutes", every(45).minutes, "00:30"),
        ("every(2).hours", every(2).hours, "00:30"),
    ]


def local(job: schedule.Job) -> schedule.Job:
    """The Job as it is on a machine whose own zone is Amsterdam's."""
    job.at_time_zone = AMSTERDAM  # type: ignore[assignment]  # schedule's annotation is a bare None
    return job


def slots(
    job: schedule.Job, anchor: datetime.datetime, start: datetime.datetime, end: datetime.datetime
) -> list[datetime.datetime]:
    """Every slot in ``[start, end]``."""
    found = []
    slot = next_slot(job, start - datetime.timedelta(microseconds=1), anchor=anchor)
    while slot is not None and slot <= end:
        found.append(slot)
        slot = next_slot(job, slot, anchor=anchor)
    return found


def shown(moments: list[datetime.datetime], zone: zoneinfo.ZoneInfo) -> str:
    """Moments as the zone's clock shows them, with the offset, which tells two passes apart."""
    walls = (moment.astimezone(zone) for moment in moments)
    return ", ".join(f"{wall:%H:%M} {wall.isoformat()[-6:]}" for wall in walls) or "not at all"


def amsterdam(words: str, job: schedule.Job, time: str) -> str:
    cells = []
    for day in ((2025, 3, 30), (2025, 10, 26)):
        night = datetime.datetime(*day, tzinfo=AMSTERDAM)
        anchor = night.replace(hour=int(time[:2]), minute=int(time[3:]))
        if words == "every(2).days":
            anchor -= datetime.timedelta(days=2)
        found = slots(job, anchor, night.replace(hour=1), night.replace(hour=4))
        cells.append(shown(found, AMSTERDAM))
    return f"| `{words}` | {cells[0]} | {cells[1]} |"


def elsewhere(name: str, last: str, time: str) -> str:
    zone = zoneinfo.ZoneInfo(name)
    before = datetime.datetime.fromisoformat(last).replace(tzinfo=datetime.UTC)
    change = before + datetime.timedelta(seconds=1)
    old = before.astimezone(zone).replace(tzinfo=None) + datetime.timedelta(seconds=1)
    new = change.astimezone(zone)
    hour, minute = time.split(":")
    named, hourly = f"{int(minute)} {int(hour)} * * *", f"{int(minute)} * * * *"
    once = slots(cron(named, name), change, change - 3 * HOUR, change + 3 * HOUR)
    often = slots(cron(hourly, name), change, change - 1.5 * HOUR, change + 1.5 * HOUR)
    return (
        f"| {name} | {old.day} {old:%b %Y %H:%M} → {new.day} {new:%b %H:%M} | `{named}` | {shown(once, zone)} "
        f"| `{hourly}` | {shown(often, zone)} |"
    )


def page() -> str:
    """The whole page."""
    first = "\n".join(amsterdam(*case) for case in cases())
    second = "\n".join(elsewhere(*night) for night in NIGHTS)
    return f"{HEAD}{FIRST}{first}\n{SECOND}{second}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
