"""Secrets stay out of what is written: the values of the parameters that ``redact=`` names become ``***``.

What is masked, and where the bounds are:

- A *secret* is each text, ``bytes`` and number (not ``bool``) found under a named key, at any depth of dicts, lists,
  tuples and sets; letter case of keys does not matter. Objects of other kinds are not looked into: their own
  ``repr`` may show what nobody told us.
- A secret is found in a text as it is, escaped as in ``repr`` or JSON (also twice over), URL-quoted and in base64
  (also as a part, as in ``user:password``). So is it without the white space around it, and each of its lines of
  `SHORTEST_LINE` characters or more, as a command prints them one by one.
- Secrets under `SHORTEST` characters are masked in `Redactor.mapping` only: in a text they would mask half of it.
- Of a secret over `LONGEST` characters the first `OPENING` are looked for; a text that has them is masked as a whole.
- With more than `LEAVES` secrets, `CHARACTERS` in all of them or `ENTRIES` entries to search, nobody can say in
  reasonable time what is secret: every text, and every value in `Redactor.mapping`, is masked as a whole.

Mask before you cut: half a secret is not found.
"""

from __future__ import annotations

import numbers
import re
import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from task.errors import DeclarationTypeError
from task.log import logger

__all__ = ["MASK", "Redactor", "check_names"]

MASK = "***"

SHORTEST = 4
SHORTEST_LINE = 8
LONGEST = 10_000
OPENING = 100
LEAVES = 1_000
CHARACTERS = 100_000
ENTRIES = 100_000
#: How deep `Redactor.mapping` looks; what lies below is masked.
_DEPTH = 50
#: What is masked may form a secret with its neighbours: look again, so often at most.
_PASSES = 10


class Redactor:
    """Masks the values of the parameters called *names*, out of the parameters *values*, in texts and mappings.

    Without names it is false, and gives back what it gets.

    >>> redactor = Redactor(["password"], {"host": "db", "password": "hunter22"})
    >>> redactor.text("postgres://app:hunter22@db")
    'postgres://app:***@db'
    >>> redactor.mapping({"host": "db", "password": "hunter22", "url": "postgres://app:hunter22@db"})
    {'host': 'db', 'password': '***', 'url': 'postgres://app:***@db'}
    """

    __slots__ = ("_forms", "_names", "_openings", "_refuses")

    def __init__(self, names: Collection[str], values: Mapping[str, Any]) -> None:
        self._names = frozenset(name.casefold() for name in names)
        self._forms: frozenset[str] = frozenset()
        self._openings: frozenset[str] = frozenset()
        self._refuses = False
        if self._names:
            try:
                self._learn(values)
            except Exception as error:  # too much, or a value that cannot be read: show nothing, nor the error's text
                self._refuses = True
                logger.warning(
                    "The secrets in the parameters %s cannot be told apart (%s): every text of the run is masked. "
                    "Name smaller parameters in redact=.",
                    sorted(self._names),
                    type(error).__name__,
                )

    def __bool__(self) -> bool:
        return bool(self._names)

    def __repr__(self) -> str:
        return f"<Redactor of {sorted(self._names)}>"

    def _learn(self, values: Mapping[str, Any]) -> None:
        secrets = {secret for secret in _secrets_in(values, self._names) if len(secret) >= SHORTEST}
        if len(secrets) > LEAVES or sum(min(len(secret), LONGEST) for secret in secrets) > CHARACTERS:
            raise ValueError("more secrets than can be looked for")
        self._forms = frozenset(
            form for secret in secrets if len(secret) <= LONGEST for form in _forms_of(secret) if form
        )
        self._openings = frozenset(
            form for secret in secrets if len(secret) > LONGEST for form in _forms_of(secret[:OPENING]) if form
        )

    def text(self, text: str) -> str:
        """The text with each secret in it as ``***``."""
        if self._refuses and text:
            return MASK
        if any(opening in text for opening in self._openings):
            return MASK
        for _ in range(_PASSES if self._forms else 0):
            masked = _mask(text, self._forms)
            if masked == text:
                return text
            text = masked
        return MASK if self._forms else text

    def mapping(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of *values* with the values of the names as ``***``, and the secrets in its other texts too.

        Objects of other kinds than text, number, dict, list, tuple and set stay as they are: give their ``repr``
        to `text` before it is written.
        """
        if not self._names:
            return dict(values)
        if self._refuses:
            return dict.fromkeys(values, MASK)
        return self._masked_mapping(values, _Room(), 0)

    def mapping_at_last(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """As `mapping`; where a value cannot be read any more, all are masked."""
        try:
            return self.mapping(values)
        except Exception:  # a container of the user's own, or one that another thread changes
            return dict.fromkeys(values, MASK)

    def _masked_mapping(self, values: Mapping[Any, Any], room: _Room, depth: int) -> dict[Any, Any]:
        return {
            self._masked(key, room, _DEPTH): MASK if _is_named(key, self._names) else self._masked(value, room, depth)
            for key, value in values.items()
        }

    def _masked(self, value: Any, room: _Room, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, numbers.Number | bytes | bytearray):
            text = _text_of(value)
            return value if self.text(text) == text else MASK
        if not isinstance(value, Mapping | list | tuple | set | frozenset):
            return value
        if depth >= _DEPTH or not room.take(len(value)):
            return MASK
        if isinstance(value, Mapping):
            return self._masked_mapping(value, room, depth + 1)
        kind: Callable[[Iterator[Any]], Any] = next(
            kind for kind in (list, tuple, set, frozenset) if isinstance(value, kind)
        )
        return kind(self._masked(item, room, depth + 1) for item in value)


class _Room:
    """How many entries may still be looked at."""

    def __init__(self) -> None:
        self._left = ENTRIES

    def take(self, entries: int) -> bool:
        self._left -= entries
        return self._left >= 0


def _is_named(key: object, names: frozenset[str]) -> bool:
    return isinstance(key, str) and key.casefold() in names


def _secrets_in(values: Mapping[str, Any], names: frozenset[str]) -> Iterator[str | bytes]:
    """Each text and ``bytes`` under a key of *names*. Raises when there is too much to search."""
    room = _Room()
    found: list[tuple[Any, bool]] = [(values, False)]
    seen: dict[tuple[int, bool], Any] = {}  # the values too: an id is theirs while they live
    while found:
        value, secret = found.pop()
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if (id(value), secret) in seen:
                continue
            seen[id(value), secret] = value
            if not room.take(len(value)):
                raise ValueError("more entries than can be searched")
            if isinstance(value, Mapping):
                found.extend((item, secret or _is_named(key, names)) for key, item in value.items())
            else:
                found.extend((item, secret) for item in value)
        elif secret and isinstance(value, bytes | bytearray | memoryview):
            yield bytes(value)
        elif secret and isinstance(value, str | numbers.Number) and not isinstance(value, bool):
            yield _text_of(value)


def _text_of(value: Any) -> str:
    """A text, number or bytes as text; not by a ``__str__`` that somebody wrote for a kind of text."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return str(value)


def _forms_of(secret: str | bytes) -> Iterator[str]:
    """What a secret can look like in a text."""
    text = _text_of(secret)
    lines = (line.strip() for line in text.splitlines())
    parts = {text, text.strip(), *(line for line in lines if len(line) >= SHORTEST_LINE)}
    for part in parts:
        if len(part) >= SHORTEST:
            raw = part.encode("utf-8", "surrogatepass")
            yield from _escapes_of({part, *_bytes_reprs_of(raw)})
            yield from _encodings_of(raw)
    if isinstance(secret, bytes):
        yield from _escapes_of(_bytes_reprs_of(secret))
        yield from _encodings_of(secret)


# `repr` escapes an apostrophe only where the text around it has a quotation mark too: both forms are made, from
# parts without apostrophes that a quotation mark is put before.


def _bytes_reprs_of(raw: bytes) -> set[str]:
    parts = [repr(b'"' + part)[3:-1] for part in raw.split(b"'")]
    return {"'".join(parts), "\\'".join(parts)}


def _as_repr(text: str, apostrophe: str = "'", write: Callable[[str], str] = repr) -> str:
    return apostrophe.join(write('"' + part)[2:-1] for part in text.split("'"))


def _as_json(text: str, only_ascii: bool = True) -> str:
    import json  # loaded, as what follows, for the tasks that have secrets

    return json.dumps(text, ensure_ascii=only_ascii)[1:-1]


_ESCAPES: tuple[Callable[[str], str], ...] = (
    _as_repr,
    lambda text: _as_repr(text, "\\'"),
    lambda text: _as_repr(text, "'", ascii),
    lambda text: _as_repr(text, "\\'", ascii),
    _as_json,
    lambda text: _as_json(text, only_ascii=False),
)


def _escapes_of(texts: set[str]) -> set[str]:
    """The texts, their escaped forms, and the escaped forms of those: a `repr` in a message in a `repr`."""
    once = texts | {escape(text) for text in texts for escape in _ESCAPES}
    return once | {escape(text) for text in once for escape in _ESCAPES}


def _encodings_of(raw: bytes) -> Iterator[str]:
    """As a part of a URL, in capitals or not; and of a base64 text, at each of its three alignments."""
    import base64
    import urllib.parse

    for quoted in (urllib.parse.quote(raw), urllib.parse.quote(raw, safe=""), urllib.parse.quote_plus(raw)):
        yield quoted
        yield re.sub("%..", lambda escape: escape[0].lower(), quoted)
    whole = base64.b64encode(raw).decode()
    for before, first in ((0, 0), (1, 2), (2, 3)):  # bytes before it, and the first character that is its own
        encoded = base64.b64encode(bytes(before) + raw).decode()
        for form in {whole, encoded[first : (before + len(raw)) * 8 // 6]}:
            yield form
            yield form.replace("+", "-").replace("/", "_")


def _mask(text: str, forms: Collection[str]) -> str:
    """The text with a mask for each span that forms cover: where they overlap, none leaves its rest behind."""
    spans: list[tuple[int, int]] = []
    for form in forms:
        start = text.find(form)
        while start >= 0:
            end = start + len(form)
            if spans and spans[-1][0] <= start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
            start = text.find(form, start + 1)
    pieces: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if start > done or not pieces:
            pieces += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*pieces, text[done:]])


def check_names(task: str, value: object) -> frozenset[str]:
    """The names that ``redact=`` gives, checked. None gives none.

    Raises `DeclarationTypeError` for anything but a collection of names.

    >>> sorted(check_names("sync", ["password", "token"]))
    ['password', 'token']
    """
    if value is None:
        return frozenset()
    if isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray):
        names = list(value)
        if all(isinstance(name, str) and name.strip() for name in names):
            return frozenset(names)
    raise DeclarationTypeError(
        f"Task {task!r}: redact is a list of names of parameters, such as ['password'], not {reprlib.repr(value)}."
    )
