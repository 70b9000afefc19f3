"""A process that forks after its manager was started (one process, no database)."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

#: What each program begins with: a manager at work, and what a child finds when it looks around.
HEAD = """
    import json, multiprocessing, os, signal, sys, threading, time, warnings

    # Python 3.12 and later warn of a fork in a process with several threads: that is what is tested.
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)

    from task import TaskManager, every

    fired = threading.Semaphore(0)
    manager = TaskManager([])

    @manager.task(every(0.1).seconds, threaded=True)
    def sample():
        fired.release()

    @manager.task
    def double(number=1):
        return 2 * number

    def await_slots(count):
        for _ in range(count):
            assert fired.acquire(timeout=60), "no slot fired for 60 seconds"

    def refused(call):
        try:
            call()
        except Exception as error:
            return [type(error).__name__, str(error)]

    def look_around():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)  # a deadlock ends here, with a status of its own
        health = manager.health
        seen = {
            "healthy": bool(health),
            "state": health.state,
            "causes": list(health.causes),
            "trigger": refused(lambda: double.trigger()),
            "add": refused(lambda: manager.add(print, every(1).seconds, name="late")),
            "remove": refused(lambda: manager.remove("sample")),
            "call": double(21),
            "detail": [one["name"] for one in manager.tasks_detail],
            "next_run": [one["next_run"] for one in manager.tasks_detail],
        }
        manager.stop()  # harmless
        manager.run()
        seen["afterwards"] = bool(manager.health)
        run = double.trigger(number=4)
        run.wait()
        assert run.id
        seen["triggered"] = str(run.state)
        signal.alarm(60)
        while fired.acquire(blocking=False):
            pass  # what fired in the parent
        await_slots(3)
        manager.stop()
        seen["audit"] = [str(finding) for finding in manager.audit()]
        return seen

    def forked(see):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
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
        _, status = os.waitpid(child, 0)
        print("status", os.waitstatus_to_exitcode(status), flush=True)
        print("seen", text, flush=True)

    def parent_goes_on():
        while fired.acquire(blocking=False):
            pass
        await_slots(3)
        print("parent", bool(manager.health), manager.audit(), flush=True)
"""


def assert_child_was_told(seen: dict[str, object]) -> None:
    assert (seen["healthy"], seen["state"]) == (False, "forked")
    assert "call run() in this one" in seen["causes"][0]  # type: ignore[index]
    for refusal in ("trigger", "add", "remove"):
        kind, message = seen[refusal]  # type: ignore[misc]
        assert kind in ("ForkedError", "ManagerStateError"), refusal
        assert "forked" in message, refusal
    assert seen["call"] == 42
    assert seen["detail"] == ["sample", "double"]
    assert seen["next_run"] == [None, None]


def assert_child_started_afresh(seen: dict[str, object]) -> None:
    assert seen["afterwards"] is True
    assert seen["triggered"] == "succeeded"
    assert seen["audit"] == []


def test_a_forked_child_is_told_so_and_can_start_its_own_loop(program):
    child = program(
        HEAD
        + """
    manager.run()
    await_slots(2)
    forked(look_around)
    parent_goes_on()
    manager.stop()
    """
    )
    assert child.expect("status") == "0", child
    seen = json.loads(child.expect("seen"))
    assert_child_was_told(seen)
    assert_child_started_afresh(seen)
    assert child.expect("parent") == "True []"
    assert child.end() == 0


@pytest.mark.parametrize(
    "lock",
    [
        "manager.scheduler._lock",
        "manager.store._lock",
        "manager._lifecycle.lock",
        "manager._registry.lock",
        "runs.Run._lazy",
        "manager._pipeline.execution._settling",
        "manager._pipeline.executors.threads._changing",
    ],
)
def test_a_lock_that_another_thread_holds_does_not_block_the_child(program, lock):
    child = program(
        HEAD
        + f"""
    from task import runs
    manager.run()
    await_slots(2)
    held, done = threading.Event(), threading.Event()

    def hold():
        with {lock}:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    forked(look_around)
    done.set()
    holder.join()
    parent_goes_on()
    manager.stop()
    """
    )
    assert child.expect("status") == "0", child
    seen = json.loads(child.expect("seen"))
    assert_child_was_told(seen)
    assert_child_started_afresh(seen)
    assert child.expect("parent") == "True []"
    assert child.end() == 0


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="multiprocessing cannot fork on this system"
)
def test_a_multiprocessing_child_is_told_so_too(program):
    child = program(
        HEAD
        + """
    if __name__ == "__main__":
        manager.run()
        await_slots(2)
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        process = context.Process(target=lambda: there.send(look_around()))
        process.start()
        seen = here.recv() if here.poll(80) else {}
        process.join(60)
        print("status", process.exitcode, flush=True)
        print("seen", json.dumps(seen), flush=True)
        parent_goes_on()
        manager.stop()
    """
    )
    assert child.expect("status") == "0", child
    seen = json.loads(child.expect("seen"))
    assert_child_was_told(seen)
    assert_child_started_afresh(seen)
    assert child.expect("parent") == "True []"
    assert child.end() == 0


def test_plain_jobs_and_the_helpers_survive_a_fork(program):
    child = program("""
    import os, signal, threading, warnings
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    import schedule
    from task import task
    from task.helpers import run_all_tasks, stop_all_tasks

    plain, ours = threading.Semaphore(0), threading.Semaphore(0)
    schedule.every(0.1).seconds.do(plain.release)

    @task(schedule.every(0.1).seconds)
    def sample():
        ours.release()

    def await_both():
        for semaphore in (plain, ours):
            while semaphore.acquire(blocking=False):
                pass
            for _ in range(2):
                assert semaphore.acquire(timeout=60)

    run_all_tasks()
    await_both()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        run_all_tasks()
        await_both()
        assert len(schedule.get_jobs()) == 2
        stop_all_tasks()
        os._exit(len(schedule.get_jobs()))
    print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    await_both()
    print("parent goes on", flush=True)
    stop_all_tasks()
    """)
    assert child.expect("status") == "1", child  # the plain job, which is not ours to cancel
    child.expect("parent goes on")
    assert child.end() == 0


def test_a_manager_that_was_stopped_before_the_fork_is_not_forked(program):
    child = program(
        HEAD
        + """
    manager.run()
    await_slots(1)
    manager.stop()

    def see():
        signal.alarm(60)
        added = manager.add(print, every(1).hours, name="added in the child")
        return {"state": manager.health.state, "causes": list(manager.health.causes), "added": added.name}

    forked(see)
    """
    )
    assert child.expect("status") == "0", child
    seen = json.loads(child.expect("seen"))
    assert seen == {"state": "stopped", "causes": ["the loop is not running"], "added": "added in the child"}


def test_200_forks_under_lock_churn_have_no_deadlock(program):
    child = program(
        HEAD
        + """
    import collections, itertools
    numbers = itertools.count()
    ended = threading.Event()

    def add_and_remove():
        while not ended.is_set():
            name = f"n{next(numbers)}"
            manager.add(lambda: None, every(0.05).seconds, name=name, threaded=True).trigger().wait(0.01)
            manager.remove(name)

    def trigger_and_list():
        while not ended.is_set():
            double.trigger().id
            manager.tasks_detail, manager.health, manager.runs(limit=10), manager.audit()

    def see():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        seen = [manager.health.state, refused(lambda: manager.remove("sample"))[0], double(21)]
        for refusal in (lambda: sample.trigger(), lambda: manager.add(print, every(1).seconds, name="late")):
            seen.append(refused(refusal) is not None)
        manager.run()
        run = double.trigger()
        run.wait()
        return [*seen, str(run.state)]

    manager.run()
    await_slots(1)
    churners = [threading.Thread(target=churn) for churn in (add_and_remove, trigger_and_list) * 2]
    for thread in churners:
        thread.start()
    outcomes = collections.Counter()
    for _ in range(200):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(write, json.dumps(see()).encode())
            except BaseException as error:
                os.write(write, repr(error).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as stream:
            text = stream.read()
        outcomes[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text] += 1
    ended.set()
    for thread in churners:
        thread.join()
    print("outcomes", json.dumps([[*outcome, count] for outcome, count in outcomes.items()]), flush=True)
    parent_goes_on()
    manager.stop()
    """
    )
    outcomes = json.loads(child.expect("outcomes", timeout=400))
    good = json.dumps(["forked", "ForkedError", 42, True, True, "succeeded"])
    assert outcomes == [[0, good, 200]], child
    assert child.expect("parent") == "True []"
    assert child.end() == 0
