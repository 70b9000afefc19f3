"""The ledger in an SQL database: SQLite or PostgreSQL, through SQLAlchemy Core."""

from task.stores.sql.store import SqlStore

__all__ = ["SqlStore"]
