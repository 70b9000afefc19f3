"""Files that a body leaves with its run: ``FOLDER/<run id>/<name>``.

A file is written under a name that no artifact can have and then renamed: a reader sees all of it or nothing. Links are
not followed (`task.runs.folders`). Names and contents are the body's own: no secret is masked in them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import heapq
import io
import os
import stat
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from task.errors import ArtifactError, ManagerStateError
from task.runs.folders import (
    NAME_LIMIT,
    RunFolder,
    anchor,
    check_run_id,
    folded,
    is_plain,
    name_problem,
    normal,
    open_file,
)

if TYPE_CHECKING:
    import pathlib

__all__ = ["ARTIFACT_COUNT", "ARTIFACT_LIMIT", "Artifact", "RunArtifacts", "artifact_folder", "remove_artifacts"]

#: How large one artifact may be. Bytes.
ARTIFACT_LIMIT = 100_000_000
#: How many of them a run may have.
ARTIFACT_COUNT = 100
#: How much is copied at a time. Bytes.
CHUNK = 1_000_000

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
#: The last second of the year 9999, in seconds since the epoch: a file's own moment can be anything.
_LATEST = 253_402_300_799

#: Guards the step from a finished file to its name. Its holder may take it again, as a collected object may save, too.
_naming = threading.RLock()


@dataclasses.dataclass(frozen=True, slots=True)
class Artifact:
    """One file that a body has left with its run (`Run.save_artifact`)."""

    #: Its name, unique in its run.
    name: str
    #: How large it was when it was looked at. Bytes.
    size: int
    #: Where it is.
    path: pathlib.Path
    #: When it was saved (aware UTC), by the clock of the file system.
    saved_at: datetime.datetime

    def read_bytes(self) -> bytes:
        """The content as it is now. Raises `ArtifactError`, also for what is a link by now, or larger than 100 MB."""
        with self.open() as file, _telling(f"The artifact {self.name!r} cannot be read"):
            content = file.read(ARTIFACT_LIMIT + 1)
            _check_size(len(content))
            return content

    def open(self) -> BinaryIO:
        """The content as it is now, to be read in pieces: close it. Raises `ArtifactError`, also for what is a link."""
        with _telling(f"The artifact {self.name!r} cannot be read"):
            folder, run_id = self.path.parent.parent, self.path.parent.name
            with RunFolder.at(str(folder), run_id) as place:
                return place.open_to_read(self.path.name)

    def read_text(self) -> str:
        """The content as text, read as UTF-8, line ends as they are. Raises `ArtifactError`."""
        try:
            return self.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise ArtifactError(f"The artifact {self.name!r} is not text in UTF-8: use read_bytes().") from error


class RunArtifacts:
    """The artifacts of one run."""

    __slots__ = ("_folder", "_run_id", "_task")

    def __init__(self, folder: str, run_id: str, task: str) -> None:
        self._folder = folder
        self._run_id = run_id
        self._task = task

    def save(self, name: str, content: bytes | str | os.PathLike[Any]) -> Artifact:
        """Write one, in the place of another of that name. Raises `ArtifactError`, and then nothing has changed."""
        name = self._checked(name)
        with (
            _telling(f"Task {self._task!r}: its artifact {name!r} was not saved"),
            _source(content) as source,
            RunFolder.at(self._folder, self._run_id, create=True) as place,
        ):
            _check_room(place, name)  # before the work, and again when it is done: others save, too
            temporary = f".{os.urandom(8).hex()}"
            try:
                with place.open_to_write(temporary) as target:
                    _copy(source, target)
                with _naming:
                    _check_room(place, name)
                    info = place.look(temporary)
                    if info is None:
                        raise ValueError("it was taken away while it was written")
                    place.rename(temporary, name)
            finally:
                place.discard(temporary)
            return _artifact(place, name, info)

    def listed(self) -> list[Artifact]:
        """Those that are there, by name: files only, no links. Raises `ArtifactError` for a folder that is a link."""
        with _telling(f"Task {self._task!r}: the artifacts of run {self._run_id} cannot be listed"):
            try:
                with RunFolder.at(self._folder, self._run_id) as place:
                    return heapq.nsmallest(ARTIFACT_COUNT, _files(place), key=lambda artifact: artifact.name)
            except FileNotFoundError:
                return []

    def _checked(self, name: str) -> str:
        if not isinstance(name, str):
            raise ArtifactError(f"Task {self._task!r}: the name of an artifact is text, not {type(name).__name__!r}.")
        plain = str.__str__(name)  # what a subclass adds is not ours
        if len(plain) <= 10 * NAME_LIMIT:  # more is not worth the work, and refused below
            plain = normal(plain)
        problem = name_problem(plain)
        if problem is not None:
            raise ArtifactError(
                f"Task {self._task!r}: {plain[:60]!r} cannot be the name of an artifact: {problem}. Use letters, "
                "digits, '-', '_' and '.'."
            )
        return plain


def artifact_folder(given: object) -> str | None:
    """The folder that a manager was given, as an absolute path. Raises `ManagerStateError` for what cannot be one.

    >>> artifact_folder("")
    Traceback (most recent call last):
    task.errors.ManagerStateError: artifacts is the path of a folder, not ''.
    """
    if given is None:
        return None
    path: object = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(path, str) or not path or "\0" in path:
        raise ManagerStateError(f"artifacts is the path of a folder, not {repr(given)[:60]}.")
    if os.path.exists(path) and not os.path.isdir(path):
        raise ManagerStateError(f"artifacts={path!r} is not a folder: name another, or remove what is there.")
    return os.path.abspath(path)


def remove_artifacts(folder: str | os.PathLike[str], run_id: str) -> None:
    """Remove the folder of a run with all that is in it. Links are removed, not followed; without one: no change.

    Raises `ArtifactError` when it cannot be removed.
    """
    import shutil  # it loads three ways to compress

    path = os.fspath(folder)
    with _telling(f"The artifacts of run {run_id[:60]!r} cannot be removed"), contextlib.suppress(FileNotFoundError):
        check_run_id(run_id)
        with anchor(path) as root:
            there = run_id if root is not None else os.path.join(path, run_id)
            if is_plain(os.stat(there, dir_fd=root, follow_symlinks=False), stat.S_ISDIR):
                shutil.rmtree(there, dir_fd=root)
            else:
                os.unlink(there, dir_fd=root)


def _artifact(place: RunFolder, name: str, info: os.stat_result) -> Artifact:
    import pathlib  # the core does without it

    saved_at = _EPOCH + datetime.timedelta(seconds=min(max(info.st_mtime, 0), _LATEST))
    return Artifact(name, info.st_size, pathlib.Path(place.path, name), saved_at)


def _files(place: RunFolder) -> Iterator[Artifact]:
    for name in place.names():
        info = place.look(name)
        if info is not None:
            yield _artifact(place, name, info)


def _check_room(place: RunFolder, name: str) -> None:
    """Raise `ValueError` if there is no room for another, or a name that some systems take for this one."""
    same, others = folded(name), 0
    for other in place.names():
        if other == name:
            continue
        if folded(other) == same:
            raise ValueError(f"there is {other!r} already, which is the same name on some systems: use another")
        others += 1
    if others >= ARTIFACT_COUNT:
        raise ValueError(f"the run has {ARTIFACT_COUNT} artifacts, the most that one may have")


def _check_size(size: int) -> None:
    if size > ARTIFACT_LIMIT:
        raise ValueError(f"it has more than {ARTIFACT_LIMIT // 1_000_000} MB, the most for one artifact")


@contextlib.contextmanager
def _source(content: bytes | str | os.PathLike[Any]) -> Iterator[BinaryIO]:
    """What is to be written, opened to be read."""
    if isinstance(content, (bytes, str)):
        _check_size(len(content))
        yield io.BytesIO(content if isinstance(content, bytes) else _encoded(content))
    elif isinstance(content, os.PathLike):
        with _opened(os.fspath(content)) as file:
            _check_size(os.fstat(file.fileno()).st_size)
            yield file
    else:
        raise ValueError(f"pass bytes, text, or the pathlib.Path of a file, not {type(content).__name__!r}")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("UTF-8 cannot write that text: encode it yourself, and pass bytes") from error


def _opened(path: str | bytes) -> BinaryIO:
    try:
        return open_file(path)
    except (OSError, ValueError) as error:
        problem = f"{path[:200]!r} cannot be copied ({_reason(error)})"
        raise ValueError(f"{problem}: pass a file that can be read, and path.resolve() for a link") from error


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    size = 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        _check_size(size)  # a file may grow while it is read
        target.write(chunk)


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    """Turn what goes wrong inside into an `ArtifactError`."""
    try:
        yield
    except (OSError, ValueError, RecursionError) as error:  # the last: folders in folders in folders to remove
        raise ArtifactError(f"{what}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _after_fork() -> None:
    global _naming
    _naming = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
