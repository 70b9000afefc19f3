"""How pages tell moments, spans of time, states and strips, in words."""

from __future__ import annotations

import collections
import datetime
import hashlib
import re
from collections.abc import Iterable

from task.clock import in_zone
from task.flask.pages.runtexts import TRIGGERS, bytes_text, level_kind, level_text
from task.flask.templating import exact
from task.overview import Cell, duration_text

__all__ = ["FILTERS"]

Moment = datetime.datetime

_STATES = {"timed_out": "timed out", "never": "over", "idle": "waiting", "disabled": "off"}


def moment(value: Moment) -> str:
    """A moment in the zone of the process.

    >>> moment(datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC))[:15]
    'Mon 4 May 2026 '
    """
    local = in_zone(value)
    return f"{local:%a} {local.day} {local:%b %Y %H:%M:%S} {local:%Z}"


def relative(value: Moment, now: Moment) -> str:
    """How far a moment is from now.

    >>> noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> relative(noon, noon), relative(noon + datetime.timedelta(minutes=5), noon)
    ('now', 'in 5 min')
    """
    seconds = (value - now).total_seconds()
    if abs(seconds) < 0.5:
        return "now"
    text = duration_text(max(1, round(abs(seconds)))).replace(".0 s", " s")
    return f"in {text}" if seconds > 0 else f"{text} ago"


def state_text(state: str) -> str:
    """A state in words.

    >>> state_text("timed_out")
    'timed out'
    """
    return _STATES.get(state, state)


def percent(value: float) -> str:
    """How far a run is.

    >>> percent(33.4)
    '33 %'
    """
    return f"{value:.0f} %"


def strip_text(cells: Iterable[Cell]) -> str:
    """What a strip shows, for those who hear it.

    >>> strip_text([])
    'No slots yet'
    """
    counts: collections.Counter[str] = collections.Counter()
    for cell in cells:
        counts[cell.state] += cell.count
    said = ", ".join(f"{count} {state_text(state)}" for state, count in counts.most_common())
    return f"The last slots: {said}" if said else "No slots yet"


def row_id(name: str) -> str:
    """What identifies a task in a page, whatever characters its name has.

    >>> row_id("sample")
    'af2bdbe1aa9b'
    """
    return hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()[:12]


def clock_time(value: Moment) -> str:
    """The time of a moment within its day, to the millisecond, in the zone of the process.

    >>> len(clock_time(datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)))
    12
    """
    return in_zone(value).isoformat(timespec="milliseconds")[11:23]


def short_moment(value: Moment, now: Moment) -> str:
    """A moment as short as it can be told: the time alone on the same day, the year only where it is another.

    >>> noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> len(short_moment(noon, noon)), short_moment(noon - datetime.timedelta(days=3), noon)[:6]
    (8, '1 May ')
    """
    local, today = in_zone(value), in_zone(now)
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local.day} {local:%b %H:%M}" if local.year == today.year else f"{local.day} {local:%b %Y %H:%M}"


_RUN = re.compile(r"run ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b(.*)", re.DOTALL)


def run_in(note: str) -> tuple[str | None, str]:
    """The id of the run that a note of the journal begins with, if it does, and what follows.

    >>> run_in("run 019df2dc-0a00-7000-8000-000000000000: too slow"), run_in("run away")
    (('019df2dc-0a00-7000-8000-000000000000', ': too slow'), (None, 'run away'))
    """
    found = _RUN.fullmatch(note)
    return (found[1], found[2]) if found else (None, note)


def trigger_text(trigger: str) -> str:
    """What started a run, in words."""
    return TRIGGERS.get(trigger, trigger)


FILTERS = {
    "clock_time": clock_time,
    "run_in": run_in,
    "short_moment": short_moment,
    "trigger_text": trigger_text,
    "level_kind": level_kind,
    "level_text": level_text,
    "bytes_text": bytes_text,
    "exact": exact,
    "moment": moment,
    "duration": duration_text,
    "relative": relative,
    "state_text": state_text,
    "percent": percent,
    "strip_text": strip_text,
    "row_id": row_id,
}
