"""Bodies in any `concurrent.futures.Executor`: the caller's own pool of threads or processes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import functools
import os
import pickle
import threading
from multiprocessing.connection import Client, Connection
from typing import Any

from task.errors import RunCancelled, RunLost, TransferError
from task.remote.encoding import BodyReference, decode_outcome, encode_call, one_line
from task.remote.entry import call_body, run_call
from task.remote.hub import END, STOP, Hub, Visit
from task.remote.messages import Message, StandIn, apply_message
from task.runs import Run, peek_current_run

__all__ = ["ForeignBody"]

#: How often a future is looked at while the connection to its body is silent. Seconds.
LOOK = 0.5


class ForeignBody:
    """Called in place of a body, it runs that in *executor*, and returns or raises what came of it.

    In a thread of this process the body has the run itself. In another process of this machine it has a stand-in:
    progress, log and cancellation go through a local connection; from further away only the outcome comes back.
    Cancelling asks the body, and withdraws it where it has not started. Raises `RunLost` when the executor is
    broken or shut down, `TransferError` for what cannot be sent.
    """

    def __init__(self, reference: BodyReference, executor: concurrent.futures.Executor) -> None:
        self.reference = reference
        self.executor = executor

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        run, visit = peek_current_run(), Visit()
        call = _Call(self.reference, run, args, kwargs)
        if not isinstance(self.executor, concurrent.futures.ThreadPoolExecutor):
            call.encoded = encode_call(self.reference, run, args, kwargs)
            call.door = Hub.here().expect(visit) if run is not None else None

        def stop() -> None:
            if call.future is not None:
                call.future.cancel()
            visit.tell(STOP)

        try:
            if run is not None:
                run.stopper = stop
            call.future = future = self._submit(call)
            future.add_done_callback(lambda _: visit.news.set())
            if run is not None and run.is_cancelled():
                stop()
            visit.news.wait()  # it has begun in another process, or ended
            _listen(visit, future, run)
            return self._outcome(call, future, run)
        finally:
            visit.close()
            if run is not None:
                run.stopper = None

    def _outcome(self, call: _Call, future: concurrent.futures.Future[Any], run: Run | None) -> Any:
        name = self.reference.name
        try:
            answer = future.result()
        except concurrent.futures.CancelledError:
            if not future.cancelled():
                raise  # the body's own
            if run is not None and run.is_cancelled():
                raise RunCancelled(f"The run of task {name!r} was cancelled before its executor started it.") from None
            raise RunLost(
                f"Task {name!r}: its executor withdrew the body before it started. Was it shut down?"
            ) from None
        except concurrent.futures.BrokenExecutor as error:
            if call.ran_here:
                raise  # as above
            raise self._broken(error) from error
        return answer if call.ran_here else decode_outcome(name, answer)

    def _broken(self, error: Exception) -> RunLost:
        return RunLost(
            f"Task {self.reference.name!r}: its executor is broken ({one_line(error)}). A pool does not recover: make "
            "a new one, or declare executor='process', where each run has a process of its own."
        )

    def _submit(self, call: _Call) -> concurrent.futures.Future[Any]:
        try:
            return self.executor.submit(call)
        except concurrent.futures.BrokenExecutor as error:
            raise self._broken(error) from error
        except RuntimeError as error:
            raise RunLost(
                f"Task {self.reference.name!r}: its executor takes no bodies any more ({one_line(error)}). Shut it "
                "down after the manager is stopped."
            ) from error

    def __repr__(self) -> str:
        return f"ForeignBody({self.reference.name!r}, {type(self.executor).__name__})"


def _listen(visit: Visit, future: concurrent.futures.Future[Any], run: Run | None) -> None:
    """What the body tells goes to the run, until it has ended."""
    connection = visit.connection
    while connection is not None:
        try:
            if connection.poll(LOOK):
                message = pickle.loads(connection.recv_bytes())
                if message == END:
                    visit.close()  # before the outcome: the other side waits for that with its own end
                    return
                apply_message(run, message)
            elif future.done():  # something else keeps the connection open
                return
        except (EOFError, OSError):
            return


class _Call:
    """What the executor is given. In this process it calls the body; pickled, it becomes a call of it elsewhere."""

    def __init__(
        self, reference: BodyReference, run: Run | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.reference = reference
        self.run = run
        self.args = args
        self.kwargs = kwargs
        #: The call as bytes, and where its body reports. None for threads of this process.
        self.encoded: bytes | None = None
        self.door: tuple[Any, bytes, str] | None = None
        self.ran_here = False
        self._context = contextvars.copy_context()
        self.future: concurrent.futures.Future[Any] | None = None

    def __call__(self) -> Any:
        self.ran_here = True
        if self.run is not None:
            self.run.thread = threading.current_thread().name
            self.run.stopper = None  # a plain body looks by itself; a coroutine puts its own here
        return self._context.run(call_body, self.run, self.reference.func, self.args, self.kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.encoded is None:
            raise TransferError(f"Task {self.reference.name!r}: its body is not made to leave this process.")
        return functools.partial, (_run_there, self.encoded, self.door)


def _run_there(call: bytes, door: tuple[Any, bytes, str] | None) -> bytes:
    """In a process of the executor: run the body, reporting to whoever waits for it."""
    connection = None if door is None else _enter(door)
    if connection is None:
        return run_call(call, lambda message: None)
    sending, process = threading.Lock(), os.getpid()

    def send(message: Message) -> None:
        content = pickle.dumps(message)
        with sending, contextlib.suppress(OSError):  # nobody waits any more
            if os.getpid() == process:
                connection.send_bytes(content)

    def hang_up() -> None:
        with sending:
            connection.close()

    listening = threading.Event()

    def listen(run: StandIn) -> None:
        def wait() -> None:
            try:
                with contextlib.suppress(OSError, EOFError):
                    while pickle.loads(connection.recv_bytes()) == STOP:
                        run.ask_to_stop()
            finally:
                hang_up()

        threading.Thread(target=wait, name="task-stop-watch", daemon=True).start()
        listening.set()

    try:
        return run_call(call, send, begun=listen)
    finally:
        send(END)
        if not listening.is_set():
            hang_up()  # else who reads does it: closed under it, its number could be that of the next connection


def _enter(door: tuple[Any, bytes, str]) -> Connection[Any, Any] | None:
    """The connection to the process that waits; None from a machine where its address leads nowhere."""
    address, key, visit = door
    try:
        connection = Client(address, authkey=key)
        connection.send_bytes(visit.encode())
        connection.recv_bytes()  # it is let in
    except (OSError, EOFError):
        return None
    return connection
