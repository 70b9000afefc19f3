"""Spans of time as people read them."""

from __future__ import annotations

from task.clock import duration_text

__all__ = ["duration_text"]
