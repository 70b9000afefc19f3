"""Managers inside asyncio programs, and bodies that do what bodies should not."""

from __future__ import annotations

import asyncio
import datetime
import threading

import pytest

from task import Run, RunState, TaskManager, current_run, every
from task.testing import VirtualClock

#: Whatever is waited for comes within this, or the test fails. Seconds.
LIMIT = 60

#: How the bodies of a task are run: each kind of body on each kind of executor.
KINDS = ("serial", "threaded", "async")


def add(manager: TaskManager, kind: str, body, schedule=None, **options):
    """Register *body*, a plain function, as a body of *kind*."""
    if kind != "async":
        return manager.add(body, schedule, threaded=kind == "threaded", **options)

    async def coroutine():
        await asyncio.sleep(0)
        return body()

    return manager.add(coroutine, schedule, **{"name": body.__name__, **options})


# In an event loop of the program's own.


def test_async_with_runs_the_manager_beside_the_programs_own_loop():
    fired = threading.Semaphore(0)

    async def main() -> str:
        async with TaskManager([]) as manager:
            manager.add(fired.release, every(0.02).seconds, name="plain")

            @manager.task(every(0.02).seconds)
            async def coroutine():
                await asyncio.sleep(0)
                fired.release()

            loop = asyncio.get_running_loop()
            for _ in range(6):
                assert await loop.run_in_executor(None, fired.acquire, True, LIMIT)
            assert manager.health
            state = manager.health.state
        assert (manager.health.state, manager.audit()) == ("stopped", [])
        return state

    assert asyncio.run(main()) == "running"


def test_async_with_stops_the_manager_when_its_block_raises():
    async def main() -> TaskManager:
        manager = TaskManager([])
        manager.add(print, every(1).hours)
        with pytest.raises(LookupError):
            async with manager:
                raise LookupError
        return manager

    assert asyncio.run(main()).health.state == "stopped"


def test_leaving_async_with_does_not_block_the_programs_loop():
    begun, ticked = threading.Event(), threading.Event()

    async def main() -> str:
        async with TaskManager([]) as manager:

            @manager.task(threaded=True)
            def long():
                begun.set()
                ticked.wait(LIMIT)

            manager["long"].trigger()
            await asyncio.to_thread(begun.wait, LIMIT)

            async def tick() -> None:
                while manager.health.state == "running":
                    await asyncio.sleep(0)
                ticked.set()

            ticker = asyncio.create_task(tick())
        await ticker
        return manager.tasks_detail[0]["last_outcome"]["state"]

    assert asyncio.run(main()) == "succeeded"


def test_lifespan_serves_an_asgi_application():
    """An application as Starlette's: its lifespan is entered before the first request, left after the last."""
    seen = []
    manager = TaskManager([])

    @manager.task
    async def answer():
        return 42

    class Application:
        def __init__(self, lifespan) -> None:
            self.lifespan = lifespan

        async def __call__(self, scope, receive, send) -> None:
            assert (await receive())["type"] == "lifespan.startup"
            async with self.lifespan(self):
                await send({"type": "lifespan.startup.complete"})
                seen.append((manager.health.state, await answer()))
                assert (await receive())["type"] == "lifespan.shutdown"
            await send({"type": "lifespan.shutdown.complete"})

    async def server() -> None:
        incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive():
            return next(incoming)

        async def send(message):
            seen.append(message["type"])

        await Application(manager.lifespan)({"type": "lifespan"}, receive, send)

    asyncio.run(server())
    assert seen == ["lifespan.startup.complete", ("running", 42), "lifespan.shutdown.complete"]
    assert manager.health.state == "stopped"


def test_the_body_of_an_async_task_may_be_awaited_or_triggered_from_the_programs_loop():
    async def main() -> None:
        async with TaskManager([]) as manager:

            @manager.task
            async def where():
                await asyncio.sleep(0)
                return threading.current_thread().name

            assert await where() == threading.current_thread().name
            run = where.trigger()
            assert await asyncio.to_thread(run.wait, LIMIT)
            assert [found.trigger for found in manager.runs("where")] == ["manual", "call"]

    asyncio.run(main())


# What bodies do to the manager.


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_may_stop_the_manager(kind, wait_for):
    manager = TaskManager([])

    def stops():
        manager.stop()
        return "returned"

    add(manager, kind, stops, every(0.02).seconds)
    manager.run()
    wait_for(lambda: manager.health.state == "stopped")
    ended = [run for run in manager.runs("stops") if run.state is RunState.SUCCEEDED]
    assert ended
    assert manager.audit() == []
    manager.run()  # and again
    wait_for(lambda: manager.health.state == "stopped")
    assert len([run for run in manager.runs("stops") if run.state is RunState.SUCCEEDED]) > len(ended)


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_may_remove_its_own_task(kind, clock, manager):
    seen = []

    def leaves():
        seen.append(current_run().state)
        manager.remove("leaves")
        return "done"

    task = add(manager, kind, leaves, every(10).seconds)
    others = []
    manager.add(lambda: others.append(clock.now()), every(10).seconds, name="other")
    with manager:
        clock.advance(minutes=1)
        assert "leaves" not in manager
        assert [run.state for run in manager.runs("leaves")] == ["succeeded"]
    assert (seen, len(others)) == (["running"], 6)
    assert task.schedules[0].next_run is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_triggers_itself_is_told_that_it_runs_already(kind, clock, manager):
    inner: list[Run] = []

    def again():
        inner.append(manager["again"].trigger())

    add(manager, kind, again, every(10).seconds)
    with manager:
        clock.advance(seconds=30)
    assert [(run.state, run.reason) for run in inner] == [("skipped", "already running")] * 3
    assert [run.state for run in manager.runs("again", state="succeeded")] == ["succeeded"] * 3


@pytest.mark.parametrize("kind", ["serial", "threaded"])
def test_a_body_that_calls_itself_recurses_within_one_run(kind, clock, manager):
    results = []

    def factorial(number: int = 5):
        result = 1 if number < 2 else number * task(number - 1)
        results.append(result)
        return result

    task = add(manager, kind, factorial, every(10).seconds)
    with manager:
        clock.advance(seconds=10)
    assert results == [1, 2, 6, 24, 120]
    assert len(manager.runs("factorial")) == 1


def test_an_async_body_that_awaits_itself_recurses_within_one_run(clock, manager):
    results = []

    @manager.task(every(10).seconds)
    async def factorial(number: int = 5):
        result = 1 if number < 2 else number * await factorial(number - 1)
        results.append(result)
        return result

    with manager:
        clock.advance(seconds=10)
    assert results == [1, 2, 6, 24, 120]
    assert len(manager.runs("factorial")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_endless_recursion_fails_that_run_only(kind, clock, manager):
    def deeper():
        return manager["deeper"].func() if kind == "async" else manager["deeper"]()

    def endless():
        return endless()

    add(manager, kind, deeper if kind != "async" else endless, every(10).seconds, name="deeper")
    others = []
    manager.add(lambda: others.append(1), every(10).seconds, name="other")
    with manager:
        clock.advance(seconds=20)
    assert {str(run.state) for run in manager.runs("deeper")} == {"failed"}
    assert manager.runs("deeper")[0].error.startswith("RecursionError")
    assert len(others) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", ["generator", "coroutine"])
def test_a_body_that_returns_what_nobody_drives_has_failed(kind, made, clock, manager):
    def generator():
        yield 1

    async def coroutine():
        return 1

    def unfinished():
        return {"generator": generator, "coroutine": coroutine}[made]()

    add(manager, kind, unfinished, every(10).seconds)
    with manager:
        clock.advance(seconds=10)
    (run,) = manager.runs("unfinished")
    assert run.state is RunState.FAILED
    assert f"returned a {made}" in run.error


def test_a_direct_call_gives_the_generator_to_the_caller(manager):
    @manager.task
    def numbers():
        yield from range(3)

    assert list(numbers()) == [0, 1, 2]


# What bodies raise: nine bodies, on three kinds of executors.


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unheard(BaseException):
    pass


def recurse() -> None:
    recurse()


def raising(error: BaseException):
    def body() -> None:
        raise error

    return body


RAISED = {
    "Exception": (raising(ValueError("deliberate")), "ValueError: deliberate"),
    "BaseException": (raising(Unheard("deliberate")), "Unheard: deliberate"),
    "SystemExit": (raising(SystemExit(3)), "SystemExit: 3"),
    "KeyboardInterrupt": (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    "GeneratorExit": (raising(GeneratorExit()), "GeneratorExit"),
    "StopIteration": (raising(StopIteration(1)), "StopIteration: 1"),
    "unprintable": (raising(UnprintableError()), "UnprintableError: (its text raises)"),
    "RecursionError": (recurse, "RecursionError: maximum recursion depth exceeded"),
    "MemoryError": (raising(MemoryError("x" * 100_000)), "MemoryError: xxx"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RAISED)
def test_whatever_a_body_raises_that_run_has_failed_and_the_others_are_on_time(name, kind, clock, manager):
    body, text = RAISED[name]

    def bad():
        body()

    told = []
    add(manager, kind, bad, every(10).seconds, on_failed=told.append, on_complete=told.append)
    times = {other: [] for other in KINDS}
    for other in KINDS:
        seen = times[other]
        add(manager, other, lambda seen=seen: seen.append(clock.now()), every(10).seconds, name=f"good {other}")
    with manager:
        begun = clock.now()
        clock.advance(minutes=1)
        assert manager.health
    due = [begun + datetime.timedelta(seconds=10 * slot) for slot in range(1, 7)]
    assert times == {"serial": due, "threaded": due, "async": due}
    runs = manager.runs("bad")
    assert [run.state for run in runs] == ["failed"] * 6
    if not (kind == "async" and name == "StopIteration"):  # which Python itself turns into a RuntimeError there
        assert runs[0].error.startswith(text)
    assert len(runs[0].error) < 600
    assert len(runs[0].traceback) <= 8_000
    assert len(told) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_on_real_threads(kind, wait_for):
    """Every raiser at once, on the machine's clock: no worker dies of any of them."""
    manager = TaskManager([], max_workers=2)
    good = threading.Semaphore(0)
    for name, (body, _) in RAISED.items():
        add(manager, kind, lambda body=body: body(), every(0.05).seconds, name=name)
    add(manager, kind, lambda: good.release(), every(0.05).seconds, name="good")
    with manager:
        for _ in range(4):
            assert good.acquire(timeout=LIMIT)
        wait_for(lambda: all(manager.runs(name, state="failed") for name in RAISED))
        wait_for(lambda: bool(manager.health))  # a machine that is slow blocks the event loop, too, for a while
        ours = [thread for thread in threading.enumerate() if thread.name.startswith("task-")]
    assert len(ours) >= 2
    for name in RAISED:
        assert {str(run.state) for run in manager.runs(name)} <= {"failed", "skipped", "missed", "cancelled"}


def test_a_direct_call_raises_what_the_body_raises(manager):
    for name, (body, text) in RAISED.items():
        task = manager.add(body, name=name)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - nine kinds
            task()
        assert type(caught.value).__name__ == text.partition(":")[0]
        assert [run.state for run in manager.runs(name)] == ["failed"]


def test_an_async_body_that_is_cancelled_from_within_has_failed(clock, manager):
    """Nobody asked it to stop: that is a failure, not a cancellation."""

    @manager.task(every(10).seconds)
    async def cancels_itself():
        raise asyncio.CancelledError

    with manager:
        clock.advance(seconds=20)
    assert [run.state for run in manager.runs("cancels_itself")] == ["failed", "failed"]


def test_an_error_in_a_task_that_an_async_body_made_does_not_end_the_event_loop(wait_for):
    manager = TaskManager([])
    good = threading.Semaphore(0)

    @manager.task
    async def spawns():
        async def leave():
            raise SystemExit(3)

        spawned.append(asyncio.ensure_future(leave()))
        await asyncio.sleep(0.01)

    spawned: list[asyncio.Future] = []

    @manager.task(every(0.02).seconds)
    async def other():
        good.release()

    with manager:
        run = spawns.trigger()
        assert run.wait(LIMIT)
        for _ in range(3):
            assert good.acquire(timeout=LIMIT)
        assert isinstance(spawned[0].exception(), SystemExit)
        assert run.state is RunState.SUCCEEDED


def test_the_clock_may_move_inside_an_async_body():
    clock = VirtualClock()
    manager = TaskManager([], clock=clock)
    times = []

    @manager.task(every(10).seconds)
    async def sleeps():
        await asyncio.sleep(25)
        times.append(clock.now())

    with manager:
        begun = clock.now()
        clock.advance(seconds=70)
    assert [(moment - begun).total_seconds() for moment in times] == [35, 65]
    assert [run.count for run in manager.runs("sleeps", state="skipped")] == [2, 2]
