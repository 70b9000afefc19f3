"""Values as people write and read them on a terminal."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from typing import Any

from task.cli.group import Refusal
from task.clock import in_zone
from task.overview import duration_text

__all__ = ["ago", "as_json", "json_ready", "local_text", "moment_of", "parameters_of", "span_of"]

Moment = datetime.datetime

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d{1,6})\s*([smhdw])")


def local_text(moment: Moment | None, now: Moment) -> str:
    """A moment in the zone of this process, to the second; without the day if that is today."""
    if moment is None:
        return ""
    local, today = in_zone(moment), now.astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M:%S}"


def ago(moment: Moment, now: Moment) -> str:
    """How far it is from now: ``in 5 min``, ``3 h ago``, ``now``."""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 0.0005:
        return "now"
    told = duration_text(abs(seconds) if abs(seconds) < 60 else abs(seconds) // 60 * 60)
    return f"in {told}" if seconds >= 0 else f"{told} ago"


def moment_of(text: str, now: Moment, *, past: bool) -> Moment:
    """What somebody writes for a moment: ISO 8601, or a span from now on or before: ``30m``, ``2h``, ``7d``.

    Without an offset it is in the zone of this process. Raises `ValueError`.

    >>> noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
    >>> moment_of("2h", noon, past=False).isoformat(), moment_of("2026-05-05T01:00+02:00", noon, past=False).isoformat()
    ('2026-05-04T14:00:00+00:00', '2026-05-05T01:00:00+02:00')
    """
    span = span_of(text)
    try:
        if span is not None:
            seconds = datetime.timedelta(seconds=span)
            return now - seconds if past else now + seconds
        moment = datetime.datetime.fromisoformat(text.strip())
        if not 1 < moment.year < 9999:  # it is none in some zone
            raise ValueError(text)
        return moment if moment.utcoffset() is not None else moment.astimezone()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment. Write 2026-05-04T12:00 (local), 2026-05-04T12:00+02:00, or a span: 30m, 2h, 7d."
        ) from None


def span_of(text: str) -> int | None:
    """The seconds of a span as somebody writes it; None of what is none.

    >>> span_of("2h"), span_of("soon")
    (7200, None)
    """
    span = _SPAN.fullmatch(text.strip().lower())
    return None if span is None else int(span[1]) * _UNITS[span[2]]


def json_ready(value: Any) -> Any:
    """Named tuples as objects, moments as ISO 8601."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: json_ready(part) for name, part in value._asdict().items()}
    if isinstance(value, dict):
        return {name: json_ready(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(part) for part in value]
    return value.isoformat() if isinstance(value, datetime.datetime) else value


def as_json(value: Any, indent: int | None = 2) -> str:
    """As JSON in ASCII: nothing in it steers a terminal."""
    return json.dumps(json_ready(value), indent=indent)


def parameters_of(given: Sequence[str]) -> dict[str, Any]:
    """``key=value`` as parameters: a value is JSON where it can be read so, else text. Raises `Refusal`.

    >>> parameters_of(["region=EU", "pages=3", 'options={"draft": true}'])
    {'region': 'EU', 'pages': 3, 'options': {'draft': True}}
    """
    found = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key.isidentifier():
            raise Refusal(f"{one!r} is no parameter. Write KEY=VALUE, such as region=EU.")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(constant)  # NaN and Infinity are not JSON

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return text
