"""Processes that fork while their manager runs on a shared store: what each side has is its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import sqlite3

import pytest

from task import DeclarationError, DeclarationTypeError, TaskManager

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

#: How often a busy process is forked: 200 times by hand.
FORKS = int(os.environ.get("TASK_TEST_FORKS", "20"))

#: For what takes no longer than this, unless it hangs: longer than what the programs themselves wait for. Seconds.
LIMIT = 240.0

#: What each program begins with. Its argument is the URL of its store.
HEAD = """
    import collections, json, multiprocessing, os, signal, sqlite3, sys, threading, time, warnings

    # Python 3.12 and later warn of a fork in a process with several threads: that is what is tested.
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)

    from task import TaskManager, every

    url = sys.argv[1]
    fired = threading.Semaphore(0)
    # In a child nothing has fired; and a thread of its parent may have been in the middle of saying so.
    os.register_at_fork(after_in_child=lambda: fired.__init__(0))

    def make(**options):
        made = TaskManager([], store=url, **options)

        @made.task(every(0.2).seconds, threaded=True, overlap="allow")
        def sample():
            fired.release()

        @made.task(overlap="allow", threaded=True)
        def double(number=1):
            return 2 * number

        return made

    def await_slots(count):
        for _ in range(count):
            assert fired.acquire(timeout=60), "no slot fired for 60 seconds"

    def refused(call):
        try:
            call()
        except Exception as error:
            return type(error).__name__

    def forked(see, limit=120):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(limit)  # a deadlock ends here, with a status of its own
            try:
                os.write(write, json.dumps(see()).encode())
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
        os.close(write)
        with os.fdopen(read) as stream:
            text = stream.read()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text

    def say(what, value):
        print(what, json.dumps(value), flush=True)
"""


def test_a_forked_child_is_told_so_and_can_steer_and_start_its_own_loop(program, store_url):
    parent = program(
        HEAD
        + """
    manager = make()
    manager.run()
    await_slots(2)

    def look_around():
        seen = {"state": manager.health.state, "trigger": refused(lambda: manager.trigger("double"))}
        seen["add"] = refused(lambda: manager.add(print, name="late"))
        seen["call"] = manager["double"](21)
        seen["rows"] = len(manager.runs("double"))
        manager["double"].disable(note="from the child", by="child")
        seen["enabled"] = manager["double"].is_enable
        manager["double"].enable()
        manager.run()
        seen["healthy"] = bool(manager.health)
        seen["triggered"] = manager.trigger("double", number=4).result(60)
        manager.stop()
        return seen

    say("child", forked(look_around))
    say("parent", [bool(manager.health), manager.trigger("double").result(60)])
    say("journal", [[entry.who, entry.what] for entry in manager.journal()][-2:])
    await_slots(3)
    manager.stop()
    say("audit", [str(finding) for finding in manager.audit()])
    """,
        store_url,
    )
    status, text = json.loads(parent.expect("child", LIMIT))
    assert status == 0, parent
    assert json.loads(text) == {
        "state": "forked",
        "trigger": "ForkedError",
        "add": "ForkedError",
        "call": 42,
        "rows": 1,
        "enabled": False,
        "healthy": True,
        "triggered": 8,
    }
    assert json.loads(parent.expect("parent", LIMIT)) == [True, 2]
    assert json.loads(parent.expect("journal", LIMIT))[-1] == ["child", "disabled"]
    assert json.loads(parent.expect("audit", LIMIT)) == []
    assert parent.end() == 0


def test_what_a_child_writes_to_a_file_is_there_after_its_parent_has_ended(program, tmp_path):
    """SQLite takes the locks that it inherits for its own: the parent would delete what the child has written."""
    url = f"sqlite:///{tmp_path / 'tasks.db'}"
    parent = program(
        HEAD
        + """
    manager = make()
    manager.run()
    await_slots(2)
    done, told = os.pipe()
    if os.fork() == 0:
        os.close(told)
        signal.alarm(200)
        manager.run()
        runs = [manager.trigger("double", number=1)]
        runs[0].result(60)
        manager.runs()[0].wait(60)
        os.read(done, 1)  # its parent has ended
        runs.append(manager.trigger("double", number=2))
        runs[1].result(60)
        held = [line for line in open("/proc/locks") if f" {os.getpid()} " in line]
        say("child", [*(run.id for run in runs), bool(held)])
        os._exit(0)  # as it stands, with its connections open
    os.close(done)
    manager.stop()
    manager.store.close()
    """,
        url,
    )
    *ids, locked = json.loads(parent.expect("child", LIMIT))
    assert parent.end() == 0
    with sqlite3.connect(tmp_path / "tasks.db") as connection:
        rows = dict(connection.execute("SELECT id, state FROM task_runs WHERE task = 'double'"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert [rows.get(key) for key in ids] == ["succeeded", "succeeded"]
    assert locked is True, "the child has no locks of its own"


def test_a_parent_goes_on_and_is_not_found_dead_when_its_child_ends(program, store_url):
    parent = program(
        HEAD
        + """
    manager = make(lost_after=6.0)
    other = make(lost_after=6.0, exclude=["sample", "double"])
    manager.run(), other.run()
    ran = threading.Event()

    @manager.task(threaded=True)
    def long():
        ran.set()
        time.sleep(4)
        return "whole"

    run = long.trigger()
    assert ran.wait(60)
    statuses = []
    for leave in (lambda: None, lambda: sys.exit(0), lambda: manager.runs() and None):
        child = os.fork()
        if child == 0:
            leave()  # by way of the interpreter's own end, with its `atexit`
            sys.exit(0)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    say("seen", [statuses, run.result(60), run.aside, bool(manager.health)])
    manager.stop(), other.stop()
    say("audit", [str(finding) for finding in manager.audit()])
    """,
        store_url,
    )
    assert json.loads(parent.expect("seen", LIMIT)) == [[0, 0, 0], "whole", None, True]
    assert json.loads(parent.expect("audit", LIMIT)) == []
    assert parent.end() == 0
    assert "had found this one dead" not in parent.stderr


def test_forks_while_the_ledger_is_busy_have_no_deadlock(program, store_url):
    parent = program(
        HEAD
        + """
    manager = make()
    manager.run()
    await_slots(1)
    ended = threading.Event()

    def churn():
        while not ended.is_set():
            manager.trigger("double").wait(1)
            manager["double"](3)
            manager.runs(limit=5), manager.tasks_detail, manager.journal(limit=3)

    def see():
        seen = [manager.health.state, refused(lambda: manager.trigger("double")), len(manager.runs(limit=1))]
        return [*seen, manager["double"](21) if os.getpid() % 4 == 0 else 42]

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    outcomes = collections.Counter()
    while outcomes.total() < int(sys.argv[2]) and len(outcomes) < 2:  # one that fails is enough
        outcomes[forked(see)] += 1
    ended.set()
    for thread in threads:
        thread.join()
    say("outcomes", [[*outcome, count] for outcome, count in outcomes.items()])
    while fired.acquire(blocking=False):
        pass
    await_slots(3)
    say("parent", [bool(manager.health), manager.trigger("double").result(60)])
    manager.stop()
    say("audit", [str(finding) for finding in manager.audit()])
    say("states", sorted({str(run.state) for run in manager.runs(limit=1_000)}))
    if url.startswith("sqlite"):
        say("integrity", sqlite3.connect(url.removeprefix("sqlite:///")).execute("PRAGMA integrity_check").fetchall())
    """,
        store_url,
        str(FORKS),
    )
    outcomes = json.loads(parent.expect("outcomes", LIMIT))
    assert outcomes == [[0, json.dumps(["forked", "ForkedError", 1, 42]), FORKS]], parent
    assert json.loads(parent.expect("parent", LIMIT)) == [True, 2]
    assert json.loads(parent.expect("audit", LIMIT)) == []
    # What waited at the stop is left; a machine that stands still for longer than a period misses a slot.
    assert set(json.loads(parent.expect("states", LIMIT))) <= {"succeeded", "queued", "missed"}
    if store_url.startswith("sqlite"):
        assert json.loads(parent.expect("integrity", LIMIT)) == [["ok"]]
    assert parent.end() == 0


# What starts again by itself.


def test_a_manager_that_may_starts_again_in_a_child_by_itself(program, store_url):
    parent = program(
        HEAD
        + """
    manager = make(restart_after_fork=True)
    manager.run()
    await_slots(2)

    def see():
        early = manager.trigger("double", number=4)  # maybe before it has started
        values = [early.result(60), manager.trigger("double", number=5).result(60)]
        state = manager.state
        manager.stop()
        return [values, state, manager.state]

    say("child", forked(see))
    say("parent", [bool(manager.health), manager.trigger("double").result(60)])
    manager.stop()

    def see_stopped():
        time.sleep(0.5)
        return manager.state

    say("stopped", forked(see_stopped))
    manager.run()

    def call_off():
        manager.stop()
        manager.wait()
        time.sleep(0.5)
        return [manager.state, manager.health.causes[0]]

    say("called off", forked(call_off))
    manager.stop()
    say("audit", [str(finding) for finding in manager.audit()])
    """,
        store_url,
    )
    status, text = json.loads(parent.expect("child", LIMIT))
    assert (status, json.loads(text)) == (0, [[8, 10], "running", "stopped"]), parent
    assert json.loads(parent.expect("parent", LIMIT)) == [True, 2]
    assert json.loads(parent.expect("stopped", LIMIT)) == [0, '"stopped"']
    status, text = json.loads(parent.expect("called off", LIMIT))
    assert (status, json.loads(text)) == (0, ["stopped", "the loop is not running"])
    assert json.loads(parent.expect("audit", LIMIT)) == []
    assert parent.end() == 0


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="multiprocessing cannot fork on this system"
)
def test_children_of_multiprocessing_share_the_slots_and_leave_in_good_order(program, store_url):
    parent = program(
        HEAD
        + """
    if __name__ == "__main__":
        manager = make(restart_after_fork=True)
        manager.run()
        await_slots(1)
        context = multiprocessing.get_context("fork")

        def work():
            await_slots(1)

        children = [context.Process(target=work) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join(120)
        say("exit codes", [child.exitcode for child in children])
        manager.stop()
        say("audit", [str(finding) for finding in manager.audit()])
        with manager.store._database.read() as connection:
            ends = connection.exec_driver_sql("SELECT ending FROM task_processes").scalars().all()
        say("ends", sorted(map(str, ends)))
    """,
        store_url,
    )
    assert json.loads(parent.expect("exit codes", LIMIT)) == [0, 0], parent
    assert json.loads(parent.expect("audit", LIMIT)) == []
    assert json.loads(parent.expect("ends", LIMIT)) == ["stopped", "stopped", "stopped"]
    assert parent.end() == 0


def test_a_restart_after_a_fork_needs_a_store_that_is_shared(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DeclarationError, match="restart_after_fork=True needs a store that processes share"):
        TaskManager([], restart_after_fork=True)
    with pytest.raises(DeclarationTypeError, match="restart_after_fork is True or False"):
        TaskManager([], restart_after_fork="yes", store=f"sqlite:///{tmp_path / 'tasks.db'}")  # type: ignore[arg-type]


def test_a_child_that_was_forked_inside_a_transaction_does_not_touch_the_file(program, tmp_path):
    url = f"sqlite:///{tmp_path / 'tasks.db'}"
    parent = program(
        HEAD
        + """
    from task.stores.sql import database
    patience, database.FORK_PATIENCE["sqlite"] = database.FORK_PATIENCE["sqlite"], 0.2
    manager = make()
    manager.run()
    await_slots(1)
    held, done = threading.Event(), threading.Event()

    def hold():
        with manager.store._database.write():
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()

    def see():
        try:
            manager.runs()
        except Exception as error:
            return [type(error).__name__, str(error)]

    say("child", forked(see))
    database.FORK_PATIENCE["sqlite"] = patience
    done.set()
    holder.join()
    await_slots(3)
    say("later", forked(lambda: len(manager.runs("sample", limit=1))))
    manager.stop()
    """,
        url,
    )
    status, text = json.loads(parent.expect("child", LIMIT))
    kind, message = json.loads(text)
    assert (status, kind) == (0, "StoreUnavailableError")
    assert "it was forked while another thread was in a transaction" in message
    assert json.loads(parent.expect("later", LIMIT)) == [0, "1"]
    assert parent.end() == 0
