"""Bodies on a cluster of Dask (extra ``dask``), through ``Client.get_executor(pure=False)``.

Each run has two queues on Dask's scheduler. In the one to the worker lies a token: the body starts only for who takes
it, so that a body whose worker died is not run again by Dask, whatever its ``allowed-failures``. The other one brings
back what the body tells. Both sides look twice a second.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import threading
import uuid
from collections import deque
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from task.clock import SystemClock
from task.errors import RunCancelled, RunLost, TransferError
from task.remote.encoding import BodyReference, decode_outcome, encode_call, encode_error, one_line
from task.remote.entry import run_call
from task.remote.messages import Message, StandIn, apply_message
from task.runs import Run, peek_current_run

__all__ = ["DaskBody"]

#: How often each side looks for what the other one has told. Seconds.
LOOK = 0.5
#: How long one question to Dask's scheduler may take. Seconds.
PATIENCE = 10.0
#: How many messages wait to be sent, and how many batches of them wait to be read; the oldest are dropped.
MESSAGES, BATCHES = 1_000, 50


class DaskBody:
    """Called in place of a body, it runs that on the cluster, and returns or raises what came of it.

    The run's progress, log and place come from the worker. Cancelling the run withdraws a body that has not
    started, cancels a coroutine, and asks any other. Raises `RunLost` when the worker died or the scheduler cannot
    be reached any more, `TransferError` for what cannot be sent.
    """

    def __init__(self, reference: BodyReference, executor: Executor) -> None:
        self.reference = reference
        self.executor = executor

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name, run = self.reference.name, peek_current_run()
        call = encode_call(self.reference, run, args, kwargs, by_value=True)
        lines = _Lines(self.executor, name)
        wake = threading.Event()
        try:
            if run is not None:
                run.stopper = wake.set
            future = self._submit(lines, call)
            future.add_done_callback(lambda _: wake.set())
            lines.follow(future, run, wake)
            return self._outcome(future, run)
        finally:
            lines.close()
            if run is not None:
                run.stopper = None

    def _submit(self, lines: _Lines, call: bytes) -> Future[Any]:
        try:
            lines.open()
            return self.executor.submit(run_on_worker, lines.name, call)
        except Exception as error:
            raise RunLost(
                f"Task {self.reference.name!r}: the Dask cluster does not take its body: {one_line(error)}."
            ) from error

    def _outcome(self, future: Future[Any], run: Run | None) -> Any:
        name = self.reference.name
        try:
            outcome = future.result(0)
        except CancelledError:
            if run is not None and run.is_cancelled():
                raise RunCancelled(f"The run of task {name!r} was cancelled before a worker started it.") from None
            raise RunLost(
                f"Task {name!r}: the connection to the Dask scheduler was lost, or its future cancelled, while the "
                "body was on the cluster."
            ) from None
        except TimeoutError:
            raise RunLost(f"Task {name!r}: its Dask client was closed while the body was on the cluster.") from None
        except Exception as error:
            if type(error).__name__ == "KilledWorker":
                raise RunLost(f"Task {name!r}: its Dask worker died: {one_line(error)}") from error
            raise TransferError(
                f"Task {name!r}: the Dask worker could not start its body: {one_line(error)}. This package must be "
                "installed there, in this version."
            ) from error
        return decode_outcome(name, outcome)

    def __repr__(self) -> str:
        return f"DaskBody({self.reference.name!r})"


class _Lines:
    """The two queues of one run, seen from here."""

    def __init__(self, executor: Any, task: str) -> None:
        self.client = executor._client  # there is no public way from an executor to its client
        self.task = task
        #: Of the queue to the worker; with "-news", of the one from it.
        self.name = f"task-{task}-{uuid.uuid4().hex}"
        self._queues: list[Any] = []
        self._stopped = False

    def open(self) -> None:
        """Make the queues, and put the token there."""
        queue = importlib.import_module("distributed").Queue
        self._queues = [queue(self.name, client=self.client), queue(f"{self.name}-news", client=self.client)]
        self._ask("queue_put", self.name, data="start")

    def close(self) -> None:
        """Remove the queues: nothing starts any more."""
        for queue in self._queues:
            with contextlib.suppress(Exception):  # the scheduler has gone, and they with it
                queue.close()

    def follow(self, future: Future[Any], run: Run | None, wake: threading.Event) -> None:
        """Apply what the body tells to the run, and tell it to stop, until the future is done or cannot be."""
        while not future.done():
            closed = self.client.status == "closed"
            wake.wait(LOOK)
            if closed and not future.done():
                return
            if run is not None and run.is_cancelled():
                wake.clear()
                self._stop(future)
            if not future.done():
                self._read(run)
        if not future.cancelled():
            self._read(run)

    def _read(self, run: Run | None) -> None:
        batches = []
        with contextlib.suppress(Exception):  # what became of the scheduler shows in the future
            batches = self._ask("queue_get", f"{self.name}-news", batch=True)
        for batch in batches:
            for message in batch["value"]:
                apply_message(run, list(message))

    def _stop(self, future: Future[Any]) -> None:
        """Take the token back, and the body with it; where it has started, ask it to stop."""
        if self._stopped:
            return
        with contextlib.suppress(Exception):  # as in `_read`; else it is tried again
            if self._ask("queue_get", self.name, batch=True):
                future.cancel()
            else:
                self._ask("queue_put", self.name, data="stop")
            self._stopped = True

    def _ask(self, operation: str, name: str, **values: Any) -> Any:
        question = getattr(self.client.scheduler, operation)
        return self.client.sync(question, name=name, callback_timeout=PATIENCE, **values)


# On the worker.


def run_on_worker(name: str, call: bytes) -> bytes:
    """Run the body, if nobody has started it before; the encoded outcome."""
    line = _Line(name)
    cloudpickle = importlib.import_module("cloudpickle")
    problem = line.take_token()
    if problem is not None:
        return encode_error(name, RunLost(f"{problem} It is not run again."), cloudpickle.dumps)
    try:
        return run_call(call, line.send, begun=line.begin, dumps=cloudpickle.dumps)
    finally:
        line.end()


class _Line:
    """The two queues of one run, seen from the worker."""

    def __init__(self, name: str) -> None:
        distributed = importlib.import_module("distributed")
        self.name = name
        self.worker = distributed.get_worker()
        self._sync = importlib.import_module("distributed.utils").sync
        self._waiting: deque[Message] = deque(maxlen=MESSAGES)
        self._dropped = 0
        self._keeping, self._sending = threading.Lock(), threading.Lock()
        self._ended = threading.Event()

    def take_token(self) -> str | None:
        """Take the token, which lies there once; why not, where it is gone."""
        try:
            if self._ask("queue_get", self.name, batch=True):
                return None
        except Exception as error:
            return f"A Dask worker was not allowed to start the body ({one_line(error)})."
        return "The Dask worker that had started the body died, or was cut off from its scheduler."

    def send(self, message: Message) -> None:
        """Keep it for the next batch; of progress only the newest is of use."""
        with self._keeping:
            if message[0] == "progress" and self._waiting and self._waiting[-1][0] == "progress":
                self._waiting.pop()
            self._dropped += len(self._waiting) == MESSAGES
            self._waiting.append(message)

    def begin(self, run: StandIn) -> None:
        """Look, from now on, for what is to be told or heard."""
        watch = functools.partial(self._watch, run)
        threading.Thread(target=watch, name="task-line-watch", daemon=True).start()

    def _watch(self, run: StandIn) -> None:
        while True:
            try:
                self._flush()
                asked = self._ask("queue_get", self.name, batch=True)
            except KeyError:  # the queue was removed: nobody waits for the body any more
                asked = True
            except Exception:  # a scheduler that is busy; one that has gone takes this worker with it
                asked = False
            if asked:
                run.ask_to_stop()
            if self._ended.wait(LOOK):
                return

    def _flush(self) -> None:
        with self._sending:
            if self._waiting and self._ask("queue_qsize", f"{self.name}-news") < BATCHES:
                with self._keeping:
                    batch, dropped = list(self._waiting), self._dropped
                    self._waiting.clear()
                    self._dropped = 0
                if dropped:
                    now, text = SystemClock().now().timestamp(), f"{dropped} messages before these were dropped"
                    batch.insert(0, ["line", now, logging.WARNING, "task.remote", text])
                self._ask("queue_put", f"{self.name}-news", data=batch)

    def end(self) -> None:
        """The body has ended: send what is left."""
        self._ended.set()
        with contextlib.suppress(Exception):  # the outcome tells more
            self._flush()

    def _ask(self, operation: str, name: str, **values: Any) -> Any:
        question = getattr(self.worker.scheduler, operation)
        return self._sync(self.worker.loop, question, name=name, callback_timeout=PATIENCE, **values)
