"""Bodies for other processes. This module imports nothing, so that to load it costs nothing."""

__all__ = ["noop"]


def noop() -> None:
    """Nothing."""
