"""Bodies that are run in other processes: those find them by the name of their module."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from pathlib import Path

from task import current_run, task


def tell_pid(folder: str) -> None:
    """In one step: who sees the file sees the number."""
    written = Path(folder, "pid.new")
    written.write_text(str(os.getpid()))
    written.rename(Path(folder, "pid"))


@task(executor="process", redact=["password"])
def steps(count: int, password: str = "") -> dict[str, int]:
    run = current_run()
    for step in range(1, count + 1):
        run.check_cancelled()
        run.update_progress(100 * step / count, f"step {step} {password}")
        logging.getLogger("library").warning("line %d %s", step, password)
    return {"steps": count, "process": os.getpid()}


@task(executor="process", timeout=1.0)
def hangs(folder: str) -> None:
    tell_pid(folder)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(60)


@task(executor="process")
def waits_for_ever(folder: str) -> None:
    tell_pid(folder)
    time.sleep(60)


@task(executor="process", retry=1)
def dies(folder: str) -> str:
    marker = Path(folder, "died")
    if not marker.exists():
        marker.touch()
        os._exit(3)
    return "second attempt"


@task(executor="process")
async def coroutine() -> int:
    await asyncio.sleep(0)
    return current_run().attempt


@task(executor="pool")
def in_pool(number: int) -> int:
    current_run().update_progress(50)
    return number * 2
