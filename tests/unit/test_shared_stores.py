"""What a store in a database adds to the contract: it outlives its process, and several share it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence

import pytest

from task import Run, RunState, TaskManager, current_run, every, task
from task.errors import DeclarationError, StoreUnavailableError
from task.schedules import Line, Missed
from task.stores import Declaration, JournalEntry, Limits, Switch, Terms, open_store
from task.stores.sql.ledger import Ledger
from task.testing import VirtualClock

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
ONE = Limits()


class Ears:
    """A manager that runs all tasks, and remembers what it is told."""

    def __init__(self) -> None:
        self.admitted_runs: list[Run] = []
        self.taken: list[Run] = []
        self.lost_runs: list[Run] = []
        self.stale_tasks: list[str] = []
        self.changes = 0

    def vitals(self) -> str:
        return ""

    def knows(self, name: str) -> bool:
        return True

    def executes(self, run: Run) -> bool:
        return True

    def admitted(self, runs: Sequence[Run]) -> None:
        self.admitted_runs.extend(runs)

    def take_over(self, run: Run) -> None:
        self.taken.append(run)

    def lost(self, runs: Sequence[Run]) -> None:
        self.lost_runs.extend(runs)

    def changed(self) -> None:
        self.changes += 1

    def renew(self, name: str) -> None: ...

    def stale(self, name: str) -> None:
        self.stale_tasks.append(name)


class Process:
    """One process on the store: a store object of its own, and a manager that listens."""

    def __init__(self, url: str, clock: VirtualClock, namespace: str = "default") -> None:
        self.ears = Ears()
        self.store = open_store(url, namespace, 30)
        self.store.attach(self.ears, clock)
        for name in ("sample", "other"):
            self.store.register(name, Terms())
        self.store.look()


@pytest.fixture
def begin(store_url: str, clock: VirtualClock) -> Iterator[Callable[..., Process]]:
    """Begin a process."""
    begun: list[Process] = []

    def make(namespace: str = "default") -> Process:
        begun.append(Process(store_url, clock, namespace))
        return begun[-1]

    yield make
    for one in begun:
        one.store.close()


def due(minutes: int, name: str = "sample") -> Run:
    return Run(name, "schedule", NOON + minutes * MINUTE, slot=NOON + minutes * MINUTE)


def under_way(process: Process, minutes: int, limits: Limits = ONE, name: str = "sample") -> Run:
    run = due(minutes, name)
    assert process.store.claim(run, limits)
    assert process.store.start(run, run.queued_at)
    return run


def bury(observer: Process, clock: VirtualClock) -> None:
    """Let the others' hearts stand still for as long as *observer* looks."""
    for _ in range(40):
        clock.advance(seconds=1)
        observer.store.look()


# Several processes.


def test_namespaces_on_one_database_do_not_see_each_other(begin: Callable[..., Process]) -> None:
    here, there = begin("here"), begin("there")
    run = under_way(here, 5, Limits(mutex="database"))
    here.store.pause(True)
    here.store.turn("sample", Switch(False, "here"))
    here.store.note(JournalEntry(NOON, "ada", "paused", None, None))
    assert under_way(there, 5, Limits(mutex="database")).token == run.token == 1
    assert [len(one.store.runs()) for one in (here, there)] == [1, 1]
    assert there.store.mark("other") is None
    assert not there.store.paused
    assert there.store.switch("sample", NOON).enabled
    assert there.store.journal() == []
    assert there.store.runs()[0].id != run.id


def test_all_of_it_outlives_the_process(begin: Callable[..., Process]) -> None:
    first = begin()
    job = every(5).minutes
    first.store.enlist("sample", [job], NOON)
    first.store.declare("sample", Declaration(Line(job, NOON, "sample"), NOON))
    run = under_way(first, 5)
    run.error, run.result_text, run.result_is_json, run.progress, run.message = "E", "[1]", True, 50.0, "half"
    first.store.retry(run, 1, NOON, NOON + MINUTE)
    first.store.start(run, NOON + MINUTE)
    first.store.finish(run, RunState.SUCCEEDED, NOON + 2 * MINUTE)
    first.store.turn("other", Switch(False, "why", NOON + MINUTE, NOON, "ada"))
    first.store.pause(True)
    first.store.close()
    again = begin().store
    assert again.mark("sample") == NOON + 5 * MINUTE
    assert again.paused
    assert again.switch("other", NOON) == Switch(False, "why", NOON + MINUTE, NOON, "ada")
    assert again.summary("sample").runs == 1
    (kept,) = again.runs("sample")
    assert kept.as_dict() == run.as_dict()
    assert [(one.number, one.error) for one in kept.attempts] == [(1, "E"), (2, None)]
    assert kept.result(0) == [1]
    again.register("sample", Terms())
    assert again.declared("sample", job) == (NOON, NOON)
    again.pause(False)
    assert not again.claim(due(5), Limits())
    assert again.claim(due(10), Limits())


def test_tokens_grow_whichever_process_gives_them_out(begin: Callable[..., Process]) -> None:
    first, second = begin(), begin()
    tokens = [under_way(one, number, Limits(99)).token for number, one in enumerate([first, second, first, second])]
    assert tokens == [1, 2, 3, 4]


def test_a_slot_that_another_process_has_taken_is_refused(begin: Callable[..., Process]) -> None:
    first, second = begin(), begin()
    under_way(first, 5)
    assert not second.store.claim(due(5), Limits())
    assert second.store.mine() == []


def test_a_slot_that_was_skipped_is_refused_to_another_manager_of_the_process(begin: Callable[..., Process]) -> None:
    store = begin().store
    store.turn("sample", Switch(False))
    assert store.claim(due(1), Limits())
    assert not store.claim(due(1), Limits())
    assert store.claim(due(2), Limits())
    assert not store.claim(due(2), Limits())
    assert [run.count for run in store.runs("sample")] == [2]


def test_a_skip_whose_answer_was_lost_is_not_counted_twice(
    begin: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begin().store
    store.turn("sample", Switch(False))
    store.claim(due(1), Limits())
    run, real = due(2), Ledger._transaction

    def breaks(self: Ledger, operations: Sequence[object]) -> None:
        real(self, operations)  # type: ignore[arg-type]  # whatever it is given
        raise StoreUnavailableError("cut off behind the commit")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "_transaction", breaks)
        with pytest.raises(StoreUnavailableError):
            store.claim(run, Limits())
    assert store.claim(run, Limits())
    assert (str(run.state), run.reason) == ("skipped", "disabled")
    assert [row.count for row in store.runs("sample")] == [2]


def test_guards_hold_across_processes(begin: Callable[..., Process], clock: VirtualClock) -> None:
    first, second = begin(), begin()
    clock.advance(minutes=1)  # later: who had a dead process's place would be known by now
    under_way(first, 1)
    skipped, excluded = due(2), due(1, "other")
    second.store.claim(skipped, Limits())
    assert (str(skipped.state), skipped.reason) == ("skipped", "already running")
    held = under_way(first, 3, Limits(5, mutex="database"))
    second.store.claim(excluded, Limits(5, mutex="database"))
    assert excluded.reason == "'sample' has the mutex 'database'"
    first.store.finish(held, RunState.SUCCEEDED, NOON)
    assert under_way(second, 4, Limits(5, mutex="database"), "other").token == 3


def test_who_waits_in_another_process_hears_that_it_may_go(begin: Callable[..., Process]) -> None:
    first, second = begin(), begin()
    limits = Limits(overlap="queue")
    running, waits = under_way(first, 1, limits), due(2)
    second.store.claim(waits, limits)
    second.store.look()
    assert (waits.waiting, second.ears.admitted_runs) == (True, [])
    assert first.store.finish(running, RunState.SUCCEEDED, NOON) == []
    assert waits.waiting
    second.store.look()
    assert not waits.waiting
    assert second.ears.admitted_runs == [waits]
    assert second.store.start(waits, NOON)
    assert first.ears.admitted_runs == []


def test_of_those_that_came_at_one_moment_the_first_that_was_admitted_goes_first(
    begin: Callable[..., Process],
) -> None:
    process = begin()
    store, names, limits = process.store, [f"task {number}" for number in range(8)], Limits(mutex="database")
    running = under_way(process, 1, limits)
    for name in names:
        store.register(name, Terms())
        store.claim(Run(name, "schedule", NOON + 2 * MINUTE, slot=NOON + 2 * MINUTE), limits._replace(overlap="queue"))
    assert [run.task for run in store.active() if run.waiting] == names
    ending, went = running, []
    for _ in names:
        (ending,) = store.finish(ending, RunState.LOST, NOON) or ()
        went.append(ending.task)
    assert went == names


def test_what_was_left_is_taken_over_by_a_process_that_knows_the_task(begin: Callable[..., Process]) -> None:
    first, second = begin(), begin()
    run, running = due(1), under_way(first, 1, name="other")
    first.store.claim(run, Limits())
    assert not first.store.put_back(running)
    assert first.store.put_back(run)
    assert first.store.mine() == [running]
    assert not first.store.start(run, NOON)
    second.store.look()
    (taken,) = second.ears.taken
    assert (taken.id, taken.owner, str(taken.state)) == (run.id, second.store.mine()[0].owner, "queued")
    assert taken.token > run.token
    assert second.store.start(taken, NOON)
    second.store.finish(taken, RunState.SUCCEEDED, NOON)
    first.store.look()
    assert str(run.state) == "succeeded"


def test_a_run_elsewhere_is_asked_to_stop_and_one_that_nobody_has_ends_at_once(begin: Callable[..., Process]) -> None:
    first, second = begin(), begin()
    running, left = under_way(first, 1), due(1, "other")
    assert second.store.cancel_elsewhere(second.store.runs("sample")[0], "enough", NOON)
    assert running.asked is None
    first.store.look()
    assert running.asked == "enough"
    first.store.finish(running, RunState.CANCELLED, NOON, "enough")
    assert not second.store.cancel_elsewhere(second.store.runs("sample")[0], "again", NOON)
    first.store.claim(left, Limits())
    first.store.put_back(left)
    assert second.store.cancel_elsewhere(second.store.runs("other")[0], "enough", NOON)
    assert [(str(run.state), run.reason) for run in second.store.runs("other")] == [("cancelled", "enough")]
    assert second.store.active() == []


def test_the_late_end_of_a_run_whose_process_was_thought_dead_is_kept_aside(
    begin: Callable[..., Process], clock: VirtualClock
) -> None:
    frozen, observer = begin(), begin()
    run = under_way(frozen, 1)
    frozen.store.look()
    bury(observer, clock)
    (lost,) = observer.ears.lost_runs
    assert (lost.id, str(lost.state)) == (run.id, "lost")
    assert observer.store.claim(due(2), Limits())
    run.result_text = "42"
    assert frozen.store.finish(run, RunState.SUCCEEDED, clock.now()) is None
    assert str(run.state) == "lost"
    kept = next(one for one in observer.store.runs("sample") if one.id == run.id)
    assert (str(kept.state), kept.aside and kept.aside["state"], kept.aside and kept.aside["result"]) == (
        "lost",
        "succeeded",
        "42",
    )
    assert frozen.store.mine() == []


def test_a_schedule_that_ended_by_itself_is_not_begun_again_by_the_same_code_but_by_another(
    begin: Callable[..., Process],
) -> None:
    store, job, other = begin().store, every(5).minutes, every(7).minutes
    kept = {"every 5 minutes"}
    store.enlist("sample", [job], NOON)
    store.declare("sample", Declaration(Line(job, NOON, "sample"), NOON))
    assert store.retired("sample") == set()
    store.retire("sample", job, NOON + MINUTE)
    assert store.retired("sample") == kept
    again = begin().store
    again.enlist("sample", [job], NOON + 2 * MINUTE)
    assert again.retired("sample") == kept
    assert again.declared("sample", job) is None
    again.enlist("sample", [other], NOON + 2 * MINUTE)
    assert again.retired("sample") == set()


def test_who_has_an_older_declaration_stops_claiming_and_is_told_once(begin: Callable[..., Process]) -> None:
    older, newer = begin(), begin()
    older.store.enlist("sample", [every(5).minutes], NOON)
    assert older.store.claim(due(5), Limits(9))
    newer.store.enlist("sample", [every(3).minutes], NOON)
    assert not older.store.claim(due(10), Limits(9))
    assert not older.store.claim(due(15), Limits(9))
    assert older.ears.stale_tasks == ["sample"]
    assert older.store.claim(Run("sample", "manual", NOON), Limits(9))
    assert newer.store.claim(due(6), Limits(9))
    older.store.enlist("sample", [every(5).minutes], NOON)
    assert older.store.claim(due(10), Limits(9))
    assert not newer.store.claim(due(12), Limits(9))


def test_the_journal_is_of_all_processes_newest_first(begin: Callable[..., Process]) -> None:
    first, second = begin(), begin()
    entries = [
        JournalEntry(NOON, "ada@host", "disabled", "sample", "maintenance"),
        JournalEntry(NOON + MINUTE, "bob@host", "paused", None, None),
        JournalEntry(NOON + 2 * MINUTE, "ada@host", "triggered", "other", None),
    ]
    for one, entry in zip([first, second, first], entries, strict=True):
        one.store.note(entry)
    assert second.store.journal() == entries[::-1]
    assert second.store.journal("sample") == entries[:1]
    assert second.store.journal(limit=1) == entries[2:]


def test_two_processes_whose_clocks_had_been_wrong_set_the_mark_back_once(begin: Callable[..., Process]) -> None:
    first, second = begin(), begin()
    job = every(1).minutes
    for one in (first, second):
        one.store.enlist("sample", [job], NOON)
        one.store.declare("sample", Declaration(Line(job, NOON, "sample"), NOON))
    ahead = 3 * 24 * 60
    assert first.store.claim(due(ahead), Limits(9))
    first.store.set_back("sample", NOON)
    first.store.declare("sample", Declaration(Line(job, NOON, "sample"), NOON))
    assert first.store.claim(due(1), Limits(9))
    second.store.set_back("sample", NOON)
    second.store.declare("sample", Declaration(Line(job, NOON, "sample"), NOON))
    assert not second.store.claim(due(1), Limits(9))
    assert second.store.claim(due(ahead), Limits(9))
    second.store.set_back("sample", NOON + 2 * MINUTE)
    assert second.store.claim(due(3), Limits(9))
    assert second.store.audit(NOON, NOON) == []


def test_the_span_that_a_process_missed_is_recorded_once(begin: Callable[..., Process]) -> None:
    first, second = begin(), begin()
    line = Line(every(1).minutes, NOON, "")
    line.next = NOON + MINUTE
    missed = Missed(line.next, NOON + 5 * MINUTE, [line])
    for one in (first, second):
        one.store.miss("sample", missed, "late", NOON + 5 * MINUTE)
    assert [(str(run.state), run.count) for run in first.store.runs()] == [("missed", 4)]


# Through a manager.


def test_a_schedule_that_the_code_no_longer_has_leaves_no_slot_without_an_outcome(
    clock: VirtualClock, store_url: str
) -> None:
    with TaskManager([], store=store_url, clock=clock) as manager:
        manager.add(lambda: None, [every(60).seconds, every(10).seconds], name="sample")
        clock.advance(seconds=5)
    clock.advance(seconds=325)
    with TaskManager([], store=store_url, clock=clock) as manager:
        manager.add(lambda: None, every(10).seconds, name="sample")
        clock.advance(seconds=35)
        assert manager.audit() == []
        assert sorted((run.count, run.reason) for run in manager.runs(state="missed")) == [
            (2, "late: a newer slot was due"),
            (30, "its schedule was changed before it ran"),
        ]


def test_a_task_that_has_no_schedule_any_more_owes_nothing(clock: VirtualClock, store_url: str) -> None:
    with TaskManager([], store=store_url, clock=clock) as manager:
        manager.add(lambda: None, every(10).seconds, name="sample")
        clock.advance(seconds=25)
    clock.advance(seconds=30)
    with TaskManager([], store=store_url, clock=clock) as manager:
        manager.add(lambda: None, name="sample")
        clock.advance(minutes=2)
        assert manager.audit() == []
        assert [str(run.state) for run in manager.runs("sample")] == ["missed", "succeeded", "succeeded"]


def test_the_switch_in_the_code_counts_for_a_task_without_a_schedule_too(clock: VirtualClock, store_url: str) -> None:
    answers = []
    for disabled in (True, False, True):
        with TaskManager([], store=store_url, clock=clock) as manager:
            manager.add(lambda: None, name="sample", disabled=disabled)
            answers.append(str(manager.trigger("sample").state))
    assert answers == ["skipped", "succeeded", "skipped"]


def test_a_task_that_was_switched_off_before_it_was_added_stays_so(clock: VirtualClock, store_url: str) -> None:
    @task
    def sample() -> None: ...

    sample.disable(note="before")
    with TaskManager([], store=store_url, clock=clock) as manager:
        manager.add(sample)
        assert str(manager.trigger("sample").state) == "skipped"
        assert manager.store.switch("sample", clock.now()).note == "before"


def test_what_runs_everywhere_is_counted_together(clock: VirtualClock, store_url: str) -> None:
    def fail() -> None:
        raise ValueError("on purpose")

    managers = [TaskManager([], store=store_url, clock=clock) for _ in range(2)]
    for manager in managers:
        manager.add(fail, name="sample", everywhere=True)
        manager.run()
        manager.trigger("sample")
    summary = managers[0].store.summary("sample")
    assert (summary.runs, summary.failures, summary.consecutive_failures) == (2, 2, 2)
    managers[0]["sample"].disable()
    for manager in managers:
        manager.trigger("sample")
    assert managers[0].store.summary("sample").skips == {"disabled": 2}


def test_a_run_that_is_cancelled_between_two_attempts_keeps_its_place_until_its_body_ends(
    begin: Callable[..., Process],
) -> None:
    process, limits = begin(), Limits(overlap="queue")
    store, run, waits = process.store, under_way(process, 1, limits), due(2)
    store.claim(waits, limits)
    run.overrunning = True
    store.retry(run, 1, NOON, NOON + MINUTE)
    assert list(store.cancel(run, NOON, "enough") or ()) == []
    assert (str(run.state), waits.waiting) == ("cancelled", True)
    run.overrunning = False
    assert list(store.release(run)) == [waits]


# What a body says.


@pytest.mark.parametrize(
    ("said", "kept"),
    [("a NUL \0 here", "a NUL \\x00 here"), ("half a pair \ud800 here", "half a pair \\ud800 here"), ("é", "é")],
    ids=["a NUL", "a surrogate", "an accent"],
)
def test_text_that_a_database_does_not_take_is_written_out_and_the_run_ends(
    clock: VirtualClock, store_url: str, said: str, kept: str
) -> None:
    def body() -> None:
        current_run().update_progress(50, said)
        current_run().logger.info(said)
        raise ValueError(said)

    with TaskManager([], store=store_url, clock=clock) as manager:
        manager.add(body, every(10).seconds, name="sample").disable(note=said, until=clock.now())
        clock.advance(seconds=10)
        (run,) = manager.runs("sample")
        assert (str(run.state), run.error, run.message) == ("failed", f"ValueError: {kept}", kept)
        assert [line.message for line in run.log] == [said]
        assert manager.store.active() == []
        assert manager.store.switch("sample", clock.now()).note == kept


def test_an_end_that_the_store_refuses_for_good_is_in_the_log_and_blocks_nothing(
    clock: VirtualClock, store_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise KeyError("a bug of ours")

    manager = TaskManager([], store=store_url, clock=clock)
    with manager:
        manager.add(lambda: 42, every(10).seconds, name="sample")
        with monkeypatch.context() as patched:
            patched.setattr("task.stores.sql.book.end", refused)
            clock.advance(seconds=10)
    assert "a bug of ours" in caplog.text
    assert '"result": "42"' in caplog.text
    (run,) = manager.runs("sample")
    assert (str(run.state), run.reason) == (
        "lost",
        "its process has stopped, and the store does not know what came of it",
    )
    assert manager.store.active() == []


def test_a_mutex_that_cannot_be_kept_as_it_is_written_is_refused() -> None:
    with pytest.raises(DeclarationError, match="mutex is a name of printable characters"):
        TaskManager([]).add(print, name="sample", mutex="a\0b")


def test_any_number_of_places_can_be_asked_for(clock: VirtualClock, store_url: str) -> None:
    with TaskManager([], store=store_url, clock=clock) as manager:
        manager.add(lambda: 1, name="sample", max_concurrent=10**12)
        assert manager.trigger("sample").result(0) == 1


def test_a_program_that_seeds_the_common_generator_has_other_ids_all_the_same() -> None:
    import random

    keys = set()
    for _ in range(3):
        random.seed(7)
        keys.add(Run("sample", "manual", NOON).id)
    assert len(keys) == 3
