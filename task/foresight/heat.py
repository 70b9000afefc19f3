"""The hours of a forecast as days of 24 wall hours, with the shade of each: what every drawing has in common."""

from __future__ import annotations

import datetime
import heapq
from collections.abc import Sequence
from typing import NamedTuple

from task.clock import in_zone
from task.foresight.values import Forecast, Hour

__all__ = ["SHADES", "Day", "Heat", "heat_of", "hour_text", "in_trouble", "number_text", "span_text"]

#: Shades from nothing to the most.
SHADES = 5

#: So many hours are marked as the worst.
WORST = 5


class Day(NamedTuple):
    """One row of a heat map: a date, and what starts in each of its hours; None of one that is not foretold.

    An hour that the clock repeats is in it once, with what starts in both; one that it skips is None.
    """

    date: datetime.date
    hours: tuple[Hour | None, ...]

    @property
    def starts(self) -> int:
        """Runs that start on this day."""
        return sum(hour.starts for hour in self.hours if hour is not None)

    @property
    def clock_changes(self) -> bool:
        """Whether the clock is set on it, in the zone of this process."""
        noon, day = datetime.time(12), datetime.timedelta(days=1)
        before, after = (datetime.datetime.combine(date, noon) for date in (self.date - day, self.date))
        return before.astimezone().utcoffset() != after.astimezone().utcoffset()

    @property
    def name(self) -> str:
        """For people: ``Mon 4 May``."""
        return f"{self.date:%a} {self.date.day:>2} {self.date:%b}"


class Heat(NamedTuple):
    """A heat map before it is drawn."""

    days: tuple[Day, ...]
    #: Runs that start in the fullest hour, and from how many on hours are told apart: where no whole hour has less than
    #: half of the most, shades tell apart what there is.
    most: int
    least: int
    #: The hours in which most goes wrong, the worst first: at most `WORST`, none where nothing does.
    worst: tuple[Hour, ...]
    #: The zone of its hours, as its clocks call it.
    zone: str

    def shade(self, hour: Hour) -> int:
        """From 0 (nothing starts) to ``SHADES - 1``: in equal steps up to the fullest hour."""
        if not hour.starts:
            return 0
        return max(1, -(-(hour.starts - self.least) * (SHADES - 1) // (self.most - self.least)))

    def steps(self) -> list[tuple[int, int, int]]:
        """Each shade above nothing, with the fewest and the most runs that it stands for."""
        steps = SHADES - 1
        ends = [0] + [self.least + (self.most - self.least) * step // steps for step in range(1, steps + 1)]
        return [(step, ends[step - 1] + 1, ends[step]) for step in range(1, steps + 1) if ends[step] > ends[step - 1]]


def heat_of(forecast: Forecast) -> Heat:
    """The heat map of a forecast, in the zone of this process."""
    days: dict[datetime.date, list[Hour | None]] = {}
    for hour in forecast.hours:
        local = in_zone(hour.at)
        row = days.setdefault(local.date(), [None] * 24)
        row[local.hour] = _together(row[local.hour], hour)
    filled = tuple(Day(date, tuple(hours)) for date, hours in sorted(days.items()))
    cells = [hour for day in filled for hour in day.hours if hour is not None]
    worst = heapq.nlargest(WORST, filter(in_trouble, cells), key=lambda hour: (in_trouble(hour), hour.starts))
    most, least = max((hour.starts for hour in cells), default=0), _least(cells)
    zones = dict.fromkeys(f"{in_zone(moment):%Z}" for moment in (forecast.since, forecast.until))
    return Heat(filled, most, least if most > least > most / 2 else 0, tuple(worst), "/".join(zones))


def _least(cells: Sequence[Hour]) -> int:
    """The fewest starts of a whole hour: the first and the last may be parts of one."""
    return min((hour.starts for hour in cells[1:-1]), default=0)


def _together(one: Hour | None, other: Hour) -> Hour:
    if one is None:
        return other
    return Hour(
        one.at,
        one.starts + other.starts,
        one.busy + other.busy,
        one.late + other.late,
        one.failed + other.failed,
        one.refused + other.refused,
    )


def in_trouble(hour: Hour) -> int:
    """How much of it goes wrong: runs that are late or fail, slots that are refused."""
    return hour.late + hour.failed + hour.refused


def hour_text(hour: Hour) -> str:
    """What happens in an hour, in words: ``412 runs start, 12 late, 3 fail, 30 slots are refused``."""
    told = [f"{number_text(hour.starts)} {'run starts' if hour.starts == 1 else 'runs start'}"]
    told += [f"{number_text(hour.late)} late"] if hour.late else []
    told += [f"{number_text(hour.failed)} {'fails' if hour.failed == 1 else 'fail'}"] if hour.failed else []
    if hour.refused:
        told.append(f"{number_text(hour.refused)} {'slot is' if hour.refused == 1 else 'slots are'} refused")
    return ", ".join(told)


def number_text(number: int) -> str:
    """A number with its thousands apart: ``12 000``."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def span_text(low: int, high: int) -> str:
    """From so many to so many: ``1-103``."""
    return number_text(high) if low == high else f"{number_text(low)}-{number_text(high)}"
