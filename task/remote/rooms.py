"""Which room a body runs in, by what the declaration says in ``executor=``."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Callable
from typing import Any

from task.errors import DeclarationTypeError
from task.remote.encoding import BodyReference
from task.remote.foreign import ForeignBody
from task.remote.process import ProcessBody
from task.schedules import shorten

__all__ = ["body_for"]


def body_for(executor: str | concurrent.futures.Executor, reference: BodyReference) -> Callable[..., Any]:
    """What is called in place of the plain body, so that the body runs in *executor*.

    ``"process"``: a process for each run. An executor of Dask: its cluster (extra ``dask``). Any other
    `concurrent.futures.Executor`: its threads or processes. Raises `TransferError` where the body cannot
    go there, `DeclarationTypeError` for what is no executor.

    >>> import operator
    >>> body_for("process", BodyReference.of("difference", operator.sub))
    ProcessBody('difference')
    """
    if executor == "process":
        reference.check_travels()
        return ProcessBody(reference)
    if not isinstance(executor, concurrent.futures.Executor):
        raise DeclarationTypeError(
            f"Task {reference.name!r}: executor is 'process' or a concurrent.futures.Executor, not {shorten(executor)}."
        )
    if _is_dask(executor):
        from task.remote.dask import DaskBody  # only where Dask is loaded already

        return DaskBody(reference, executor)
    if isinstance(executor, concurrent.futures.ProcessPoolExecutor):
        reference.check_travels()
    return ForeignBody(reference, executor)


def _is_dask(executor: concurrent.futures.Executor) -> bool:
    """Whether it is a ``ClientExecutor``: then its module is loaded, and so need not be imported to know."""
    module = sys.modules.get("distributed.cfexecutor")
    return module is not None and isinstance(executor, module.ClientExecutor)
