"""The coming two weeks of a shop's tasks, before they come; what is in the way of what, and what one change mends.

    python examples/foresight.py

The same from the command line, for any module with tasks:

    python -m task forecast examples/foresight.py --days 14 --duration nightly_report=2400,4800
"""

import datetime
import sys

from task import TaskManager, cron, every
from task.clock import Clock
from task.foresight import Forecast, compare, comparison_text, cures, forecast, heat_map

ZONE = "Europe/Amsterdam"

#: How long the bodies take, in seconds; it could be (2_400, 4_800): half of them, and 95 %. Best is what is on record.
DURATIONS = {"fetch_orders": 5, "sync_stock": 2, "send_mails": 1, "nightly_report": 3_000, "invoices": 7_200}


def fetch_orders() -> None:
    """Ask the payment service for what was paid."""


def send_mails() -> None:
    """Send what has been written, while people are at work."""


def sync_stock() -> None:
    """Tell the warehouse what was sold."""


def nightly_report() -> None:
    """Count everything, which takes long."""


def invoices() -> None:
    """Write the invoices of a week, which takes longer."""


def make_manager(*, mended: bool = False, clock: Clock | None = None) -> TaskManager:
    """The shop's manager; *mended*, what takes long has places of its own."""
    pools, pool = ({"long": 2}, "long") if mended else (None, None)
    manager = TaskManager([], clock=clock, pools=pools)
    manager.add(fetch_orders, every(5).minutes)
    manager.add(sync_stock, every(15).minutes, threaded=True)
    manager.add(send_mails, cron("*/2 8-18 * * mon-fri", tz=ZONE), threaded=True)
    manager.add(nightly_report, cron("30 2 * * *", tz=ZONE), pool=pool)
    manager.add(invoices, cron("0 6 * * mon", tz=ZONE), pool=pool)
    return manager


manager = make_manager()


def refusals(found: Forecast) -> int:
    """How many slots come to nothing."""
    return sum(sum(task.skips.values()) for task in found.tasks)


def main(days: float = 14) -> None:
    until = manager.clock.now() + datetime.timedelta(days=days)
    found = forecast(manager, until, durations=DURATIONS)
    for line in heat_map(found, colour=sys.stdout.isatty()):
        print(line)
    for cure in cures(found):
        print(f"\n{cure.text}")

    mended = make_manager(mended=True)
    print(f"\nSlots refused as it is: {refusals(found)}")
    print(f"With a pool for what takes long: {refusals(forecast(mended, until, durations=DURATIONS))}")
    print("\nWhat that changes in the code:")
    for line in comparison_text(compare(manager, mended, until)):
        print(line)


if __name__ == "__main__":
    main()
