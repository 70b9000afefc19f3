"""Words: a schedule as one line that people read. `task.schedules.reading` is the way back."""

from __future__ import annotations

import datetime
import re

import schedule

from task.errors import ScheduleError
from task.schedules.cron import CronJob
from task.schedules.live import LiveJob, cadence
from task.schedules.once import OnceJob
from task.schedules.slots import check_job
from task.schedules.walltime import UTC, Zone, resolve_zone, shorten

__all__ = ["ZONE", "as_local", "identity", "needs_zone", "words"]

#: How much `identity` keeps of a schedule that has no words.
IDENTITY_LIMIT = 300

#: What is the name of a zone, in one word.
ZONE = re.compile(r"[\w+-]+(/[\w+-]+)*", re.ASCII)

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SECOND = datetime.timedelta(seconds=1)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


def words(job: schedule.Job) -> str:
    """The schedule as one line that people read, and that `schedule_from_words` reads back.

    A zone is named where slots depend on it. The end that ``.until()`` set is local to the process, as
    `schedule` keeps it. What a Job has beside its schedule (its tags, what it runs) is not in its words.

    Raises `ScheduleError` for a schedule of the user's own, for a zone without a name, and for a Job that
    can never be due.

    >>> from task import every
    >>> words(every().monday.at("09:00", "Europe/Amsterdam"))
    'every monday at 09:00 in Europe/Amsterdam'
    """
    check_job(job)
    return _cadence(job) + _ending(job)


def identity(job: schedule.Job) -> str:
    """What a ledger keeps, to know the same declaration again in another process. It never raises.

    It is the `words`; for a schedule that has none its class and what its ``repr`` says, without addresses
    in memory and 300 characters at most: two schedules of one class of the user's own differ where their
    ``repr`` does. An ``H`` in a cron stays an ``H``, whatever its task is called.

    >>> from task import cron
    >>> identity(cron("H 2 * * *").hashed_by("report"))
    'H 2 * * *'
    """
    try:
        return words(job)
    except ScheduleError:
        kind = type(job).__mro__[2] if isinstance(job, LiveJob) else type(job)
        # A live copy has its class's name, and not the names of what that class is defined in.
        text = _ADDRESS.sub("", cadence(job)).replace(kind.__qualname__, kind.__name__)
        said = "" if text == kind.__name__ else text
        whole = " ".join(f"its own: {kind.__module__}.{kind.__qualname__} {said}{_ending(job)}".split())
        return whole if len(whole) <= IDENTITY_LIMIT else whole[: IDENTITY_LIMIT - 1] + "…"


def _cadence(job: schedule.Job) -> str:
    own = getattr(job, "next_slot", None)
    answers = getattr(own, "__func__", None)  # a class of the user's may be derived from one of ours
    if isinstance(job, CronJob) and answers is CronJob.next_slot:
        return f"{job.expression}{_place(job.zone)}"
    if isinstance(job, OnceJob) and answers is OnceJob.next_slot:
        return f"once at {datetime.datetime.isoformat(job.moment, sep=' ')}"
    if own is not None:
        raise ScheduleError(
            f"{shorten(type(job).__name__)} is a schedule of your own, which has no words. "
            "Use every(), cron() or once(), or keep it in the code."
        )
    return f"every {_interval(job)}{_time(job)}{_place(resolve_zone(job.at_time_zone)) if needs_zone(job) else ''}"


def _interval(job: schedule.Job) -> str:
    """How often: ``30 seconds``, ``5 to 10 minutes``, ``day``, ``monday`` or ``2 weeks on monday``."""
    if job.latest is None and job.interval == 1:
        return job.start_day or str(job.unit)[:-1]
    if job.latest is not None:  # 5.0 stays one: what is drawn from whole numbers is whole
        text = f"{_number(job.interval)} to {_number(job.latest)} {job.unit}"
    else:
        whole = float(job.interval).is_integer()
        text = f"{_number(int(job.interval) if whole else job.interval)} {job.unit}"
    return text if job.start_day is None else f"{text} on {job.start_day}"


def _number(value: float) -> str:
    return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)


def needs_zone(job: schedule.Job) -> bool:
    """Whether the slots of an ``every(...)`` depend on its zone: those of an interval do not."""
    return job.at_time is not None or job.unit in ("days", "weeks")


def _time(job: schedule.Job) -> str:
    """What ``.at()`` was given, as short as it can be."""
    time = job.at_time
    if time is None:
        return ""
    if job.unit in ("days", "weeks"):
        return f" at {time:%H:%M:%S}" if time.second else f" at {time:%H:%M}"
    if job.unit == "hours" and not time.hour:
        return f" at {time:%M:%S}" if time.second else f" at :{time:%M}"
    if job.unit == "minutes" and not time.hour and not time.minute:
        return f" at :{time:%S}"
    raise ScheduleError(
        f"every({job.interval}).{job.unit} at {time} has no words: .at() was called before the unit. "
        "Call it after the unit, as in every(2).hours.at(':30')."
    )


def _place(zone: Zone) -> str:
    if zone is None:
        return ""
    if isinstance(zone, datetime.timezone):
        return f" in {datetime.timezone(zone.utcoffset(None))}"  # it may have been given another name
    name = getattr(zone, "key", None)
    if not isinstance(name, str) or not ZONE.fullmatch(name):
        raise ScheduleError(f"The zone {shorten(zone)} has no name. Use one that has, such as 'Europe/Amsterdam'.")
    return f" in {name}"


def _ending(job: schedule.Job) -> str:
    end = job.cancel_after
    if end is None:
        return ""
    if end.tzinfo is not None or end.fold:  # in an hour that is repeated, only the offset tells which pass
        try:
            end = as_local(end.astimezone(UTC))
            end = end.astimezone() if end.fold else end
        except (OverflowError, ValueError, OSError):  # datetime.max: for ever
            end = end.replace(tzinfo=None)
    return f" until {datetime.datetime.isoformat(end, sep=' ')}"


def as_local(moment: datetime.datetime) -> datetime.datetime:
    """An aware moment as `schedule` keeps it, naive and local, its ``fold`` telling repeated hours apart."""
    whole = datetime.datetime.fromtimestamp((moment - _EPOCH) // _SECOND)
    return whole.replace(microsecond=moment.microsecond)
