"""What the page of a run says of it, in words."""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any, NamedTuple

from task.flask.again import without_secrets
from task.runs import MASK, Run, RunState

__all__ = [
    "MASK_NOTE",
    "TRIGGERS",
    "Parameter",
    "bytes_text",
    "level_kind",
    "level_text",
    "remaining",
    "shown_parameters",
    "shown_result",
]

Moment = datetime.datetime

MASK_NOTE = (
    "It had secret parameters, which are not kept: run its task by hand on its own page, and give them once more."
)

#: What started a run, for people.
TRIGGERS = {
    "schedule": "its schedule",
    "catch-up": "its schedule, late",
    "manual": "somebody, by hand",
    "call": "a call in the code",
    "chain": "the end of another run",
    "start": "the start of the manager",
    "rerun": "the loss of the run before it",
}

#: How much of one value is shown. Characters.
VALUE_LIMIT = 4_000


class Parameter(NamedTuple):
    """What was passed under one name."""

    name: str
    text: str
    secret: bool


def shown_parameters(run: Run) -> list[Parameter]:
    """What was passed to the body, secrets masked."""
    found = []
    for name, value in without_secrets(run).items():
        text = value if isinstance(value, str) else _as_json(value)
        found.append(Parameter(name, text[:VALUE_LIMIT], MASK in text))
    return found


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (TypeError, ValueError, RecursionError):
        return object.__repr__(value)  # the value's own may raise, or tell what is secret


def shown_result(run: Run) -> str | None:
    """What the body returned: JSON with its lines apart, or text as it is."""
    text = run.result_text
    if text is None or not run.result_is_json:
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text


def remaining(run: Run, now: Moment, usual: float | None) -> str | None:
    """How long a run under way will still take: by how far it is, else by how long its runs take.

    >>> noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> run = Run("sample", "manual", noon, state=RunState.RUNNING)
    >>> run.begin_attempt(noon)
    >>> remaining(run, noon + datetime.timedelta(seconds=30), 90.0)
    'about 1 min 0 s left, as its runs take'
    >>> run.progress = 25.0
    >>> remaining(run, noon + datetime.timedelta(seconds=30), 90.0)
    'about 1 min 30 s left'
    """
    if run.state is not RunState.RUNNING or run.attempt_started_at is None:
        return None
    elapsed = (now - run.attempt_started_at).total_seconds()
    if run.progress is not None and 0 < run.progress < 100:
        return f"about {_roughly(elapsed * (100 - run.progress) / run.progress)} left"
    if run.progress is not None or usual is None:
        return None
    if elapsed > usual:
        return f"longer than usual: half of its runs take {_roughly(usual)} or less"
    return f"about {_roughly(usual - elapsed)} left, as its runs take"


def _roughly(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{max(1, whole)} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def level_text(level: int) -> str:
    """The name of a level of logging.

    >>> level_text(20), level_text(25)
    ('INFO', 'Level 25')
    """
    return logging.getLevelName(level)


def level_kind(level: int) -> str:
    """How a line of that level looks.

    >>> [level_kind(level) for level in (10, 20, 30, 50)]
    ['quiet', 'plain', 'warning', 'error']
    """
    if level >= logging.ERROR:
        return "error"
    if level >= logging.WARNING:
        return "warning"
    return "plain" if level >= logging.INFO else "quiet"


def bytes_text(count: int) -> str:
    """So many bytes.

    >>> [bytes_text(count) for count in (1, 999, 12_345, 100_000_000)]
    ['1 byte', '999 bytes', '12.3 kB', '100.0 MB']
    """
    if count < 1_000:
        return f"{count} byte{'' if count == 1 else 's'}"
    return f"{count / 1_000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
