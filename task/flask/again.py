"""What a run is run again with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from task.flask.api.structs import json_ready
from task.runs import MASK, Run

__all__ = ["parameters_again", "without_secrets"]


def parameters_again(run: Run) -> dict[str, Any] | None:
    """The parameters that it had; none of them where it had those of its declaration, which has its secrets.

    None: some were secret, and are not kept.
    """
    given = without_secrets(run)
    if MASK not in repr(json_ready(given)):
        return given
    return {} if run.declared else None


def without_secrets(run: Run) -> dict[str, Any]:
    """What was passed to its body, secrets masked: while it is under way it has them."""
    given: Mapping[str, Any] | None = run.masked if run.redactor is not None else run.parameters
    return dict(given or {})
