"""A first task: it runs every second, until you press Enter (or Ctrl-C).

    python examples/quickstart.py

Where nobody can press Enter, because there is no terminal, it stops by itself after three runs.
"""

import contextlib
import json
import sys
import time

from task import TaskManager, every, task

manager = TaskManager()  # finds the tasks of this module


@task(every(1).seconds, name="sample", threaded=True, on_success=lambda: print("done"))
def pull_remote_state():
    """Fetch what has changed on the other side."""
    print("syncing...")


def wait_for_enter():
    if sys.stdin is not None and sys.stdin.isatty():
        input("Press Enter to stop\n")
    else:
        while len(manager.runs("sample", "succeeded")) < 3:
            time.sleep(0.1)


if __name__ == "__main__":
    manager.run()  # the loop, on a daemon thread
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        wait_for_enter()
    details = manager.tasks_detail
    manager.stop()

    for detail in details:
        print(f"\nWhat manager.tasks_detail says about {detail['name']!r}:")
        for key, value in detail.items():
            print(f"  {key:<14}{json.dumps(value)}")
