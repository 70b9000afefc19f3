"""The managers of this process: what becomes of them when it exits, and in a child that is forked."""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

from task.log import logger

if TYPE_CHECKING:
    from task.models.manager import TaskManager

__all__ = ["all_managers", "keep_running", "leave_at_once", "restart_in_children", "running_managers"]

#: How long an interpreter that exits gives the bodies that run. Seconds.
EXIT_TIMEOUT = 10.0

#: A child that is forked only to become another program does so first. Seconds.
RESTART_DELAY = 0.1

#: All that there are.
all_managers: weakref.WeakSet[TaskManager] = weakref.WeakSet()

#: Those that run are kept, also when their program keeps no reference.
running_managers: set[TaskManager] = set()


# At the exit.


def keep_running(manager: TaskManager) -> None:
    """Keep a manager that runs until it is stopped: at the exit of the program, if by nobody before.

    Registered when it starts: later than what its program imports, and so called before that ends.
    """
    running_managers.add(manager)
    leave_at_once()
    atexit.register(_stop_all)
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize  # such a process ends without what `atexit` has

        Finalize(None, _stop_all, exitpriority=100)


def leave_at_once() -> None:
    """Give what runs no time at the exit."""
    atexit.unregister(_stop_all)


def _stop_all() -> None:
    """Stop what runs; all of them share one time, and one that fails does not keep the others from it."""
    deadline = time.monotonic() + EXIT_TIMEOUT
    for manager in list(running_managers):
        try:
            manager.stop(max(0.0, deadline - time.monotonic()))
        except KeyboardInterrupt:  # who presses Ctrl-C again waits for nothing more
            logger.warning("Interrupted again at the exit of the program: the runs under way are left, and become lost")
            return
        except Exception:
            logger.exception("A manager could not be stopped at the exit of the program")


# After a fork.


@functools.cache
def restart_in_children() -> None:
    """Registered with the first manager that wants it: later than all that is made anew in a child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_begin_restarts)


def _begin_restarts() -> None:
    if any(manager._lifecycle.restarting for manager in list(all_managers)):
        threading.Thread(target=_restart, name="task-restart", daemon=True).start()


def _restart() -> None:
    time.sleep(RESTART_DELAY)
    for manager in list(all_managers):
        if manager._lifecycle.restarting:
            keep_running(manager)  # before it runs: the process may end at once
            try:
                manager._lifecycle.restart()
            except Exception:
                logger.exception("A manager could not be started again in a forked process")
                manager.stop()
                running_managers.discard(manager)


def _after_fork() -> None:
    for manager in list(all_managers):
        manager._lifecycle.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
