"""Strings that have broken programs.

``data/naughty_strings.json`` is the Big List of Naughty Strings by Max Woolf, unchanged, under the MIT licence beside
it: the 485 strings of its newest packaged version. `OURS` are those that it lacks, most of them for terminals.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re

__all__ = ["OBEYED", "OURS", "naughty_strings"]

#: What a terminal obeys, and what turns or hides text; newlines are for who counts lines.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")

LIST = pathlib.Path(__file__).parent / "data" / "naughty_strings.json"

#: What a terminal, a log or a page may take for more than text.
OURS = (
    "\x1b[2J\x1b[1;1H\x1b[31mall is well\x1b[0m",
    "\x1b]0;another title\x07",
    "\x1b]8;;http://example.com\x1b\\a link\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJm\x07",
    '\x1bP$q"p\x1b\\',
    "\x1b[6n",
    "\x1b[?1049h",
    "\x1bc",
    "\x9b31mred\x9b0m",
    "\x9d0;another title\x9c",
    "\x90+q544e\x9c",
    "\x84next line\x85of C1",
    "overwritten\rsomething else",
    "one\ntwo",
    "one\r\ntwo",
    "\x0bvertical\x0cform feed",
    "a\x08b\x7fc",
    "bell\x07",
    "\x0eshifted out\x0f",
    "test\x00test",
    "test\x1atest",
    "sent\u2028ence\u2029s",
    "\u202eevil\u202c.txt",
    "\u2066isolated\u2069 \u2067right\u2069 \u2068first\u2069",
    "\u200eleft\u200fright\u061carabic",
    "\u202aembedded\u202b \u202doverridden\u202c",
    "zero\u200bwidth\u200cnon\u200djoiner\u2060word\ufeffmark",
    "soft\u00adhyphen",
    "\u180emongolian\u034fgrapheme",
    "\U000e0041\U000e0042tags",
    "\ufdd0 and \uffff are no characters",
    "2026-05-04 12:00:00 INFO task: a forged line\n2026-05-04 12:00:01 ERROR task: another",
    "=cmd|' /C calc'!A0",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7}",
    "%s %n %(name)s {0} {name!r}",
    "</script><svg/onload=alert(1)>",
    "x" * 10_000,
)


@functools.cache
def naughty_strings() -> tuple[str, ...]:
    """All of them, each once."""
    return tuple(dict.fromkeys([*json.loads(LIST.read_text("utf-8")), *OURS]))
