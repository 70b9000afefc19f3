"""One task after another: extract, then load, then report; and a task that is told when loading has failed.

    python examples/chain.py

Two nights are run by hand, a good one and a bad one. The program ends by itself.
"""

import queue

from task import ParentResults, Run, TaskManager, cron

NIGHTS = {
    "monday": ["tea 12", "coffee 30"],
    "tuesday": ["tea 7", "coffee unknown"],
}

manager = TaskManager([])
warehouse: dict[str, int] = {}
#: The runs with which a chain ends: whoever waits for one takes it from here.
ends: queue.SimpleQueue[Run] = queue.SimpleQueue()


@manager.task(cron("0 2 * * *"), parameters={"night": "monday"})
def extract(night: str) -> list[str]:
    """The lines of one night."""
    return NIGHTS[night]


@manager.task(after=extract)
def load(results: ParentResults) -> int:
    """Put them into the warehouse; how many there were."""
    orders = dict(line.split() for line in results["extract"])
    warehouse.update({what: int(count) for what, count in orders.items()})
    return len(orders)


@manager.task(after=load, on_complete=ends.put)
def report(results: ParentResults) -> None:
    """Only after a night that was loaded."""
    print(f"  {results['load']} orders loaded: {warehouse}")


@manager.task(after=load, when="failed", on_complete=ends.put)
def alert(run: Run, manager: TaskManager) -> None:
    """Where a mail to the operator would go out. The run that it comes after is on record."""
    failed = next(row for row in manager.runs("load") if row.id == run.parent_id)
    print(f"  loading has failed: {failed.error}")


def tell_story(run: Run) -> None:
    """From the end of a chain back to its beginning, by the parents on record."""
    rows = {row.id: row for row in manager.runs()}
    story = [run]
    while story[-1].parent_id in rows:
        story.append(rows[story[-1].parent_id])
    print("  " + ", then ".join(f"{one.task} ({one.trigger}) {one.state}" for one in reversed(story)))


def main() -> None:
    with manager:
        for night in NIGHTS:
            print(f"{night}:")
            extract.trigger(night=night)
            tell_story(ends.get(timeout=5))


if __name__ == "__main__":
    main()
