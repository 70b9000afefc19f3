"""The ledger: its interface, and where it can be kept."""

from task.stores.base import Declaration, Finding, Limits, Store, Summary, Switch
from task.stores.memory import MemoryStore

__all__ = ["Declaration", "Finding", "Limits", "MemoryStore", "Store", "Summary", "Switch"]
