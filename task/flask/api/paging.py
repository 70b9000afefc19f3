"""Pages: a cursor says where the next one begins, and ``Link`` has its address."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

import flask
import msgspec

__all__ = ["LONGEST_PAGE", "Count", "Cursor", "Moment", "Paged", "link_to_next", "page_of"]

#: How much one page may have.
LONGEST_PAGE = 200

Count = Annotated[int, msgspec.Meta(ge=1, le=LONGEST_PAGE, description="So many at most.")]
Cursor = Annotated[str, msgspec.Meta(max_length=1_000, description="The `next` of the page before.")]

#: With its time zone.
Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]

T = TypeVar("T")


class Paged(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the query of every list may say."""

    limit: Count = 50
    cursor: Cursor | None = None


def page_of(items: Sequence[T], key: Callable[[T], str], asked: Paged) -> tuple[list[T], str | None]:
    """Of items that are sorted by unique keys: those after the cursor, and the cursor of the next page."""
    left = [item for item in items if asked.cursor is None or key(item) > asked.cursor]
    return left[: asked.limit], key(left[asked.limit - 1]) if len(left) > asked.limit else None


def link_to_next(cursor: str | None) -> dict[str, str]:
    """The header ``Link`` of a page that another follows."""
    if cursor is None:
        return {}
    request = flask.request
    asked = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    path = quote(f"{request.root_path}{request.path}", safe="/~:@")
    return {"Link": f'<{path}?{urlencode([*asked, ("cursor", cursor)])}>; rel="next"'}
