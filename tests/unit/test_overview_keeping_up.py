"""The overview keeps up with what changes, and shows what it has while a store does not answer."""

from __future__ import annotations

import datetime
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outages import Proxy
from store_rows import execute

from task import StoreUnavailableError, TaskManager, every
from task.overview import Overview, TaskPage
from task.runs import Run
from task.stores import MemoryStore, Standing
from task.testing import VirtualClock

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

UTC = datetime.UTC
NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=UTC)


class Fickle(MemoryStore):
    """A ledger in memory that can be cut off, and that counts how often it is asked how tasks stand."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = False
        self.asked = self.read = 0
        #: The tasks whose newest runs were read.
        self.looked_at: list[str] = []
        self.passes = threading.Event()
        self.passes.set()

    def standing(self, names: Sequence[str], now: datetime.datetime) -> dict[str, Standing]:
        self.read += 1
        assert self.passes.wait(LIMIT)
        return super().standing(names, now)

    def recent(self, names: Sequence[str], limit: int = 60) -> dict[str, list[Run]]:
        self.check()
        self.looked_at += names
        return super().recent(names, limit)

    def entries_changed(self) -> int:
        self.check()
        return super().entries_changed()

    def changes(self, position: str | None, limit: int) -> Any:
        self.check()
        return super().changes(position, limit)

    def check(self) -> None:
        self.asked += 1
        if self.cut:
            raise StoreUnavailableError("The store 'tasks.db' cannot be reached: it is locked")


def states(page: TaskPage) -> Mapping[str, Sequence[str]]:
    return {card.name: [cell.state for cell in card.strip] for card in page.cards}


def test_while_the_store_is_cut_off_the_last_that_was_seen_is_shown_with_a_problem_that_says_so(
    clock: VirtualClock,
) -> None:
    store = Fickle()
    manager = TaskManager([], clock=clock, store=store)
    manager.add(lambda: None, every(10).seconds, name="sample")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=15)
        before = overview.tasks()
        store.cut = True
        clock.advance(seconds=10)
        during, (problem,) = overview.tasks(), overview.problems()
        overview.timeline()
        assert overview.points("sample") == ()
        store.cut = False
        clock.advance(seconds=1)
        after = overview.tasks()
        assert overview.problems() == ()

    assert states(before) == states(during) == {"sample": ["succeeded"]}
    assert states(after) == {"sample": ["succeeded", "succeeded"]}
    assert (problem.kind, problem.task) == ("unhealthy", None)
    assert problem.text.endswith(":15: The store 'tasks.db' cannot be reached: it is locked")


def test_a_store_that_was_never_reached_leaves_what_the_code_says(clock: VirtualClock) -> None:
    store = Fickle()
    manager = TaskManager([], clock=clock, store=store)
    manager.add(lambda: None, every(10).seconds, name="sample", disabled=True)
    store.cut = True
    overview = Overview(manager)

    (card,) = overview.tasks().cards

    assert (card.schedules[0].text, card.enabled, card.strip, card.last) == ("every 10 seconds", False, (), None)
    assert [problem.kind for problem in overview.problems()] == ["stopped", "unhealthy"]


def test_a_store_that_is_cut_off_is_asked_once_a_second_and_not_for_each_question(clock: VirtualClock) -> None:
    store = Fickle()
    overview = Overview(TaskManager([], clock=clock, store=store))
    overview.tasks()
    store.cut = True
    overview.tasks()

    before = store.asked
    for _ in range(20):
        overview.tasks()
    assert store.asked == before

    clock.advance(seconds=1)
    overview.tasks()
    assert store.asked > before


def test_a_database_that_refuses_connections_leaves_the_last_that_was_seen(proxy: Proxy, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=proxy.url)
    manager.add(lambda: None, every(10).seconds, name="sample")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=15)
        overview.tasks()
        proxy.refuse()
        card = overview.task("sample")
        kinds = {problem.kind for problem in overview.problems()}
        proxy.mend()
        clock.advance(seconds=5)
        assert overview.problems() == ()

    assert (card.runs, [cell.state for cell in card.strip]) == (1, ["succeeded"])
    assert kinds == {"unhealthy"}


def test_a_row_that_is_unreadable_is_shown_as_a_run_that_says_so(store_url: str, clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=store_url)
    manager.add(lambda: None, every(10).seconds, name="sample")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=25)
        first, last = overview.task("sample").strip
        for key in (first.run_id, last.run_id):
            execute(manager, f"UPDATE task_runs SET state = 'nonsense' WHERE id = '{key}'")
        card = Overview(manager).task("sample")
        (problem,) = Overview(manager).problems()
        execute(manager, f"DELETE FROM task_runs WHERE id IN ('{first.run_id}', '{last.run_id}')")
        execute(manager, "UPDATE task_tasks SET pruned = mark")

    assert [cell.state for cell in card.strip] == ["lost", "lost"]
    assert (problem.kind, problem.run_id) == ("lost", last.run_id)
    assert "unreadable" in problem.text


def test_one_thread_reads_and_the_others_get_what_it_read(wait_for: Callable[[Callable[[], bool]], None]) -> None:
    store = Fickle()
    manager = TaskManager([], store=store)
    manager.add(lambda: None, name="sample")
    overview = Overview(manager)
    store.passes.clear()
    pages: list[TaskPage] = []
    asking = [threading.Thread(target=lambda: pages.append(overview.tasks())) for _ in range(8)]

    for thread in asking:
        thread.start()
    wait_for(lambda: store.read == 1)
    store.passes.set()
    for thread in asking:
        thread.join(LIMIT)

    assert [states(page) for page in pages] == [{"sample": []}] * 8
    assert store.read == 1


def test_who_asks_while_the_store_does_not_answer_another_gets_the_last_that_was_seen(
    wait_for: Callable[[Callable[[], bool]], None],
) -> None:
    store = Fickle()
    manager = TaskManager([], store=store)
    sample = manager.add(lambda: None, name="sample")
    overview = Overview(manager)
    overview.tasks()
    store.passes.clear()
    sample.disable()
    waits = threading.Thread(target=overview.tasks)
    waits.start()
    wait_for(lambda: store.read == 2)

    (card,) = overview.tasks().cards

    assert card.enabled  # as it was seen last
    store.passes.set()
    waits.join(LIMIT)
    assert not overview.task("sample").enabled


def test_a_forked_child_shows_its_tasks_and_that_the_manager_does_not_run_in_it(
    store_url: str, clock: VirtualClock
) -> None:
    manager = TaskManager([], clock=clock, store=store_url)
    manager.add(lambda: None, every(10).seconds, name="sample")
    overview = Overview(manager)
    reading, writing = os.pipe()

    with manager:
        manager.recurring.add("nightly", task="sample", schedule="0 2 * * *")
        clock.advance(seconds=15)
        overview.tasks()
        child = os.fork()
        if child == 0:
            try:
                cards = {card.name: card.runs for card in overview.tasks().cards}
                told = [cards, [problem.kind for problem in overview.problems()]]
                os.write(writing, json.dumps(told).encode())
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        told = json.loads(os.read(reading, 10_000))
        os.close(reading)
        os.close(writing)

    assert told == [{"sample": 1}, ["stopped"]]


def test_a_child_that_is_forked_while_a_thread_reads_does_not_wait_for_it(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock)
    manager.add(lambda: None, name="sample")
    overview = Overview(manager)
    overview.tasks()

    with overview._keeper._lock, overview._strips._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            code = 1
            try:
                code = 0 if [card.name for card in overview.tasks().cards] == ["sample"] else 2
            finally:
                os._exit(code)

    assert os.waitpid(child, 0)[1] == 0


_deeds = st.lists(
    st.sampled_from(
        ["works", "fails", "trigger", "disable", "enable", "later", "pause", "resume", "add", "change", "remove", "new"]
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(_deeds)
def test_what_was_followed_is_what_is_read_anew(deeds: list[str]) -> None:
    clock = VirtualClock(NOON)
    manager = TaskManager([], clock=clock)
    fails = False

    @manager.task(every(10).seconds, name="sample", tags=["reports"])
    def sample() -> None:
        if fails:
            raise ValueError("as asked")

    entries = 0
    overview = Overview(manager)
    with manager:
        for deed in deeds:
            if deed in ("works", "fails"):
                fails = deed == "fails"
                clock.advance(seconds=10)
            elif deed == "trigger":
                sample.trigger()
            elif deed == "disable":
                sample.disable(until=clock.now() + datetime.timedelta(seconds=15), by="ada")
            elif deed == "enable":
                sample.enable(by="ada")
            elif deed == "later":
                clock.advance(seconds=20)
            elif deed == "pause":
                manager.pause()
            elif deed == "resume":
                manager.resume()
            elif deed == "add":
                entries += 1
                manager.recurring.add(f"entry {entries}", task="sample", schedule="every 15 seconds")
            elif deed == "change" and entries:
                manager.recurring.update(f"entry {entries}", schedule="every 25 seconds")
            elif deed == "remove" and entries:
                manager.recurring.remove(f"entry {entries}")
                entries -= 1
            elif deed == "new" and "new" not in manager:
                manager.add(lambda: None, every(20).seconds, name="new")
                clock.advance(seconds=1)  # which tasks there are is looked at once a second

            afresh = Overview(manager)
            assert overview.tasks() == afresh.tasks()
            assert overview.problems() == afresh.problems()
            assert overview.upcoming() == afresh.upcoming()


def test_a_card_is_the_same_object_until_something_of_its_task_has_changed(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=MemoryStore())
    manager.add(lambda: None, every(10).seconds, name="often")
    manager.add(lambda: None, every(10).hours, name="seldom")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=1)
        often, seldom = overview.tasks().cards
        assert all(one is other for one, other in zip(overview.tasks().cards, (often, seldom), strict=True))
        clock.advance(seconds=10)
        often_then, seldom_then = overview.tasks().cards

    assert (often.runs, often_then.runs) == (0, 1)
    assert seldom_then is seldom


def test_of_a_timeline_only_the_lanes_of_tasks_that_ran_are_read_again(clock: VirtualClock) -> None:
    store = Fickle()
    manager = TaskManager([], clock=clock, store=store)
    manager.add(lambda: None, every(10).seconds, name="often")
    manager.add(lambda: None, every(10).hours, name="seldom")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=1)
        overview.timeline("week")
        store.looked_at.clear()
        clock.advance(seconds=10)
        often, seldom = overview.timeline("week").lanes

    assert set(store.looked_at) == {"often"}
    assert often.bars[0].state == "succeeded"
    assert seldom.bars[0].state == "expected"


def test_a_lane_moves_on_with_the_time_although_nothing_of_its_task_has_changed(clock: VirtualClock) -> None:
    manager = TaskManager([], clock=clock, store=MemoryStore())
    manager.add(lambda: None, every(30).hours, name="seldom", start=NOON + datetime.timedelta(hours=25))
    overview = Overview(manager)

    with manager:
        before = overview.timeline("day").lanes[0]
        clock.advance(hours=2)
        after = overview.timeline("day").lanes[0]

    assert before.bars == ()
    assert [bar.state for bar in after.bars] == ["expected"]


def test_of_many_who_look_at_once_the_first_reads_what_has_changed_and_the_others_nothing(clock: VirtualClock) -> None:
    store = Fickle()
    manager = TaskManager([], clock=clock, store=store)
    for number in range(100):
        manager.add(lambda: None, every(10).seconds if number == 7 else every(10).hours, name=f"task {number:02}")
    overview = Overview(manager)

    with manager:
        clock.advance(seconds=1)
        overview.board()
        clock.advance(seconds=10)
        store.read, store.looked_at = 0, []
        counts = [overview.board()[0].cards[7].runs for _ in range(64)]

    assert counts == [1] * 64
    assert (store.read, store.looked_at) == (1, ["task 07"])


def test_the_schedules_that_another_process_runs_are_read_again_only_when_something_of_their_task_has_changed(
    clock: VirtualClock, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def managed() -> TaskManager:
        manager = TaskManager([], clock=clock, store=store_url)
        manager.add(lambda: None, every(10).seconds, name="often")
        manager.add(lambda: None, every(10).hours, name="seldom")
        return manager

    looking, looked_at = managed(), list[str]()
    read = looking.store.on_record
    monkeypatch.setattr(looking.store, "on_record", lambda names: looked_at.extend(names) or read(names))
    overview = Overview(looking)

    with managed():
        clock.advance(seconds=1)
        before = [card.next_run for card in overview.tasks().cards]
        overview.tasks()
        assert looked_at == ["often", "seldom"]
        clock.advance(seconds=10)
        after = [card.next_run for card in overview.tasks().cards]

    seldom = NOON + datetime.timedelta(hours=10)
    assert before == [NOON + datetime.timedelta(seconds=10), seldom]
    assert after == [NOON + datetime.timedelta(seconds=20), seldom]
    assert looked_at == ["often", "seldom", "often"]
