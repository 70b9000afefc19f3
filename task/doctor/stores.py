"""The checks of the store: where it is kept, and who runs tasks on it."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator

from task.doctor.values import Diagnosis
from task.models import TaskManager

__all__ = ["checks_of_store", "network_of"]

#: Where SQLite's locks are not to be relied on.
_NETWORK = ("nfs", "cifs", "smb", "afs", "ncp", "gluster", "ceph", "lustre", "fuse.sshfs", "vboxsf")

#: So little room is a warning, and a problem. Bytes.
LITTLE, NONE = 1_000_000_000, 100_000_000

#: A log of SQLite's that is larger was not taken in for long: somebody reads all the time. Bytes.
LARGE_LOG = 256_000_000


def checks_of_store(manager: TaskManager) -> Iterator[Diagnosis]:
    """Where it is kept. Raises `StoreError` where it cannot be asked."""
    store = manager.store
    if not store.shared:
        yield Diagnosis("store", "well", "The record is in the memory of this process, and ends with it.", "")
        return
    file = store.file
    if file is not None:
        wrong = [*_of_file_system(file), *_of_disk(file), *_of_log(file)]
        yield from wrong or [
            Diagnosis("store", "well", f"The store is the file {file}, and there is room for more.", "")
        ]
    else:
        yield Diagnosis("store", "well", "The store can be reached.", "")
    for one in store.neighbours(manager.clock.now()):
        if one.tasks:
            yield Diagnosis(
                "namespaces",
                "warning",
                f"In the namespace {one.namespace!r} of this database {_processes(one.processes)} tasks of the same "
                f"names: {', '.join(map(repr, one.tasks))}. They run there as well as here.",
                "If it is one application, give all its managers one namespace= (TASK_NAMESPACE).",
            )


def _processes(number: int) -> str:
    return "1 process runs" if number == 1 else f"{number} processes run"


def _of_file_system(file: pathlib.Path) -> Iterator[Diagnosis]:
    kind = network_of(file, _mounts())
    if kind is not None:
        yield Diagnosis(
            "store",
            "problem",
            f"The store's file {file} is on {kind}, whose locks SQLite cannot rely on: slots may run twice, or the "
            "file break.",
            "Keep it on a disk of the machine, or use PostgreSQL where processes of several machines share it.",
        )


def network_of(file: pathlib.Path, mounts: str) -> str | None:
    """The kind of file system that *file* is on, if it is one across a network; *mounts* is ``/proc/mounts``.

    >>> network_of(pathlib.Path("/data/tasks.db"), "server:/export /data nfs4 rw 0 0")
    'nfs4'
    """
    nearest, found = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = fields[1].replace("\\040", " ")
        if file.is_relative_to(place) and len(place) >= nearest:
            nearest, found = len(place), fields[2]
    return found if found.startswith(_NETWORK) else None


def _mounts() -> str:
    try:
        return pathlib.Path("/proc/mounts").read_text(errors="replace")
    except OSError:  # not Linux
        return ""


def _of_disk(file: pathlib.Path) -> Iterator[Diagnosis]:
    try:
        free = shutil.disk_usage(file.parent).free
    except OSError:
        return
    if free < LITTLE:
        yield Diagnosis(
            "store",
            "problem" if free < NONE else "warning",
            f"The disk of the store's file {file} has {free // 1_000_000} MB left.",
            "Make room: without, no slot can be claimed. keep_runs= and keep_days= bound the history.",
        )


def _of_log(file: pathlib.Path) -> Iterator[Diagnosis]:
    try:
        size = os.stat(f"{file}-wal").st_size
    except OSError:
        return
    if size > LARGE_LOG:
        yield Diagnosis(
            "store",
            "warning",
            f"SQLite's log {file}-wal has grown to {size // 1_000_000} MB: something reads the file without a pause.",
            "Close programs that keep a transaction open on it: a shell, a viewer of databases, a backup.",
        )
