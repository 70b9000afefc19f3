"""``Ledger``: does what is asked of the database, many operations in one transaction, on a thread of its own."""

from __future__ import annotations

import atexit
import collections
import contextlib
import functools
import itertools
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from task.clock import SystemClock
from task.errors import StoreError, StoreUnavailableError
from task.log import logger
from task.stores.sql import hooks
from task.stores.sql.database import Database
from task.stores.sql.operations import Operation
from task.stores.sql.page import Page

__all__ = ["Ledger"]

T = TypeVar("T")

_monotonic = SystemClock().monotonic

#: So many operations are done in one transaction.
BATCH = 500

#: Where several threads wait for the ledger at once, it waits so long for the others when the first has come: they
#: share a transaction then. Seconds.
GATHERING = 0.0002

#: So many outcomes are kept for a store that cannot be reached.
OWED = 10_000

#: How often the database is looked at, unless a heart has to beat more often. Seconds.
INTERVAL = 1.0

#: How long one transaction may take until those who could do without its answer go on. Seconds.
LITTLE_PATIENCE = 1.0

#: Until nobody waits for it. Seconds.
PATIENCE = 5.0

#: What a program that exits waits for all of them: what nobody has waited for (the journal, say) is written. Seconds.
LAST_PATIENCE = 2.0

#: How often it is said that the store cannot be reached. Seconds.
SAID_EVERY = 60.0


class Owner(Protocol):
    """Whose ledger it is."""

    @property
    def process(self) -> str:
        """The id of this process on the store."""

    def look(self) -> None:
        """Called about once a second."""

    def is_used(self) -> bool:
        """Whether somebody wants the thread: it has to look."""

    def monotonic(self) -> float:
        """Seconds, for how often something is said."""

    def tell_ailment(self, cause: str | None) -> None:
        """The store cannot be reached any more, and why; None: it can be again."""

    def begin_page(self, page: Page, another: bool) -> None:
        """A transaction begins; it is *another* database, as far as can be told, than that of the last."""

    def end_page(self, page: Page) -> None:
        """It was committed."""


class Ledger:
    """Performs operations: on its thread while that runs, else in the thread that asks."""

    def __init__(self, database: Database, owner: Owner) -> None:
        self._database = database
        self._owner = owner
        #: How often it looks. Seconds.
        self.interval = INTERVAL
        self.reset_after_fork()
        _ledgers.add(self)

    def reset_after_fork(self) -> None:
        """A forked child has no thread, and owes nothing: its parent does."""
        #: What waits; None ends the thread.
        self._queue: queue.SimpleQueue[Operation[Any] | Callable[[], object] | None] = queue.SimpleQueue()
        self._changing = threading.RLock()
        self._thread: threading.Thread | None = None
        #: Whether the last transaction had several operations.
        self._busy = False
        self._owed: collections.deque[Operation[Any]] = collections.deque()
        self._local = threading.local()
        self._doing = threading.RLock()
        #: Why the store cannot be reached, or None.
        self.ailment: str | None = None
        #: Something failed of which nobody knows whether it was done.
        self.doubtful = False
        self._said_at = float("-inf")
        self._told = False
        #: Which database the last transaction was of.
        self._edition: int | None = None

    # Ways in.

    def perform(self, operation: Operation[T]) -> T:
        """Do it and wait for it. Raises what it failed with."""
        page = getattr(self._local, "page", None)
        if page is not None:  # inside `together`
            return self._apply_within(page, operation)
        with self._changing:
            thread = self._thread
            refusal = None
            if thread is None or thread is threading.current_thread():
                thread = None
            elif (refusal := self._database.refusal("write")) is None:
                operation.expect()
                self._queue.put(operation)
        if refusal is not None:
            self._fail(operation, refusal).end()
        elif thread is None:
            self._do([operation])
        elif not self._ended_in_time(operation):
            return self._without(operation)
        return operation.outcome()

    def _ended_in_time(self, operation: Operation[Any]) -> bool:
        """Wait for it; not for long where a single transaction takes long."""
        patience = LITTLE_PATIENCE if operation.urgent else PATIENCE
        while not operation.wait(LITTLE_PATIENCE / 4):
            begun = self._database.asked_at
            if begun is None or _monotonic() - begun < (LITTLE_PATIENCE if self.ailment else patience):
                continue
            if operation.abandon():
                return False
            operation.wait(-1)
            break
        return True

    def _without(self, operation: Operation[T]) -> T:
        """It has not ended, and nobody waits any more."""
        if operation.instead is not None:
            return operation.without()
        error = StoreUnavailableError(f"The store {self._database!r} does not answer; whether it was done is not known")
        error.uncertain = True
        raise error

    def submit(self, operation: Operation[Any]) -> None:
        """Do it soon, and go on: on the thread where there is one, else here and now."""
        if self.page() is not None:
            self.perform(operation)
            return
        with self._changing:
            if self._thread is not None:
                self._queue.put(operation)
                return
        self._do([operation])

    def post(self, call: Callable[[], object]) -> None:
        """Make a call where operations are done."""
        with self._changing:
            if self._thread is not None:
                self._queue.put(call)
                return
        call()

    def finish(self, timeout: float = 5.0) -> None:
        """Wait until what was asked before is done, or has failed."""
        if self._thread is None or self._thread is threading.current_thread():
            return
        done = threading.Event()
        self.post(done.set)
        done.wait(timeout)

    def page(self) -> Page | None:
        """What this thread has open: inside of `together`."""
        page: Page | None = getattr(self._local, "page", None)
        return page

    @contextlib.contextmanager
    def together(self, names: Iterable[str]) -> Iterator[None]:
        """What this thread asks for inside is one transaction. Raises `StoreError` at its end."""
        ends: list[Operation[Any]] = []
        with self._database.write() as connection:
            page = self._open(connection)
            page.preload(names, (), places=names)
            page.preload_declarations(names)
            self._local.page, self._local.ends = page, ends
            try:
                yield
                page.flush()
            finally:
                self._local.page = None
        self._written(page)
        for operation in ends:
            operation.end()

    def _apply_within(self, page: Page, operation: Operation[T]) -> T:
        operation.answer = operation.apply(page)
        self._local.ends.append(operation)
        return operation.outcome()

    def _open(self, connection: Any) -> Page:
        database = self._database
        page = Page(connection, database.namespace, self._owner.process, locks=database.dialect != "sqlite")
        self._owner.begin_page(page, self._edition not in (None, database.edition))
        return page

    def _written(self, page: Page) -> None:
        self._edition = self._database.edition
        self._owner.end_page(page)

    # The thread.

    def start(self) -> None:
        """Begin the thread; nothing happens when it runs."""
        with self._changing:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="task-ledger", daemon=True)
                self._thread.start()

    def stop(self, timeout: float = 10.0, *, forget: bool = False) -> None:
        """End the thread when it has done what waits, unless it is needed again by then: for what is owed, say.

        With *forget* that is not written any more.
        """
        if forget:
            self._owed.clear()
        with self._changing:
            thread = self._thread
            if thread is not None:
                self._queue.put(None)
        if thread is not None and thread is not threading.current_thread() and not self._owner.is_used():
            thread.join(timeout)

    def running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    def _run(self) -> None:
        self._database.prober = threading.current_thread()
        next_look = _monotonic()
        while True:
            wait = next_look - _monotonic()
            if wait <= 0:
                self._safely(self._owner.look)
                next_look = _monotonic() + self.interval
                continue
            operations, calls, ending = self._take(wait)
            if operations:
                self._safely(functools.partial(self._do, operations))
            for call in calls:
                self._safely(call)
            del operations, calls  # nothing is kept alive until the next come
            if ending and self._end():
                return

    def _end(self) -> bool:
        """Whether nothing came while the last was done, and nobody wants it to look."""
        with self._changing:
            if self._owner.is_used():
                return False
            left = []
            with contextlib.suppress(queue.Empty):
                while True:
                    left.append(self._queue.get_nowait())
            left = [item for item in left if item is not None]  # it may have been told to end twice
            for item in left:
                self._queue.put(item)
            if left:
                self._queue.put(None)
                return False
            self._thread = None
            return True

    def _take(self, seconds: float) -> tuple[list[Operation[Any]], list[Callable[[], object]], bool]:
        operations: list[Operation[Any]] = []
        calls: list[Callable[[], object]] = []
        ending = False
        try:
            item = self._queue.get(timeout=seconds)
            if self._busy and item is not None:
                time.sleep(GATHERING)
            while True:
                if isinstance(item, Operation):
                    operations.append(item)
                elif item is None:
                    ending = True
                else:
                    calls.append(item)
                if calls or ending or len(operations) >= BATCH:
                    break
                item = self._queue.get_nowait()
        except queue.Empty:
            pass
        self._busy = len(operations) > 1
        return operations, calls, ending

    @staticmethod
    def _safely(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException:  # the ledger goes on, whatever a store operation comes to
            logger.exception("A step of the ledger failed; it goes on")

    # Transactions.

    def _do(self, operations: Sequence[Operation[Any]]) -> None:
        """All of them in one transaction, after what is owed; apart, when one of them will not do."""
        wanted = [operation for operation in operations if not operation.abandoned or operation.instead is not None]
        with self._doing:
            ended = self._try_all(wanted)
        for operation in ended:
            operation.end()

    def _try_all(self, operations: Sequence[Operation[Any]]) -> list[Operation[Any]]:
        """Those that were done or failed for good, in their order."""
        paid: list[Operation[Any]] = []
        ended: list[Operation[Any]] = []
        try:
            while self._owed:
                for operation in self._try(list(itertools.islice(self._owed, BATCH))):
                    self._owed.popleft()
                    paid.append(operation)
                    if operation.error is not None:
                        operation.unkept = _text_of(operation.error)
            for operation in self._try(operations):
                error = operation.error
                ended.append(operation if error is None else self._fail(operation, error))
        except StoreUnavailableError as unavailable:
            self.failed(unavailable)
            return [*paid, *ended, *(self._fail(operation, unavailable) for operation in operations[len(ended) :])]
        self._recovered()
        return [*paid, *ended]

    def _try(self, operations: Sequence[Operation[Any]]) -> Iterator[Operation[Any]]:
        """Those that were done, or refused. Raises `StoreUnavailableError`."""
        try:
            if operations:
                self._transaction(operations)
        except StoreUnavailableError:
            raise
        except BaseException as error:  # whoever waits for it must hear
            if len(operations) > 1:
                for operation in operations:
                    yield from self._try([operation])
                return
            (operation,) = operations
            if operation.bare is not None:
                operation.unkept = _text_of(error)
                operation.apply, operation.bare = operation.bare, None
                yield from self._try(operations)
                return
            operation.error = error
        yield from operations

    def _transaction(self, operations: Sequence[Operation[Any]]) -> None:
        with self._database.write() as connection:
            page = self._open(connection)
            if len(operations) > 1:
                page.preload(
                    {name for operation in operations for name in operation.names},
                    {key for operation in operations for key in operation.ids},
                    places={name for operation in operations if operation.places for name in operation.names},
                )
            for operation in operations:
                operation.answer, operation.error = operation.apply(page), None
            page.flush()
            if hooks.reached is not None:
                _reach(operations, "before")
        self._written(page)
        if hooks.reached is not None:
            _reach(operations, "after")

    def _fail(self, operation: Operation[Any], error: BaseException) -> Operation[Any]:
        """It could not be done: what must not be lost is owed, and answered without the store."""
        if operation.instead is None:
            operation.error = error
            return operation
        if not isinstance(error, StoreUnavailableError):
            operation.unkept = _text_of(error)
        elif len(self._owed) < OWED:
            self._owed.append(operation.later())
        else:
            operation.unkept = f"it cannot be reached, and {OWED} others wait for it"
        operation.answer, operation.error = operation.instead(), None
        return operation

    def failed(self, error: StoreError) -> None:
        """The store could not be reached: say so, but not all the time."""
        now, first = self._owner.monotonic(), self.ailment is None
        self.ailment = str(error)
        self.doubtful = self.doubtful or getattr(error, "uncertain", False)
        if now - self._said_at >= SAID_EVERY:
            self._said_at, self._told = now, True
            logger.warning(
                "%s. Until it can be again no slot is run; what is due is tried again until its grace ends", error
            )
        if first:
            self._safely(lambda: self._owner.tell_ailment(self.ailment))

    def _recovered(self) -> None:
        if self.ailment is None:
            return
        self.ailment = None
        if self._told:
            self._told = False
            logger.warning("The store %r can be reached again", self._database)
        self._safely(lambda: self._owner.tell_ailment(None))

    def owe(self, operation: Operation[Any]) -> None:
        """Do it as soon as the store can be reached."""
        self._owed.append(operation)

    def silence(self) -> str | None:
        """Since when the store has owed an answer, if that is long ago."""
        begun = self._database.asked_at
        seconds = 0.0 if begun is None else _monotonic() - begun
        if seconds <= PATIENCE:
            return None
        return f"The store {self._database!r} has not answered for {seconds:.0f} seconds"

    def log_owed(self) -> None:
        """This process may end: the log has what the store has not, until it has."""
        for operation in list(self._owed):
            operation.log("not yet: it could not be reached when the manager stopped")

    @property
    def owed(self) -> int:
        """How many outcomes wait for the store."""
        return len(self._owed)


def _text_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def _reach(operations: Sequence[Operation[Any]], when: str) -> None:
    for kind in [operation.kind for operation in operations]:
        hooks.at(f"{kind}:{when}")


#: Those of this process.
_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _finish_all() -> None:
    deadline = time.monotonic() + LAST_PATIENCE
    for ledger in list(_ledgers):
        ledger.finish(max(0.0, deadline - time.monotonic()))


atexit.register(_finish_all)
