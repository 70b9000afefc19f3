"""``SourceFiles``: the files that the code of this process came from, and whether they are still what they were."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from task.clock import SystemClock

__all__ = ["SourceFiles"]

#: So many files are watched.
MOST = 1_000

#: They are looked at for so long at a time. Seconds.
PATIENCE = 0.05

_monotonic = SystemClock().monotonic

#: What a file looked like: when it was written last, in nanoseconds, and its size; None of one that is not there.
Look = tuple[int, int] | None


class SourceFiles:
    """Files as they were when `read_for` first saw them: soon after they were imported.

    >>> files = SourceFiles()
    >>> files.read_for(["json"])
    >>> files.changed()
    []
    """

    def __init__(self) -> None:
        self._looks: dict[str, Look] = {}
        self._changed: set[str] = set()
        #: Which of them is looked at next.
        self._next = 0

    def read_for(self, modules: Iterable[str]) -> None:
        """Remember the files of these modules, and of all that was imported of the packages that they are in.

        A file that is known stays as it was first seen.
        """
        packages = {name.partition(".")[0] for name in modules} - {"task"}
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] not in packages or len(self._looks) >= MOST:
                continue
            path = getattr(module, "__file__", None)
            if isinstance(path, str) and path.endswith(".py") and (place := os.path.abspath(path)) not in self._looks:
                self._looks[place] = _look_at(place)

    def changed(self) -> list[str]:
        """Those that are not what they were, by their paths.

        Where looking takes long, as on a disk across a network, it goes on the next time where it ended.
        """
        began, paths = _monotonic(), list(self._looks)
        for _ in paths:
            path = paths[self._next % len(paths)]
            self._next += 1
            before = self._looks[path]
            if before is not None and _look_at(path) != before:
                self._changed.add(path)
            else:
                self._changed.discard(path)
            if _monotonic() - began > PATIENCE:
                break
        return sorted(self._changed)


def _look_at(path: str) -> Look:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
