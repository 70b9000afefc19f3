"""The ledger: its interface, and where it can be kept."""

from task.stores.base import Store
from task.stores.changes import Changes, check_amount
from task.stores.history import Retention, RunPage, Standing, Statistics, Wanted, check_limit
from task.stores.memory import MemoryStore
from task.stores.opening import open_store
from task.stores.rules import lapsed
from task.stores.values import (
    Declaration,
    Finding,
    Follower,
    Incident,
    JournalEntry,
    Limits,
    Listener,
    Neighbour,
    OnRecord,
    ProcessRow,
    RecurringRecord,
    RecurringRow,
    Summary,
    Switch,
    Terms,
)

__all__ = [
    "Changes",
    "Declaration",
    "Finding",
    "Follower",
    "Incident",
    "JournalEntry",
    "Limits",
    "Listener",
    "MemoryStore",
    "Neighbour",
    "OnRecord",
    "ProcessRow",
    "RecurringRecord",
    "RecurringRow",
    "Retention",
    "RunPage",
    "Standing",
    "Statistics",
    "Store",
    "Summary",
    "Switch",
    "Terms",
    "Wanted",
    "check_amount",
    "check_limit",
    "lapsed",
    "open_store",
]
