"""The log of a run: bounded, kept apart, and nothing of the application's logging changed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import datetime
import gc
import io
import json
import logging
import logging.handlers
import pickle
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from task import TaskManager, current_run
from task.runs import set_current_run
from task.runs.log import LogLine, RunLog, capture_logs, release_logs, run_logger
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)


class FakeRun:
    """What the log needs of a run."""

    task = "sample"
    redactor = None

    def __init__(self) -> None:
        self.log = RunLog()

    def keep_line(self, line: LogLine) -> None:
        self.log.append(line)

    @property
    def messages(self) -> list[str]:
        return [line.message for line in self.log.lines()]

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        token = set_current_run(cast(Any, self))
        try:
            yield
        finally:
            token.var.reset(token)


@pytest.fixture
def run() -> FakeRun:
    return FakeRun()


def adapter_of(run: FakeRun) -> logging.LoggerAdapter[logging.Logger]:
    return run_logger(cast(Any, run))


@pytest.fixture
def captured() -> Iterator[None]:
    release_logs()
    before = logging.getLogRecordFactory()
    capture_logs()
    yield
    release_logs()
    assert logging.getLogRecordFactory() is before


@pytest.fixture
def app() -> Iterator[logging.Logger]:
    """A logger of the application, with no handler of its own, at INFO."""
    logger = logging.getLogger("an.application")
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate, logger.disabled = True, False


def line(message: str, logger: str = "") -> LogLine:
    return LogLine(NOON, logging.INFO, logger, message)


# A line.


def test_a_line_is_one_line_for_people_and_json_for_programs() -> None:
    said = LogLine(NOON, logging.WARNING, "app", "two\nlines")
    assert str(said) == "2026-05-04T12:00:00.000+00:00 WARNING app: two ↵ lines"
    assert json.loads(json.dumps(said.as_dict())) == {
        "at": "2026-05-04T12:00:00+00:00",
        "level": "WARNING",
        "logger": "app",
        "message": "two\nlines",
    }
    assert pickle.loads(pickle.dumps(said)) == said


# The bounds.


def test_a_short_log_is_kept_as_a_whole() -> None:
    log = RunLog()
    for number in range(1_000):
        log.append(line(str(number)))
    assert [kept.message for kept in log.lines()] == [str(number) for number in range(1_000)]
    assert log.dropped == 0


def test_of_too_many_lines_the_first_fifth_and_the_newest_stay() -> None:
    log = RunLog()
    for number in range(5_000):
        log.append(line(str(number)))
    kept = [int(kept.message) for kept in log.lines()]
    assert kept == [*range(200), *range(4_200, 5_000)]
    assert log.dropped == 4_000


def test_of_too_many_characters_the_first_fifth_and_the_newest_stay() -> None:
    log = RunLog()
    for number in range(500):
        log.append(line(f"{number:990d}", "ten--chars"))
    kept = [int(kept.message) for kept in log.lines()]
    assert kept == [*range(12), *range(448, 500)]
    assert log.dropped == 436


def test_a_long_line_is_cut_in_its_middle_and_says_so() -> None:
    log = RunLog()
    log.append(line("a" * 5_000 + "b" * 5_000, "n" * 500))
    (kept,) = log.lines()
    assert kept.message == "a" * 1_975 + " … [6050 characters cut] … " + "b" * 1_975
    assert kept.logger == "n" * 200


def test_lines_from_many_threads_are_all_counted() -> None:
    log = RunLog()

    def say() -> None:
        for _ in range(2_000):
            log.append(line("x" * 100))

    threads = [threading.Thread(target=say) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(log.lines()) + log.dropped == 16_000
    assert sum(len(kept.message) for kept in log.lines()) <= 64_000


# Any logger.


def test_lines_of_any_logger_inside_a_run_are_kept_at_its_effective_level(
    run: FakeRun, captured: None, app: logging.Logger
) -> None:
    app.info("before")
    with run.under_way():
        app.info("%d rows", 12)
        app.debug("not enabled")
        app.getChild("part").warning("%(name)s is odd", {"name": "it"})
    app.info("after")
    assert [(kept.level, kept.logger, kept.message) for kept in run.log.lines()] == [
        (20, "an.application", "12 rows"),
        (30, "an.application.part", "it is odd"),
    ]
    assert run.log.lines()[0].at.utcoffset() == datetime.timedelta(0)


def test_threads_and_coroutines_are_kept_apart(captured: None, app: logging.Logger) -> None:
    runs = [FakeRun() for _ in range(20)]

    async def body(run: FakeRun) -> None:
        with run.under_way():
            for _ in range(5):
                await asyncio.sleep(0)
                app.info("%d", runs.index(run))

    async def bodies() -> None:
        await asyncio.gather(*map(body, runs))

    thread = threading.Thread(target=lambda: asyncio.run(bodies()))
    thread.start()
    thread.join(LIMIT)
    assert [run.messages for run in runs] == [[str(number)] * 5 for number in range(20)]


def test_our_own_lines_are_not_kept(run: FakeRun, captured: None) -> None:
    with run.under_way():
        logging.getLogger("task").warning("task 'sample' failed")
    assert run.messages == []


def test_a_disabled_logger_and_one_that_does_not_propagate_do_as_they_do(
    run: FakeRun, captured: None, app: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    with run.under_way():
        app.disabled = True
        app.error("nobody hears")
        app.disabled, app.propagate = False, False
        app.addHandler(logging.NullHandler())
        app.error("the run hears")
    assert (run.messages, caplog.messages) == (["the run hears"], [])


def test_no_handler_is_added_and_every_handler_sees_what_it_saw(
    run: FakeRun, app: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    handlers = {name: list(logging.getLogger(name).handlers) for name in (None, "task", "task.run", "an.application")}
    capture_logs()
    with run.under_way():
        app.info("12 rows")
        adapter_of(run).warning("13 rows")
    release_logs()
    after = {name: list(logging.getLogger(name).handlers) for name in (None, "task", "task.run", "an.application")}
    assert after == handlers
    assert caplog.messages == ["12 rows", "13 rows"]
    assert run.messages == ["12 rows", "13 rows"]


def test_a_queue_handler_and_its_listener_do_not_double_a_line(
    run: FakeRun, captured: None, app: logging.Logger
) -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    app.propagate = False
    app.addHandler(logging.handlers.QueueHandler(records))
    with run.under_way():
        app.info("%d rows", 12)
        record = records.get_nowait()
        logging.getLogger("an.application").handle(copy.copy(record))
        logging.makeLogRecord(record.__dict__)
    assert run.messages == ["12 rows"]


# What goes wrong while a line is made.


class Hostile:
    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __str__(self) -> str:
        return str(self.act())


def test_a_line_that_cannot_be_formatted_says_so_and_harms_nobody(
    run: FakeRun, captured: None, app: logging.Logger
) -> None:
    app.propagate = False
    app.addHandler(logging.NullHandler())
    with run.under_way():
        app.info("%d rows", "no number")
        app.info("%s rows", Hostile(lambda: 1 / 0))
        app.info("%s rows", Hostile(lambda: (_ for _ in ()).throw(ValueError(Hostile(lambda: 1 / 0)))))
    first, second, third = run.messages
    assert first.startswith("(the text of this line could not be made: TypeError: %d format: a real number is required")
    assert f"; it is logged at {__file__}:" in first
    assert second.startswith("(the text of this line could not be made: ZeroDivisionError: division by zero; it is")
    assert third.startswith("(the text of this line could not be made: ValueError; it is logged at ")


@pytest.mark.parametrize("raises", [True, False])
def test_the_handlers_still_report_a_bad_line_in_their_own_way(
    raises: bool, run: FakeRun, captured: None, app: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", raises)
    errors = io.StringIO()
    monkeypatch.setattr("sys.stderr", errors)
    app.propagate = False
    app.addHandler(logging.StreamHandler(io.StringIO()))
    with run.under_way():
        app.info("%d rows", "no number")
    assert errors.getvalue().startswith("--- Logging error ---") is raises
    assert len(run.messages) == 1


def test_an_argument_that_logs_while_it_is_formatted_does_not_recurse(
    run: FakeRun, captured: None, app: logging.Logger
) -> None:
    def say() -> str:
        app.info("%s", Hostile(say))
        adapter_of(run).info("%s", "from within")
        return "it"

    app.propagate = False
    app.addHandler(logging.NullHandler())
    with run.under_way():
        app.info("%s works", Hostile(lambda: app.info("inner") or "outer"))
    assert run.messages == ["outer works"]


def test_a_run_that_cannot_keep_a_line_harms_nobody(
    run: FakeRun, captured: None, app: logging.Logger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(line: LogLine) -> None:
        raise BrokenPipeError("the parent is gone")

    monkeypatch.setattr(run, "keep_line", fail)
    with run.under_way():
        app.info("12 rows")
    assert caplog.messages == ["A line that task 'sample' logged could not be kept with its run.", "12 rows"]


def test_an_exception_is_kept_as_text_with_its_traceback(run: FakeRun, captured: None, app: logging.Logger) -> None:
    def fail(depth: int) -> None:
        if depth:
            fail(depth - 1)
        raise ValueError("the disk is full")

    with run.under_way():
        try:
            fail(50)
        except ValueError:
            app.exception("no copy")
        app.error("no exception here", exc_info=True)
    first, second = run.messages
    assert first.startswith("no copy\nTraceback (most recent call last):\n")
    assert first.endswith("ValueError: the disk is full")
    assert len(first) <= 4_000
    assert second == "no exception here"


def test_a_kept_line_keeps_nothing_else_alive(run: FakeRun, captured: None, app: logging.Logger) -> None:
    class Text(str):
        pass

    class Speaker:
        def __init__(self, text: str) -> None:
            self.text = text

        def __str__(self) -> str:
            return self.text

    app.propagate = False
    app.addHandler(logging.NullHandler())

    class OurError(ValueError):
        pass

    said, form, failure = Text("a"), Text("%s b"), OurError("no")
    speaker = Speaker(said)
    alive = [weakref.ref(thing) for thing in (said, form, speaker, failure)]
    with run.under_way():
        app.info(said)
        app.info(form, said)
        app.info(speaker)
        app.error("c", exc_info=failure)
    del said, form, speaker, failure
    gc.collect()
    assert [ref() for ref in alive] == [None] * 4
    assert run.messages[:3] == ["a", "a b", "a"]
    assert run.messages[3].startswith("c\n")
    assert run.messages[3].endswith("OurError: no")


# The record factory.


def test_capturing_twice_is_capturing_once(run: FakeRun, captured: None, app: logging.Logger) -> None:
    factory = logging.getLogRecordFactory()
    capture_logs()
    with run.under_way():
        app.info("12 rows")
    assert logging.getLogRecordFactory() is factory
    assert run.messages == ["12 rows"]


def test_the_factory_of_the_application_is_asked_as_before(run: FakeRun, app: logging.Logger) -> None:
    class Brace(logging.LogRecord):
        def getMessage(self) -> str:  # noqa: N802 - logging's name
            return str(self.msg).format(*cast(tuple[object, ...], self.args))

    logging.setLogRecordFactory(Brace)
    try:
        capture_logs()
        with run.under_way():
            app.info("{} rows", 12)
            adapter_of(run).info("{} rows", 13)
        release_logs()
        assert logging.getLogRecordFactory() is Brace
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert run.messages == ["12 rows", "13 rows"]


def test_a_later_factory_that_asks_ours_is_left_alone(run: FakeRun, captured: None, app: logging.Logger) -> None:
    ours = logging.getLogRecordFactory()

    def marking(*values: Any, **named: Any) -> logging.LogRecord:
        return ours(*values, **named)

    logging.setLogRecordFactory(marking)
    try:
        capture_logs()
        assert logging.getLogRecordFactory() is marking
        with run.under_way():
            app.info("12 rows")
        release_logs()
        assert logging.getLogRecordFactory() is marking
    finally:
        logging.setLogRecordFactory(ours)
    assert run.messages == ["12 rows"]


@pytest.mark.parametrize("picky", [False, True])
def test_a_later_factory_that_forgets_ours_is_built_upon(
    picky: bool, run: FakeRun, captured: None, app: logging.Logger
) -> None:
    before = logging.getLogRecordFactory()

    def forgetful(name: str, *values: Any, **named: Any) -> logging.LogRecord:
        return logging.LogRecord(name.lower() if picky else name, *values, **named)

    logging.setLogRecordFactory(forgetful)
    try:
        capture_logs()
        capture_logs()
        with run.under_way():
            app.info("12 rows")
        release_logs()
        assert logging.getLogRecordFactory() is forgetful
    finally:
        logging.setLogRecordFactory(before)
    assert run.messages == ["12 rows"]


def test_a_chain_with_ours_in_it_twice_keeps_a_line_once(run: FakeRun, captured: None, app: logging.Logger) -> None:
    ours = logging.getLogRecordFactory()

    def picky(name: str, *values: Any, **named: Any) -> logging.LogRecord:
        return ours(name.lower(), *values, **named)

    logging.setLogRecordFactory(picky)
    try:
        capture_logs()
        with run.under_way():
            app.info("12 rows")
        release_logs()
    finally:
        logging.setLogRecordFactory(ours)
    assert run.messages == ["12 rows"]


def test_what_the_factory_of_the_application_raises_is_raised(run: FakeRun, app: logging.Logger) -> None:
    def failing(*values: Any, **named: Any) -> logging.LogRecord:
        raise LookupError("theirs")

    logging.setLogRecordFactory(failing)
    try:
        capture_logs()
        with run.under_way(), pytest.raises(LookupError, match="theirs"):
            app.info("12 rows")
        release_logs()
    finally:
        logging.setLogRecordFactory(logging.LogRecord)


# run.logger.


@pytest.fixture
def level_of_task_run() -> Iterator[Callable[[int], None]]:
    logger = logging.getLogger("task.run")
    yield logger.setLevel
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("capturing", [True, False])
@pytest.mark.parametrize(
    ("level", "kept", "handled"),
    [
        (logging.WARNING, ["info", "error"], ["error"]),
        (logging.INFO, ["info", "error"], ["info", "error"]),
        (logging.DEBUG, ["debug", "info", "error"], ["debug", "info", "error"]),
        (logging.CRITICAL, ["info", "error"], []),
    ],
)
def test_the_run_keeps_from_info_on_and_the_handlers_see_what_is_enabled(
    capturing: bool,
    level: int,
    kept: list[str],
    handled: list[str],
    run: FakeRun,
    level_of_task_run: Callable[[int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    level_of_task_run(level)
    if capturing:
        capture_logs()
    with run.under_way():
        for said in ("debug", "info", "error"):
            getattr(adapter_of(run), said)("%s", said)
    release_logs()
    assert (run.messages, caplog.messages) == (kept, handled)
    assert {kept.logger for kept in run.log.lines()} == {"task.run"}


def test_it_is_bound_to_its_run_in_any_thread(run: FakeRun, captured: None) -> None:
    other = FakeRun()

    def say() -> None:
        with other.under_way():
            adapter_of(run).info("from a thread")

    thread = threading.Thread(target=contextvars.Context().run, args=(say,))
    thread.start()
    thread.join(LIMIT)
    assert (run.messages, other.messages) == (["from a thread"], [])


def test_the_handlers_see_the_file_and_line_of_the_body(run: FakeRun, caplog: pytest.LogCaptureFixture) -> None:
    def helper() -> None:
        adapter_of(run).warning("b", stacklevel=2)

    def body() -> None:
        adapter_of(run).warning("a")
        adapter_of(run).log(logging.WARNING, "a")
        helper()

    body()
    first = body.__code__.co_firstlineno
    assert [(record.pathname, record.lineno, record.funcName) for record in caplog.records] == [
        (__file__, first + 1, "body"),
        (__file__, first + 2, "body"),
        (__file__, first + 3, "body"),
    ]


def test_a_line_of_it_that_cannot_be_formatted_names_the_line_of_the_body(
    run: FakeRun, level_of_task_run: Callable[[int], None]
) -> None:
    level_of_task_run(logging.CRITICAL)

    def body() -> None:
        adapter_of(run).info("%d", "x")

    body()
    assert run.messages[0].endswith(f"; it is logged at {__file__}:{body.__code__.co_firstlineno + 1})")


@pytest.mark.parametrize("capturing", [True, False])
def test_its_exception_is_kept_with_the_traceback(
    capturing: bool, run: FakeRun, caplog: pytest.LogCaptureFixture
) -> None:
    if capturing:
        capture_logs()
    failure = KeyError("missing")
    try:
        raise failure
    except KeyError:
        adapter_of(run).exception("no copy")
    adapter_of(run).error("again", exc_info=failure)
    release_logs()
    for message, start in zip(run.messages, ("no copy\nTraceback ", "again\nTraceback "), strict=True):
        assert message.startswith(start)
        assert message.endswith("KeyError: 'missing'")
    assert [record.exc_info and record.exc_info[1] for record in caplog.records] == [failure, failure]


def test_extra_reaches_the_handlers(run: FakeRun, caplog: pytest.LogCaptureFixture) -> None:
    adapter_of(run).warning("a", extra={"customer": "Ada"})
    assert caplog.records[0].customer == "Ada"  # type: ignore[attr-defined]  # set by extra


def test_a_thousand_runs_name_no_new_logger() -> None:
    adapter_of(FakeRun()).info("first")
    before = len(logging.Logger.manager.loggerDict)
    for _ in range(1_000):
        adapter_of(FakeRun()).info("a line")
    assert len(logging.Logger.manager.loggerDict) == before


def test_a_collected_object_that_logs_does_not_lock_up(run: FakeRun, captured: None, app: logging.Logger) -> None:
    class Dying:
        def __del__(self) -> None:
            app.info("gone")

    class Message(str):
        def __len__(self) -> int:
            Dying()
            return super().__len__()

    app.propagate = False
    app.addHandler(logging.NullHandler())
    ended = threading.Event()

    def say() -> None:
        with run.under_way():
            run.log.append(line(Message("last words")))
        ended.set()

    threading.Thread(target=say, daemon=True).start()
    assert ended.wait(LIMIT)
    assert sorted(set(run.messages)) == ["gone", "last words"]


def test_the_lines_of_a_run_have_the_time_of_its_manager() -> None:
    clock = VirtualClock(NOON)

    def body() -> None:
        logging.getLogger("app").warning("heard by the factory")
        clock.sleep(90)
        current_run().logger.info("said to the run")

    with TaskManager([], clock=clock) as manager:
        manager.add(body, name="sample").trigger()
        clock.advance(seconds=1)

    assert [str(line) for line in manager.runs("sample")[0].log] == [
        "2026-05-04T12:00:00.000+00:00 WARNING app: heard by the factory",
        "2026-05-04T12:01:30.000+00:00 INFO task.run: said to the run",
    ]
