"""Fetching a feed over the network, and reading what comes back."""

from __future__ import annotations

import urllib.request
from typing import NamedTuple
from xml.etree import ElementTree

#: No feed is larger, and none may take longer.
LARGEST = 1_000_000
SECONDS = 5.0


class Entry(NamedTuple):
    """One entry of a feed."""

    link: str
    title: str


class Feed(NamedTuple):
    """A feed as it is now."""

    title: str
    entries: list[Entry]


def fetch(url: str) -> Feed:
    """What is at *url* now. Raises `OSError` when it cannot be reached, `ValueError` when it is no feed."""
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return read(answer.read(LARGEST + 1))


def read(text: bytes) -> Feed:
    """An RSS 2.0 document.

    >>> read(b"<rss><channel><title>News</title></channel></rss>")
    Feed(title='News', entries=[])
    """
    if len(text) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ValueError("it declares entities, which a feed needs not")
    try:
        channel = ElementTree.fromstring(text).find("channel")
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not XML: {error}") from error
    if channel is None:
        raise ValueError("it has no channel")
    entries = [Entry(item.findtext("link", ""), item.findtext("title", "(no title)")) for item in channel.iter("item")]
    return Feed(channel.findtext("title", ""), [entry for entry in entries if entry.link.startswith("http")])
