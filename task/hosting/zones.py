"""Which zone data this process goes by: the system's where it has any, else those of the package ``tzdata``."""

from __future__ import annotations

import os
import re
import zoneinfo
from typing import NamedTuple

__all__ = ["ZoneData", "names_no_zone", "zone_data"]

_VERSION = re.compile(r"(\d{4})[a-z]{1,2}")


class ZoneData(NamedTuple):
    """Versions of the zone data, such as ``2026a``; None where that is not known or not there."""

    #: Where what is used is from: the folder of the system, or ``the package tzdata``; None: there are none.
    source: str | None
    used: str | None
    #: Of the package, used or not.
    package: str | None

    @staticmethod
    def year_of(version: str | None) -> int | None:
        """The year of a version.

        >>> ZoneData.year_of("2026a")
        2026
        """
        found = _VERSION.fullmatch(version or "")
        return None if found is None else int(found[1])


def zone_data() -> ZoneData:
    """What is used, and from where."""
    package = _package_version()
    for folder in zoneinfo.TZPATH:
        if os.path.isdir(os.path.join(folder, "Europe")):  # what `zoneinfo` finds there goes before the package
            return ZoneData(folder, _version_in(folder), package)
    return ZoneData(None if package is None else "the package tzdata", package, package)


def names_no_zone() -> bool:
    """Whether ``TZ`` is set to what is no zone: the system then goes by UTC, and says nothing.

    >>> names_no_zone()
    False
    """
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name or any(character.isdigit() for character in name):  # the rule itself: ``CET-1CEST``
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return not os.path.isfile(name)
    return False


def _version_in(folder: str) -> str | None:
    for name in ("+VERSION", "tzdata.zi", "version"):
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                found = _VERSION.search(file.readline(200))
        except OSError:
            continue
        if found is not None:
            return found[0]
    return None


def _package_version() -> str | None:
    try:
        import tzdata
    except ImportError:
        return None
    version: str = tzdata.IANA_VERSION
    return version
