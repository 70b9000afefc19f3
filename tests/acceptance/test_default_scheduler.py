"""Programs that use the helpers, beside jobs of plain `schedule`."""

from __future__ import annotations

HEAD = """
    import json, sys, threading, time
    import schedule
    from task import TaskError, every, task
    from task.helpers import disable_task, enable_task, run_all_tasks, stop_all_tasks, task_list

    plain, ours = threading.Semaphore(0), threading.Semaphore(0)

    def said(*words):
        print(*words, flush=True)

    def await_slots(semaphore, count):
        for _ in range(count):
            assert semaphore.acquire(timeout=60), "nothing fired for 60 seconds"
"""


def test_a_script_runs_its_own_tasks_and_its_plain_jobs(program):
    child = program(
        HEAD
        + """
    schedule.every(0.1).seconds.do(plain.release)

    @task(schedule.every(0.1).seconds, name="sample")
    def pull():
        ours.release()

    run_all_tasks()
    late = schedule.every(0.1).seconds.do(plain.release)
    await_slots(plain, 4)
    await_slots(ours, 4)
    said("get_jobs", len(schedule.get_jobs()), len(schedule.jobs), len(schedule.default_scheduler.jobs))
    said("ours", [repr(job).partition(" do ")[0] for job in pull.schedules], pull.schedules[0] in schedule.jobs)
    said("names", [found.name for found in task_list()], pull.is_enable)
    run_all_tasks()
    said("twice", len(schedule.get_jobs()))
    stop_all_tasks()
    said("left", len(schedule.get_jobs()), late in schedule.get_jobs())
    for thread in threading.enumerate():
        if thread.name.startswith("task-"):
            thread.join(60)  # the one of a body that has just ended may have a step to go
    said("threads", [thread.name for thread in threading.enumerate() if thread.name.startswith("task-")])
    """
    )
    assert child.end() == 0, child
    assert child.lines == [
        "get_jobs 3 3 3",
        "ours ['Every 0.1 seconds'] True",
        "names ['sample'] True",
        "twice 3",
        "left 2 True",
        "threads []",
    ]
    assert child.stderr == ""


def test_jobs_made_before_task_is_imported_run_too(program):
    child = program("""
    import schedule, threading
    fired = threading.Semaphore(0)
    job = schedule.every(0.1).seconds.do(fired.release)
    planned = job.next_run
    held = schedule.default_scheduler
    import task.helpers
    task.helpers.run_all_tasks({})
    assert held is schedule.default_scheduler and held.jobs == [job]
    for _ in range(3):
        assert fired.acquire(timeout=60)
    assert job.last_run > planned and job.next_run > planned
    task.helpers.stop_all_tasks({})
    """)
    assert child.end() == 0, child
    assert "Traceback" not in child.stderr


def test_a_loop_of_run_pending_beside_it_doubles_nothing(program):
    child = program(
        HEAD
        + """
    from task.helpers import default_manager
    from task import current_run
    from task.scheduler.entries import PlainJob

    slots, bodies = {"plain": [], "ours": []}, []
    fire = PlainJob.fire

    def noting(client, due):
        slots["plain"].append(due.slot)
        fire(client, due)

    PlainJob.fire = noting
    schedule.every(0.2).seconds.do(lambda: bodies.append(1) or plain.release())

    @task(schedule.every(0.2).seconds)
    def pull():
        slots["ours"].append(current_run().slot)
        ours.release()

    run_all_tasks()
    ended = threading.Event()

    def users_own_loop():
        while not ended.is_set():
            schedule.run_pending()
            time.sleep(0.001)

    threads = [threading.Thread(target=users_own_loop) for _ in range(2)]
    for thread in threads:
        thread.start()
    await_slots(plain, 5)
    await_slots(ours, 5)
    ended.set()
    for thread in threads:
        thread.join()
    stop_all_tasks()
    for name, seen in slots.items():
        said(name, len(seen) == len(set(seen)))
    said("bodies", len(bodies) <= len(slots["plain"]))
    said("audit", default_manager().audit())
    """
    )
    assert child.end() == 0, child
    assert child.lines == ["plain True", "ours True", "bodies True", "audit []"]
    assert child.stderr == ""


def test_run_pending_without_the_helpers_is_as_with_schedule(program):
    child = program(
        HEAD
        + """
    import task.helpers
    job = schedule.every(0.05).seconds.do(plain.release)
    while plain._value < 3:
        schedule.run_pending()
        time.sleep(0.001)
    said(type(schedule.default_scheduler).__module__)
    """
    )
    assert child.end() == 0, child
    assert child.lines == ["schedule"]  # importing changes nothing, the first use does


def test_stopping_cancels_our_jobs_only_and_run_pending_goes_on(program):
    child = program(
        HEAD
        + """
    @task(schedule.every(1).hours)
    def hourly():
        pass

    schedule.every(0.1).seconds.do(plain.release)
    run_all_tasks()
    await_slots(plain, 1)
    stop_all_tasks()
    while plain.acquire(blocking=False):
        pass
    seen = len(schedule.get_jobs())
    while not plain.acquire(blocking=False):
        schedule.run_pending()
        time.sleep(0.001)
    said("jobs", seen, schedule.get_jobs()[0].last_run is not None)
    run_all_tasks()
    await_slots(plain, 2)
    said("jobs", len(schedule.get_jobs()), hourly.schedules[0].next_run is not None)
    stop_all_tasks()
    """
    )
    assert child.end() == 0, child
    assert child.lines == ["jobs 1 True", "jobs 2 True"]


def test_the_switch_of_a_task_holds_before_during_and_after(program):
    child = program(
        HEAD
        + """
    @task(schedule.every(0.05).seconds)
    def pull():
        ours.release()

    disable_task(pull)
    said("before", pull.is_enable)
    run_all_tasks()
    from task.helpers import default_manager
    while default_manager()["pull"].is_enable or not default_manager().runs("pull"):
        time.sleep(0.001)
    said("skipped", default_manager().runs("pull")[0].reason, ours._value)
    enable_task(pull)
    await_slots(ours, 2)
    disable_task(pull)
    said("direct", pull())
    stop_all_tasks()
    said("after", pull.is_enable)
    try:
        enable_task(print)
    except TaskError as error:
        said("error", error)
    """
    )
    assert child.end() == 0, child
    assert child.lines == [
        "before False",
        "skipped disabled 0",
        "direct None",
        "after False",
        "error <built-in function print> is not a task. Decorate it with @task first.",
    ]


def test_re_exports_count_once_and_sources_may_be_mixed(program, tmp_path):
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("from shop.orders import ship\n")
    (package / "orders.py").write_text(
        "from task import every, task\n\n\n@task(every(1).hours)\ndef ship():\n    return 'shipped'\n"
    )
    child = program(
        HEAD
        + """
    from shop import ship
    import shop.orders

    class Clinic:
        @task(every(1).hours)
        def check(self):
            return self

    clinic = Clinic()
    sources = ["shop", shop.orders, "shop.orders:ship", {"again": ship}, clinic, sys.modules["__main__"]]
    said("names", [found.name for found in task_list(sources)])
    run_all_tasks(sources)
    said("jobs", len(schedule.get_jobs()))
    stop_all_tasks("shop")
    said("jobs", len(schedule.get_jobs()), ship(), clinic.check() is clinic)
    stop_all_tasks(clinic)
    said("jobs", len(schedule.get_jobs()))
    """
    )
    assert child.end() == 0, child
    assert child.lines == ["names ['ship', 'check']", "jobs 2", "jobs 1 shipped True", "jobs 0"]


def test_two_tasks_of_one_name_are_an_error_that_names_both_places(program):
    child = program(
        HEAD
        + """
    @task(every(1).hours, name="sync")
    def first():
        pass

    @task(every(1).hours, name="sync")
    def second():
        pass

    try:
        run_all_tasks()
    except TaskError as error:
        said(type(error).__name__)
        said(error)
    said("jobs", len(schedule.get_jobs()))
    """
    )
    assert child.end() == 0, child
    kind, message, jobs = child.lines
    assert kind == "DuplicateTaskError"
    source = child.process.args[1]
    assert f"Two tasks are called 'sync': one at {source}:16, one at {source}:20." in message
    assert jobs == "jobs 0"


def test_two_managers_of_the_default_scheduler_do_not_both_run(program):
    child = program(
        HEAD
        + """
    from task import ManagerStateError, Scheduler, TaskManager
    @task(every(1).hours)
    def hourly():
        pass

    run_all_tasks()
    other = TaskManager([], scheduler=schedule.default_scheduler)
    try:
        other.run()
    except ManagerStateError as error:
        said(error)
    stop_all_tasks()
    other.run()
    said("runs", bool(other.health))
    other.stop()
    """
    )
    assert child.end() == 0, child
    assert child.lines == [
        "This scheduler is run by another manager. Give each manager a scheduler of its own.",
        "runs True",
    ]


def test_a_failing_plain_job_stops_nothing(program):
    child = program(
        HEAD
        + """
    def broken():
        raise SystemExit("deliberate")

    schedule.every(0.05).seconds.do(broken)
    schedule.every(0.05).seconds.do(plain.release)
    once = schedule.every(0.05).seconds.do(lambda: schedule.CancelJob)

    @task(schedule.every(0.05).seconds)
    def pull():
        ours.release()

    run_all_tasks()
    await_slots(plain, 4)
    await_slots(ours, 4)
    said("jobs", len(schedule.get_jobs()), once in schedule.jobs)
    stop_all_tasks()
    """
    )
    assert child.end() == 0, child
    assert child.lines == ["jobs 3 False"]
    assert "SystemExit: deliberate" in child.stderr
