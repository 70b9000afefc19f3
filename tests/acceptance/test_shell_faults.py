"""Commands that misbehave, and programs that end while one runs: bounded memory, bounded time, nobody left behind."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")

#: What a command is given, and what a loaded machine may need beyond it: less than its processes would take. Seconds.
TIMEOUT, KILL_AFTER, SLACK = 1.5, 0.5, 20.0

#: What takes no time on a machine that has some: it comes within this, or the test fails. Seconds.
ENOUGH = 200

HEAD = """
    import os, resource, sys, time
    from task.errors import TaskError
    from task.shell import shell

    def said(*words):
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())

    def memory():  # of this process, the most that it ever had, in MB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
"""


def survivors(mark: str) -> list[int]:
    """The living processes with *mark* in their environment."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            if state not in ("Z", "X") and mark.encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


@pytest.fixture
def mark():
    """In the environment of all that a test starts; whoever is left after it is ended."""
    text = f"CANARY_{os.urandom(8).hex()}"
    yield text
    for number in survivors(text):
        os.kill(number, signal.SIGKILL)


#: Six hostile scripts: what each is, and how it ends.
SCRIPTS = {
    "1 GB of output": ("head -c 1000000000 /dev/zero | tr '\\\\0' '\\\\n'", "None"),
    "1 GB without a newline": ("head -c 1000000000 /dev/zero", "None"),
    "invalid UTF-8": ("head -c 50000000 /dev/urandom; printf '\\\\377'", "None"),
    "a child in another session": ("setsid sleep 600 & exec sleep 600", "RunTimedOut"),
    "ignores TERM": ("trap '' TERM; while :; do sleep 0.05; done", "RunTimedOut"),
    "closes its output and lives on": ("exec >&- 2>&-; sleep 600", "RunTimedOut"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_hostile_command_costs_little_and_leaves_nobody(program, mark, name):
    script, outcome = SCRIPTS[name]
    limit = TIMEOUT if outcome == "RunTimedOut" else ENOUGH
    child = program(
        HEAD
        + f"""
    shell(["true"])()
    before, begun = memory(), time.monotonic()
    outcome = None
    try:
        shell("{script}", shell=True, timeout={limit}, kill_after={KILL_AFTER})()
    except TaskError as error:
        outcome = type(error).__name__
    said("ended", outcome, time.monotonic() - begun, memory() - before)
    sys.stdin.readline()
    """,
        MARK=mark,
    )
    ended, seconds, grown = child.expect("ended", timeout=2 * ENOUGH).split()

    assert ended == outcome
    assert float(seconds) < limit + KILL_AFTER + 1 + SLACK
    assert float(grown) < 20
    assert survivors(mark) == [child.process.pid]


@pytest.mark.parametrize("silent", ["", " > /dev/null 2>&1"])
def test_a_child_that_outlives_its_command_in_another_session_is_ended_and_named(program, mark, silent):
    child = program(
        HEAD
        + f"""
    import logging
    logging.basicConfig(stream=sys.stdout, format="log %(message)s")
    result = shell("setsid sleep 600{silent} & echo $!", shell=True)()
    said("left", result.stdout.strip())
    sys.stdin.readline()
    """,
        MARK=mark,
    )
    named = child.expect("log The command 'sh' left processes behind, which were ended:")

    assert child.expect("left") == named
    assert survivors(mark) == [child.process.pid]


def test_the_log_of_a_run_is_no_way_to_fill_the_memory(program, mark):
    child = program(
        HEAD
        + """
    import collections, datetime
    from task.runs import Run, set_current_run

    class Log:  # as bounded as the one of a run
        kept, count = collections.deque(maxlen=1000), 0
        def keep(self, line):
            Log.count += 1
            self.kept.append(line)

    class Logged(Run):
        def keep_line(self, line):
            log.keep(line)

    log = Log()
    set_current_run(Logged("dump", "manual", datetime.datetime.now(datetime.UTC)))
    shell(["true"])()
    before = memory()
    command = "yes 'a line of an ordinary length, as programs write them' | head -c 1000000000"
    shell(command, shell=True, timeout=200)()
    said("ended", memory() - before)
    """,
        MARK=mark,
    )

    assert float(child.expect("ended", timeout=2 * ENOUGH)) < 20


def test_a_canary_in_argv_environment_and_parameters_is_in_nothing_that_is_written(program):
    child = program(
        HEAD
        + """
    import logging, traceback
    from task import TaskManager
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="log %(message)s")
    manager = TaskManager([])
    commands = {
        "fails": shell(["sh", "-c", "exit 3", "CANARY"], env={"SECRET": "CANARY"}),
        "is missing": shell(["no-such-program-here", "--password=CANARY"]),
        "times out": shell("sleep 600; : CANARY", shell=True, timeout=0.1, env={"SECRET": "CANARY"}),
        "leaves": shell(["sh", "-c", "setsid sleep 600 >&- 2>&- & exit 0", "CANARY"]),
    }
    for name, command in commands.items():
        manager.add(command, name=name, threaded=True)
    with manager:
        for name in commands:
            run = manager[name].trigger(token="CANARY")
            assert run.wait(60)
            said(name, run.state, run.error, run.traceback, run.result_text, [str(line) for line in run.log])
            said(manager[name].spec, repr(manager[name]), manager[name].__doc__)
        said(manager.tasks_detail)
    said("over")
    """
    )
    child.expect("over")
    assert child.end() == 0, child
    text = "\n".join(child.lines) + child.stderr

    assert "fails failed CommandError: The command 'sh' ended with exit code 3." in text
    assert "CANARY" not in text.replace("'token': 'CANARY'", "")


# The program ends while a command runs.

GRACE = 0.6

EXITS = {
    "main returns": ("pass", None),
    "sys.exit": ("sys.exit(3)", None),
    "unhandled exception": ("raise LookupError('deliberate')", None),
    "SIGTERM": ("wait()", signal.SIGTERM),
    "SIGINT": ("wait()", signal.SIGINT),
}

#: What each is, its state at the end, how long it is given to end by itself, and once it is asked to. Seconds.
BODIES = {
    "obedient": ("touch begun; exec sleep 600", "cancelled", GRACE, ENOUGH),
    "ignores TERM": ("trap '' TERM; touch begun; while :; do sleep 0.05; done", "lost", GRACE, 0.5),
    "a child in another session": ("setsid sleep 600 & touch begun; sleep 600", "cancelled", GRACE, ENOUGH),
    "soon over": ("touch begun; while [ ! -e leave ]; do sleep 0.01; done; sleep 0.2", "succeeded", ENOUGH, 0.5),
}


@pytest.mark.parametrize("leaving", EXITS)
@pytest.mark.parametrize("body", BODIES)
def test_no_command_outlives_the_program(program, mark, tmp_path, body, leaving):
    script, state, grace, patience = BODIES[body]
    statement, number = EXITS[leaving]
    child = program(
        HEAD
        + f"""
    import atexit, signal, threading
    from task import TaskManager
    from task.models import lifecycle, process as process_module

    process_module.EXIT_TIMEOUT = {grace}
    lifecycle.CANCEL_TIMEOUT = {patience}

    class Manager(TaskManager):
        def stop(self, timeout={grace}):
            super().stop(timeout)

    def wait():
        def tell():
            while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                time.sleep(0.005)
            said("waiting")

        threading.Thread(target=tell, daemon=True).start()
        manager.wait()

    manager = Manager([])
    manager.add(shell("{script}", shell=True, cwd={str(tmp_path)!r}), name="body", threaded=True)
    manager.run()
    run = manager["body"].trigger()
    atexit.register(lambda: (manager.stop(), said("state", run.state)))
    while not os.path.exists({str(tmp_path / "begun")!r}):
        time.sleep(0.01)
    said("begun")
    sys.stdin.readline()
    {statement}
    """,
        MARK=mark,
    )
    child.expect("begun")
    child.send("leave")
    if number is not None:
        child.expect("waiting")
        child.process.send_signal(number)
    (tmp_path / "leave").touch()
    begun = time.monotonic()
    child.end()

    assert time.monotonic() - begun < GRACE + 1 + SLACK
    assert survivors(mark) == []
    assert f"state {state}" in child.lines, child
    assert "Traceback" not in child.stderr.replace("Traceback", "", 1 if leaving == "unhandled exception" else 0)


def test_a_command_on_a_daemon_thread_of_the_program_ends_with_it(program, mark, tmp_path, wait_for):
    child = program(
        HEAD
        + f"""
    import threading
    command = shell("trap '' TERM; touch begun; while :; do sleep 0.05; done", shell=True, cwd={str(tmp_path)!r})
    threading.excepthook = lambda _: None
    threading.Thread(target=command, daemon=True).start()
    while not os.path.exists({str(tmp_path / "begun")!r}):
        time.sleep(0.01)
    """,
        MARK=mark,
    )

    assert child.end() == 0, child
    wait_for(lambda: survivors(mark) == [])  # what was killed is gone a moment later


def test_a_command_that_is_just_being_started_as_the_program_ends_ends_with_it(program, mark, tmp_path, wait_for):
    child = program(
        HEAD
        + f"""
    import subprocess, threading

    class Slow(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            threading.main_thread().join(0.5)  # the command lives, and this thread is held up

    subprocess.Popen = Slow
    command = shell("trap '' TERM; touch begun; while :; do sleep 0.05; done", shell=True, cwd={str(tmp_path)!r})
    threading.excepthook = lambda _: None
    threading.Thread(target=command, daemon=True).start()
    while not os.path.exists({str(tmp_path / "begun")!r}):
        time.sleep(0.01)
    """,
        MARK=mark,
    )

    assert child.end() == 0, child
    wait_for(lambda: survivors(mark) == [])


def test_a_forked_child_that_exits_leaves_the_commands_of_its_parent(program, mark):
    child = program(
        HEAD
        + """
    import signal, threading
    results = []
    thread = threading.Thread(target=lambda: results.append(shell("echo begun; sleep 1; echo over", shell=True)()))
    thread.start()
    from task.shell.group import _live
    while not _live:
        time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        sys.exit()
    os.waitpid(pid, 0)
    thread.join()
    said("result", results[0].stdout.split())
    """,
        MARK=mark,
    )

    assert child.expect("result") == "['begun', 'over']"
    assert child.end() == 0, child
