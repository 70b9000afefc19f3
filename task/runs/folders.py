"""The folder of a run, ``FOLDER/<run id>``: names that cannot lead out of it, and files in it without links.

FOLDER and what leads to it are the choice of whoever runs the program, and may be links. Nothing below it may: where
the system can, every name is looked up in an open folder and no link is followed, whoever puts one there and when.
Where it cannot (Windows), links are looked for before each step.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

__all__ = [
    "NAME_LIMIT",
    "RunFolder",
    "anchor",
    "check_run_id",
    "folded",
    "is_plain",
    "name_problem",
    "normal",
    "open_file",
]

#: How long a name may be. Bytes, in UTF-8.
NAME_LIMIT = 200

#: Whether names can be looked up in an open folder.
_ANCHORED = {os.open, os.mkdir, os.stat, os.unlink, os.rename} <= os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
#: A named pipe would let us wait for its other end.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
#: What Windows calls a junction: a link to a folder, that is none by its mode.
_JUNCTION = 0xA0000003

#: What Windows does not take in a name; the separators and the colon of drives and streams are among it.
_FORBIDDEN = frozenset('<>:"/\\|?*')
#: What means a device there, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def name_problem(name: str) -> str | None:
    """Why *name* cannot be the name of an artifact, on whatever system; None when it can.

    >>> name_problem("../passwd"), name_problem("report.csv")
    ('it is empty or begins with a dot', None)
    """
    if not name or name.startswith("."):
        return "it is empty or begins with a dot"
    if len(name) > NAME_LIMIT or len(name.encode("utf-8", "replace")) > NAME_LIMIT:
        return f"it has more than {NAME_LIMIT} bytes"
    if not name.isprintable():
        return "it has a character that cannot be printed"
    if not _FORBIDDEN.isdisjoint(name):
        return f"it has one of {' '.join(sorted(_FORBIDDEN))}"
    if name[-1] in ". ":
        return "it ends with a dot or a space"
    if _DEVICES.match(name):
        return "it means a device on Windows"
    if normal(name) != name:
        return "it is not normalised"
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return "this system cannot write it"
    return None


def normal(name: str) -> str:
    """One way to write what can be written in several: Unicode's form NFC."""
    if name.isascii():
        return name
    import unicodedata  # a large table, for those who use it

    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """What is the same for two names that some systems take for one."""
    return normal(name.casefold())


def check_run_id(run_id: str) -> None:
    """Raise `ValueError` for what would lead out of the folder."""
    if name_problem(run_id) is not None:
        raise ValueError("this is not the id of a run")


def is_plain(info: os.stat_result, kind: Callable[[int], bool]) -> bool:
    """Whether it is a file (or a folder) itself, and nothing that leads to one."""
    return kind(info.st_mode) and getattr(info, "st_reparse_tag", 0) != _JUNCTION


def open_file(path: str | bytes, folder: int | None = None) -> BinaryIO:
    """A file that exists, opened to be read. Raises `ValueError` for a link and for what is no file."""
    if not is_plain(os.stat(path, dir_fd=folder, follow_symlinks=False), stat.S_ISREG):
        raise ValueError("it is a link, or no file")
    opened = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT | _BINARY, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(opened).st_mode):  # it has changed since
        os.close(opened)
        raise ValueError("it is no file")
    return open(opened, "rb")


@contextlib.contextmanager
def anchor(path: str, folder: int | None = None, flags: int = 0) -> Iterator[int | None]:
    """A folder, opened so that names can be looked up in it; None where the system cannot do that."""
    if not _ANCHORED:
        yield None
        return
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=folder)
    try:
        yield opened
    finally:
        os.close(opened)


class RunFolder:
    """A run's folder, opened."""

    def __init__(self, path: str, opened: int | None) -> None:
        self.path = path
        self.opened = opened

    @classmethod
    @contextlib.contextmanager
    def at(cls, folder: str, run_id: str, *, create: bool = False) -> Iterator[RunFolder]:
        """That of a run in *folder*. Raises `FileNotFoundError` where there is none, `ValueError` for a link."""
        check_run_id(run_id)
        path = os.path.join(folder, run_id)
        if create:
            os.makedirs(folder, 0o700, exist_ok=True)
        with anchor(folder) as root:
            there = run_id if root is not None else path
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(there, 0o700, dir_fd=root)
            if not is_plain(os.stat(there, dir_fd=root, follow_symlinks=False), stat.S_ISDIR):
                raise ValueError(f"{path!r} is a link, or no folder: remove it")
            with anchor(there, root, _NO_LINK) as opened:
                yield cls(path, opened)

    def names(self) -> Iterator[str]:
        """The names in it that an artifact can have."""
        with os.scandir(self.path if self.opened is None else self.opened) as entries:
            for entry in entries:
                if name_problem(entry.name) is None:
                    yield entry.name

    def look(self, name: str) -> os.stat_result | None:
        """What is known of a file in it; None for what is no file, or has gone."""
        try:
            info = os.stat(self._there(name), dir_fd=self.opened, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return info if is_plain(info, stat.S_ISREG) else None

    def open_to_read(self, name: str) -> BinaryIO:
        """A file in it. Raises `ValueError` for a link and for what is no file."""
        return open_file(self._there(name), self.opened)

    def open_to_write(self, name: str) -> BinaryIO:
        """A new file in it, for nobody else to read."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY
        return open(os.open(self._there(name), flags, 0o600, dir_fd=self.opened), "wb")

    def rename(self, name: str, to: str) -> None:
        """Let a file take another name, and the place of what has that."""
        os.replace(self._there(name), self._there(to), src_dir_fd=self.opened, dst_dir_fd=self.opened)

    def discard(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._there(name), dir_fd=self.opened)

    def _there(self, name: str) -> str:
        return name if self.opened is not None else os.path.join(self.path, name)
