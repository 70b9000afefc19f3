"""Services: made from values and factories, opened before a body, closed after it or when the manager stops."""

import asyncio
import contextlib
import datetime
import functools
import gc
import inspect
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import svcs

from task.errors import DeclarationError, DeclarationTypeError, ManagerStateError, MissingExtraError
from task.injection import InjectionPlan, Parameters, Services
from task.runs import Run

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0


class Database:
    """A service."""


class Session:
    """Another, that is made from the first."""

    def __init__(self, database: Any = None) -> None:
        self.database = database


def plan_of(services: Services, **types: type) -> InjectionPlan:
    """The plan of a body that takes these."""

    def body(**_: object) -> None: ...

    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(key, kind, annotation=hint) for key, hint in types.items()])
    body.__signature__ = signature  # type: ignore[attr-defined]  # what inspect.signature reads
    return InjectionPlan.of(Parameters("body", body), services)


def get(services: Services, run: Run, service: type) -> Any:
    """What one run on this thread is given."""
    with plan_of(services, wanted=service).fill(run) as extra:
        return extra["wanted"]


async def get_on_loop(services: Services, run: Run, service: type) -> Any:
    async with plan_of(services, wanted=service).fill_async(run) as extra:
        return extra["wanted"]


# What may be provided.


def test_a_value_is_given_as_it_is_and_not_entered(run: Run) -> None:
    class Guarded(contextlib.AbstractContextManager["Guarded"]):
        def __exit__(self, *_: object) -> None:
            raise AssertionError("nobody entered it")

    services, value = Services(), Guarded()
    services.provide(Guarded, value)
    assert get(services, run, Guarded) is value
    assert asyncio.run(get_on_loop(services, run, Guarded)) is value


@pytest.mark.parametrize(
    "factory",
    [Database, lambda: Database(), functools.partial(Database)],
    ids=["class", "function", "partial"],
)
def test_a_class_a_function_and_a_partial_are_factories(factory: Any, run: Run) -> None:
    services = Services()
    services.provide(Database, factory)
    first, second = get(services, run, Database), get(services, run, Database)
    assert isinstance(first, Database)
    assert first is not second


def by_type(container: svcs.Container) -> Session:
    return Session(container.get(Database))


def by_name(svcs_container):  # type: ignore[no-untyped-def]  # the name is enough
    return Session(svcs_container.get(Database))


@pytest.mark.parametrize("factory", [by_type, by_name], ids=lambda factory: factory.__name__)
def test_a_factory_may_take_the_container_of_the_others(factory: Any, run: Run) -> None:
    services = Services()
    services.provide(Database, Database)
    services.provide(Session, factory)
    with plan_of(services, session=Session, database=Database).fill(run) as extra:
        assert extra["session"].database is extra["database"]


def test_a_factory_that_svcs_wires_is_given_the_others(run: Run) -> None:
    class Report:
        def __init__(self, database: Database) -> None:
            self.database = database

    services = Services()
    services.provide(Database, Database)
    services.provide(Report, svcs.autowire(Report))
    assert isinstance(get(services, run, Report).database, Database)


@pytest.mark.parametrize("service", ["Database", list[int], None, Database | None], ids=repr)
def test_a_service_is_provided_for_a_class_only(service: Any) -> None:
    with pytest.raises(DeclarationTypeError, match="A service is provided for a class"):
        Services().provide(service, 3)


@pytest.mark.parametrize("service", [str, int, dict, datetime.datetime, uuid.UUID])
def test_what_is_the_callers_cannot_be_provided(service: type) -> None:
    with pytest.raises(DeclarationError, match=f"{service.__name__} cannot be provided: .* a class of your own"):
        Services().provide(service, 3)


def test_what_is_ours_cannot_be_provided() -> None:
    with pytest.raises(DeclarationError, match="Run is filled in already"):
        Services().provide(Run, 3)


def test_a_wrong_scope_is_refused() -> None:
    with pytest.raises(DeclarationTypeError, match="Database is 'run' or 'manager', not 'thread'"):
        Services().provide(Database, Database, scope="thread")  # type: ignore[arg-type]  # the mistake


def test_a_factory_that_cannot_be_called_is_refused_at_once() -> None:
    def connect(host: str) -> Database:
        return Database()

    with pytest.raises(DeclarationTypeError, match=r"factory of the service Database cannot be called: .*'host'"):
        Services().provide(Database, connect)


def test_without_svcs_providing_says_what_to_install_and_our_own_types_work(
    without: Callable[[str], None], run: Run
) -> None:
    without("svcs")
    services = Services()
    services.value(Database, "ours")
    services.of_run(Session, lambda run: run.task)
    with plan_of(services, run=Run, database=Database, session=Session).fill(run) as extra:
        assert extra == {"run": run, "database": "ours", "session": "sample"}
    with pytest.raises(MissingExtraError, match=r"pip install 'schedule-tasks\[services\]'"):
        services.provide(Services, Services)


def test_providing_again_replaces_it_for_later_runs(run: Run) -> None:
    services = Services()
    services.provide(Database, "old")
    with plan_of(services, database=Database).fill(run) as extra:
        services.provide(Database, "new")
        assert extra == {"database": "old"}
    assert get(services, run, Database) == "new"


# A run's own.


def test_context_managers_are_opened_before_the_body_and_closed_after_it_in_reverse_order(run: Run) -> None:
    log: list[str] = []

    def database() -> Iterator[str]:
        log.append("database opened")
        yield "database"
        log.append("database closed")

    @contextlib.contextmanager
    def session(container: svcs.Container) -> Iterator[str]:
        log.append(f"session opened on {container.get(Database)}")
        yield "session"
        log.append("session closed")

    services = Services()
    services.provide(Session, session)
    services.provide(Database, database)
    with plan_of(services, session=Session, database=Database).fill(run) as extra:
        log.append("body")
        assert extra == {"session": "session", "database": "database"}
    assert log == ["database opened", "session opened on database", "body", "session closed", "database closed"]


def test_a_service_learns_of_the_failure_of_the_body_and_cannot_hide_it(run: Run) -> None:
    learnt: list[str] = []

    def session() -> Iterator[str]:
        try:
            yield "session"
            learnt.append("committed")
        except ValueError:
            learnt.append("rolled back")

    services = Services()
    services.provide(Session, session)
    with pytest.raises(ValueError, match="of the body"), plan_of(services, session=Session).fill(run):
        raise ValueError("of the body")
    with plan_of(services, session=Session).fill(run):
        pass
    assert learnt == ["rolled back", "committed"]


@pytest.mark.parametrize("failure", [OSError("gone"), SystemExit(3)], ids=repr)
def test_a_failure_to_close_is_logged_and_changes_nothing(
    failure: BaseException, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[str] = []

    def database() -> Iterator[str]:
        yield "database"
        closed.append("database")

    def session(svcs_container: svcs.Container) -> Iterator[str]:
        svcs_container.get(Database)
        yield "session"
        raise failure

    services = Services()
    services.provide(Database, database)
    services.provide(Session, session)
    with caplog.at_level(logging.ERROR, "task"), plan_of(services, session=Session).fill(run):
        pass
    assert closed == ["database"]
    assert [record.message for record in caplog.records] == [
        "The service Session failed to close; the outcome of the run stands"
    ]


def test_a_failure_to_open_is_raised_and_what_was_open_is_closed(run: Run) -> None:
    closed: list[str] = []

    def database() -> Iterator[str]:
        try:
            yield "database"
        finally:
            closed.append("database")

    class Broken(contextlib.AbstractContextManager[str]):
        def __enter__(self) -> str:
            raise OSError("no such host")

        def __exit__(self, *_: object) -> None:
            closed.append("what was never open")

    services = Services()
    services.provide(Database, database)
    services.provide(Session, Broken)
    plan = plan_of(services, database=Database, session=Session)
    with pytest.raises(OSError, match="no such host"), plan.fill(run):
        raise AssertionError("the body ran")
    assert closed == ["database"]


def test_runs_at_once_share_nothing_of_their_own(run: Run) -> None:
    services = Services()
    services.provide(Database, Database)
    plan, together, given = plan_of(services, database=Database), threading.Barrier(8), []

    def body() -> None:
        with plan.fill(run) as extra:
            together.wait(LIMIT)
            given.append(extra["database"])
            together.wait(LIMIT)

    threads = [threading.Thread(target=body) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(set(map(id, given))) == 8


# The manager's.


def test_a_service_of_the_manager_is_made_once_when_sixteen_threads_ask_at_once(run: Run) -> None:
    made: list[Database] = []
    all_asked, begun, go_on = threading.Barrier(16), threading.Event(), threading.Event()

    def connect() -> Database:
        begun.set()
        go_on.wait(LIMIT)
        made.append(Database())
        return made[-1]

    services = Services()
    services.provide(Database, connect, scope="manager")
    plan, given = plan_of(services, database=Database), []

    def body() -> None:
        all_asked.wait(LIMIT)
        with plan.fill(run) as extra:
            given.append(extra["database"])

    threads = [threading.Thread(target=body) for _ in range(16)]
    for thread in threads:
        thread.start()
    assert begun.wait(LIMIT)
    go_on.set()
    for thread in threads:
        thread.join(LIMIT)
    assert len(made) == 1
    assert given == made * 16


def test_the_managers_services_close_at_the_end_in_reverse_order_and_can_be_made_again(run: Run) -> None:
    log: list[str] = []

    def database() -> Iterator[str]:
        log.append("database opened")
        yield "database"
        log.append("database closed")

    def session(svcs_container: svcs.Container) -> Iterator[str]:
        svcs_container.get(Database)
        log.append("session opened")
        yield "session"
        log.append("session closed")

    services = Services()
    services.provide(Session, session, scope="manager")
    services.provide(Database, database, scope="manager")
    assert get(services, run, Session) == get(services, run, Session) == "session"
    assert log == ["database opened", "session opened"]
    services.close()
    services.close()
    assert log[2:] == ["session closed", "database closed"]
    get(services, run, Database)
    assert log[4:] == ["database opened"]
    services.close()


def test_a_service_of_the_manager_that_is_replaced_stays_open_for_those_who_have_it(run: Run) -> None:
    closed: list[str] = []

    def open_one(name: str) -> Iterator[str]:
        yield name
        closed.append(name)

    services = Services()
    services.provide(Database, functools.partial(contextlib.contextmanager(open_one), "old"), scope="manager")
    assert get(services, run, Database) == "old"
    services.provide(Database, functools.partial(contextlib.contextmanager(open_one), "new"), scope="manager")
    assert get(services, run, Database) == "new"
    assert closed == []
    services.close()
    assert closed == ["new", "old"]


def test_a_service_of_the_manager_that_could_not_be_made_is_tried_again(run: Run) -> None:
    answers: list[Any] = [OSError("not yet"), "database"]

    def connect() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    services = Services()
    services.provide(Database, connect, scope="manager")
    with pytest.raises(OSError, match="not yet"):
        get(services, run, Database)
    assert get(services, run, Database) == "database"


def test_a_service_of_the_manager_cannot_be_made_from_one_of_a_run(run: Run) -> None:
    services = Services()
    services.provide(Database, Database, scope="run")
    services.provide(Session, lambda svcs_container: Session(svcs_container.get(Database)), scope="manager")
    with pytest.raises(svcs.exceptions.ServiceNotFoundError):
        get(services, run, Session)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # at the limit not even a container can be closed
def test_services_that_need_each_other_fail_and_do_not_hang(run: Run) -> None:
    async def needs_session(svcs_container: svcs.Container) -> Any:
        return await svcs_container.aget(Session)

    async def needs_database(svcs_container: svcs.Container) -> Any:
        return await svcs_container.aget(Database)

    services = Services()
    services.provide(Database, lambda svcs_container: svcs_container.get(Session), scope="manager")
    services.provide(Session, lambda svcs_container: svcs_container.get(Database), scope="manager")
    with pytest.raises(RecursionError):
        get(services, run, Database)
    services.provide(Database, needs_session, scope="manager")
    services.provide(Session, needs_database, scope="manager")
    with pytest.raises(RecursionError):
        asyncio.run(get_on_loop(services, run, Database))
    gc.collect()


def test_a_failure_to_close_a_service_of_the_manager_leaves_none_open(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[str] = []

    def database() -> Iterator[str]:
        yield "database"
        closed.append("database")

    def session() -> Iterator[str]:
        yield "session"
        raise OSError("gone")

    services = Services()
    services.provide(Database, database, scope="manager")
    services.provide(Session, session, scope="manager")
    get(services, run, Database)
    get(services, run, Session)
    services.close()
    assert closed == ["database"]
    assert "The service Session failed to close" in caplog.text


def test_a_forked_child_makes_its_own_and_leaves_the_parents_open(run: Run) -> None:
    closed: list[str] = []

    def database() -> Iterator[Database]:
        yield Database()
        closed.append("database")

    services = Services()
    services.provide(Database, database, scope="manager")
    of_the_parent = get(services, run, Database)
    services.reset_after_fork()
    services.close()
    assert closed == []
    assert get(services, run, Database) is not of_the_parent
    services.close()


# On the event loop.


def test_async_factories_are_awaited_opened_and_closed_in_reverse_order(run: Run) -> None:
    log: list[str] = []

    async def database() -> AsyncIterator[str]:
        log.append("database opened")
        yield "database"
        log.append("database closed")

    @contextlib.asynccontextmanager
    async def session(svcs_container: svcs.Container) -> AsyncIterator[str]:
        await svcs_container.aget(Database)
        yield "session"
        log.append("session closed")

    class Client:
        async def __aenter__(self) -> str:
            return "client"

        async def __aexit__(self, *_: object) -> None:
            log.append("client closed")

        def __enter__(self) -> str:
            raise TypeError("use async with")

        def __exit__(self, *_: object) -> None:
            raise TypeError("use async with")

    class Plain: ...

    async def plain() -> str:
        await asyncio.sleep(0)
        return "plain"

    services = Services()
    for service, factory in ((Database, database), (Session, session), (Client, Client), (Plain, plain)):
        services.provide(service, factory)

    async def body() -> None:
        plan = plan_of(services, session=Session, client=Client, plain=Plain, run=Run)
        async with plan.fill_async(run) as extra:
            assert extra == {"session": "session", "client": "client", "plain": "plain", "run": run}
            log.append("body")

    asyncio.run(body())
    assert log == ["database opened", "body", "client closed", "session closed", "database closed"]


def test_an_async_service_learns_that_the_body_was_cancelled_and_closes_to_the_end(run: Run) -> None:
    log: list[str] = []

    async def database() -> AsyncIterator[str]:
        try:
            yield "database"
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("rolled back")
            raise

    services = Services()
    services.provide(Database, database)

    async def body(inside: asyncio.Event) -> None:
        async with plan_of(services, database=Database).fill_async(run):
            inside.set()
            await asyncio.Event().wait()

    async def main() -> None:
        inside = asyncio.Event()
        task = asyncio.create_task(body(inside))
        await asyncio.wait_for(inside.wait(), LIMIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == ["rolled back"]


def test_a_service_on_the_loop_that_fails_to_close_is_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def database() -> AsyncIterator[str]:
        yield "database"
        raise OSError("gone")

    services = Services()
    services.provide(Database, database)
    assert asyncio.run(get_on_loop(services, run, Database)) == "database"
    assert "The service Database failed to close" in caplog.text


def test_an_async_service_of_the_manager_is_made_once_and_closed_on_its_loop(run: Run) -> None:
    log: list[str] = []

    async def database() -> AsyncIterator[Database]:
        await asyncio.sleep(0)
        log.append("opened")
        yield Database()
        log.append("closed")

    services = Services()
    services.provide(Database, database, scope="manager")
    services.provide(Session, Session, scope="manager")

    async def on_session(svcs_container: svcs.Container) -> Any:
        return (await svcs_container.aget(Database), svcs_container.get(Session))

    class Both: ...

    services.provide(Both, on_session, scope="manager")

    async def main() -> None:
        asked = await asyncio.gather(*(get_on_loop(services, run, Database) for _ in range(16)))
        assert len(set(map(id, asked))) == 1
        database, session = await get_on_loop(services, run, Both)
        assert database is asked[0]
        assert session is await get_on_loop(services, run, Session)
        await services.aclose()
        await services.aclose()

    asyncio.run(main())
    services.close()
    assert log == ["opened", "closed"]


def test_a_service_that_threads_share_is_made_off_the_event_loop(run: Run) -> None:
    made_by: list[threading.Thread] = []

    def connect() -> Database:
        made_by.append(threading.current_thread())
        return Database()

    services = Services()
    services.provide(Database, connect, scope="manager")
    assert asyncio.run(get_on_loop(services, run, Database)) is get(services, run, Database)
    assert made_by != [threading.current_thread()]


def test_a_service_of_one_event_loop_is_refused_to_another(run: Run) -> None:
    async def connect() -> Database:
        return Database()

    services = Services()
    services.provide(Database, connect, scope="manager")

    async def main() -> None:
        await get_on_loop(services, run, Database)
        with pytest.raises(ManagerStateError, match="Database lives on the manager's event loop"):
            await asyncio.to_thread(asyncio.run, get_on_loop(services, run, Database))
        await services.aclose()

    asyncio.run(main())


def test_a_service_whose_event_loop_is_gone_is_made_again_and_that_is_said(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    class Client:
        async def __aenter__(self) -> "Client":
            return self

        async def __aexit__(self, *_: object) -> None: ...

    services = Services()
    services.provide(Client, Client, scope="manager")
    first = asyncio.run(get_on_loop(services, run, Client))

    async def main() -> None:
        assert await get_on_loop(services, run, Client) is not first
        await services.aclose()

    asyncio.run(main())
    assert [record.message.rpartition(".")[2] for record in caplog.records] == ["Client"]
    assert "left open, as their event loop is gone" in caplog.text


@pytest.mark.parametrize("scope", ["run", "manager"])
def test_a_factory_that_turns_out_to_need_awaiting_says_how_to_write_it(scope: Any, run: Run) -> None:
    async def connect() -> Database:
        return Database()

    services = Services()
    services.provide(Database, lambda: connect(), scope=scope)
    with pytest.raises(DeclarationError, match=r"Database made 'coroutine', .* async def"):
        get(services, run, Database)
