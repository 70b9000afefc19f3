"""Shifts the wall clock of a process, while its monotonic clock goes on: a library that is loaded before all others."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

#: Adds what stands in a file to the wall clock of the process, and to nothing else.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset; /* seconds */
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void prepare(void) {
    real = dlsym(RTLD_NEXT, "clock_gettime");
    int file = open(getenv("WALL_CLOCK_OFFSET"), O_RDONLY);
    offset = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    close(file);
}

static long long shift(void) { return offset && offset != MAP_FAILED ? *offset : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""


def build_shim(folder: Path) -> Path:
    """The library, compiled in *folder*. Skips the test where that cannot be done."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("shifting the wall clock of a process needs Linux and a C compiler")
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


class WallClock:
    """The wall clock of the processes that are started in its `environment`; *seconds* ahead of the machine's."""

    def __init__(self, shim: Path, file: Path, seconds: int = 0) -> None:
        self._file = file
        self._file.write_bytes(struct.pack("q", seconds))
        self.environment = {"LD_PRELOAD": str(shim), "WALL_CLOCK_OFFSET": str(file)}

    def shift(self, seconds: int) -> None:
        """Set it so many seconds ahead of the machine's, at once, also in a process that runs."""
        with self._file.open("r+b") as stream:
            stream.write(struct.pack("q", seconds))
