"""The ledger: its interface, and where it can be kept."""

from task.stores.base import Declaration, Finding, Follower, Limits, Store, Summary, Switch
from task.stores.memory import MemoryStore

__all__ = ["Declaration", "Finding", "Follower", "Limits", "MemoryStore", "Store", "Summary", "Switch"]
