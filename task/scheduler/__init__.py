"""The heap over the next slots, and the loop that sleeps until the first of them."""

from task.scheduler.entries import Entry
from task.scheduler.scheduler import Scheduler
from task.scheduler.watch import LONGEST_LEAD, Gap

__all__ = ["LONGEST_LEAD", "Entry", "Gap", "Scheduler"]
