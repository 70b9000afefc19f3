"""Two terminals, one file: start this program in both, and then kill one of them.

    python examples/two_terminals.py

Each slot is printed by one of the processes. End one with Ctrl-C, or with ``kill -9`` and its number: the other goes
on. A body that was under way when its process was killed is told of as lost within a few seconds; until then it counts
as running, and the slots in between are skipped. The file is tasks.db in the present folder; a program that is started
again goes on where the ledger stands.
"""

import logging
import os
import sys
import time

from task import TaskManager, current_run, every, run_lost

STORE = sys.argv[1] if len(sys.argv) > 1 else "sqlite:///tasks.db"

manager = TaskManager(store=STORE, lost_after=3)


@manager.task(every(2).seconds)
def tick():
    run = current_run()
    print(f"process {os.getpid()} has the slot {run.slot:%H:%M:%S} (token {run.token})", flush=True)
    time.sleep(1.5)


@run_lost.connect
def tell(sender, run):
    print(f"process {os.getpid()} sees that the slot {run.slot:%H:%M:%S} is lost: {run.reason}", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    manager.run()
    print(f"process {os.getpid()} runs; start another one in a second terminal, and stop one with Ctrl-C", flush=True)
    manager.wait()
    print(f"process {os.getpid()} has stopped; findings of the audit: {manager.audit()}", flush=True)
