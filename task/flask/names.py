"""Names of tasks in addresses: any name is one segment of a path."""

from __future__ import annotations

import re

from werkzeug.routing import BaseConverter, PathConverter

__all__ = ["AnythingConverter", "NameConverter"]


class NameConverter(BaseConverter):
    """``<task_name:name>`` in a rule: what a server or a browser would take apart is written as ``~`` and two digits.

    A slash is ``~2F``, a tilde ``~7E``, and a name of dots alone is ``~2E`` for each; the rest is as in any address.

    >>> converter = NameConverter.__new__(NameConverter)
    >>> converter.to_url("reports/a~b"), converter.to_python("reports~2Fa~7Eb")
    ('reports~2Fa~7Eb', 'reports/a~b')
    """

    def to_python(self, value: str) -> str:
        """The name that a segment stands for."""
        return re.sub("~(2F|7E|2E)", lambda found: chr(int(found[1], 16)), value)

    def to_url(self, value: str) -> str:
        """The segment that stands for a name."""
        text = value.replace("~", "~7E").replace("/", "~2F")
        return super().to_url("~2E" * len(text) if text and not text.strip(".") else text)


class AnythingConverter(PathConverter):
    """``<task_anything:path>`` in a rule: whatever follows, also nothing, and also more slashes than one in a row."""

    regex = ".*"
    part_isolating = False
    weight = 1_000_000
