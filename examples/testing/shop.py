"""The tasks of a small shop. Nothing here knows that it is tested."""

import datetime
import time

from task import TaskManager, cron, every

manager = TaskManager(store="sqlite:///shop.db")

#: What would be sent by e-mail, and to the warehouse.
letters: list[str] = []
orders: list[str] = ["tea", "cups"]
shipped: list[str] = []


@manager.task(cron("30 2 * * *", tz="Europe/Amsterdam"))
def nightly_report() -> None:
    letters.append(f"{datetime.datetime.now(datetime.UTC):%d %b}: {len(shipped)} shipped")


@manager.task(every(10).minutes, threaded=True, retry=2)
def ship() -> None:
    """Each order once, though the warehouse is slow and may fail at any point."""
    while orders:
        time.sleep(2)
        shipped.append(orders.pop(0))


@manager.task(every().hour, only_if=lambda slot: slot.weekday() < 5)
async def remind() -> None:
    letters.append("reminder")
