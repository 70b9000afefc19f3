"""The manager runs in every process that serves the application, and in no other: with real servers.

Each server has a folder of its own; its application writes down which process has run which slot. The servers of one
test run side by side.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import itertools
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import NamedTuple

from task import TaskManager

PROGRAM = """
import os, sys, threading
from flask import Flask, current_app
from task import TaskManager, current_run, every
from task.flask import FlaskTasks

manager = TaskManager([])
tasks = FlaskTasks(manager)


def tell(*what):
    with open(os.environ["TOLD"], "a") as told:
        told.write(" ".join(map(str, what)) + chr(10))


@manager.task(every(1).seconds, threaded=True, overlap="allow", misfire="all")  # each slot runs, however busy it is
def beat():
    assert "tasks" in current_app.extensions  # inside of the application
    tell("beat", current_run().slot.isoformat(), os.getpid(), os.getppid())


@manager.task(every(1).seconds, threaded=True)
def work():  # long enough to be under way when the server is stopped
    tell("work", os.getpid())
    threading.Event().wait(0.5)


def create_app():
    app = Flask(__name__, instance_path=os.environ["INSTANCE"])
    app.config["TASKS_AUTOSTART"] = {"": None, "yes": True, "no": False}[os.environ.get("AUTOSTART", "")]
    tasks.init_app(app)
    state = app.extensions["tasks"]
    app.add_url_rule("/", view_func=lambda: f"{state.manager.health.state}, {state.server_threads} threads")
    return app


app = create_app()

if __name__ == "__main__":
    if sys.argv[1] == "app.run":
        app.run(port=0, debug=sys.argv[2:] == ["debug"])
    elif sys.argv[1] == "manager.run":
        manager.run()
        manager.wait()
    else:
        from werkzeug.serving import make_server
        server = make_server("127.0.0.1", 0, app, threaded=True)
        app.test_client().get("/")
        tell("port", server.port, manager.state)
        server.serve_forever()
"""

#: How long anything here may take on a busy machine. Seconds.
LIMIT = 150.0


class Beat(NamedTuple):
    """One slot that was run: where, and by whose child."""

    slot: datetime.datetime
    process: int
    parent: int


class Server:
    """A server at work in *folder*: ``python`` with *arguments*."""

    def __init__(self, folder: pathlib.Path, *arguments: str, **environment: str) -> None:
        self.folder, self.told = folder, folder / "told"
        if not folder.exists():  # else another server of the folder may be reading the program just now
            folder.mkdir(parents=True)
            self.told.touch()
            (folder / "served.py").write_text(PROGRAM)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("FLASK_", "WERKZEUG_"))}
        self._log = (folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=inherited
            | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1", "HOME": str(folder)}
            | {"TOLD": str(self.told), "INSTANCE": str(folder / "instance")}
            | environment,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(LIMIT)
        self._log.close()

    def lines(self, kind: str) -> list[list[str]]:
        """What was told of that kind."""
        told = [line.split() for line in self.told.read_text().splitlines()]
        return [line[1:] for line in told if line[0] == kind]

    def beats(self) -> list[Beat]:
        return [
            Beat(datetime.datetime.fromisoformat(slot), int(process), int(parent))
            for slot, process, parent in self.lines("beat")
        ]

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain; it said:\n{self.log()}"
            assert self.process.poll() is None, f"it has ended; it said:\n{self.log()}"
            threading.Event().wait(0.05)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def wait_for_beats(self, count: int, wanted: Callable[[Beat], bool] = lambda beat: True) -> list[Beat]:
        """Wait for so many more beats that are *wanted*."""
        before = len(self.beats())
        self.wait_for(lambda: sum(map(wanted, self.beats()[before:])) >= count)
        return self.beats()[before:]

    def wait_for_answer(self, wanted: str) -> None:
        """Wait until gunicorn answers so, and check that it says nothing else but that it does not run yet."""
        self.wait_for(lambda: url_of(self) is not None)
        answers: list[str] = []

        def is_wanted() -> bool:
            answers.append(ask(str(url_of(self))))
            return answers[-1] == wanted

        self.wait_for(is_wanted)
        assert {answer.partition(",")[0] for answer in answers[:-1]} <= {"stopped", "starting"}, answers

    def newest(self, task: str) -> str:
        """The state of the newest run of a task, as the store has it."""
        with self.reader() as reader:
            return str(reader.runs(task, limit=1)[0].state)

    @contextlib.contextmanager
    def reader(self) -> Iterator[TaskManager]:
        """A manager on its store, which runs nothing."""
        manager = TaskManager([], store=f"sqlite:///{self.folder}/instance/tasks.db")
        with contextlib.closing(manager.store):
            yield manager

    def stop(self, process: int | None = None) -> None:
        """SIGTERM, while a body is at work; its run is not lost."""
        before = len(self.lines("work"))
        self.wait_for(lambda: len(self.lines("work")) > before)
        os.kill(process or self.process.pid, signal.SIGTERM)
        self.process.wait(LIMIT)

    def check_slots(self, *, killed: int | None = None, gaps: bool = False) -> None:
        """Every slot has one outcome, no body ran twice for one, and with *gaps* not allowed each slot was run.

        Lost are runs of the process alone that was *killed*: those that it was at, however many there were.
        """
        slots = sorted(beat.slot for beat in self.beats())
        assert len(slots) == len(set(slots)), f"a slot was run twice: {slots}"
        with self.reader() as reader:
            assert reader.audit() == []
            runs = list(reader.runs(limit=1000))
        # A run that had not begun when the servers were told to end waits for the next, or was cancelled.
        waiting = [run for run in runs if run.task == "beat" and str(run.state) in ("queued", "cancelled")]
        left = {run.slot for run in waiting if run.slot is not None}
        steps = {(later - slot).total_seconds() for slot, later in itertools.pairwise(sorted(left.union(slots)))}
        assert gaps or steps == {1.0}, f"not each second: {slots}, {left}\n{self.log()}"
        lost = {run.process for run in runs if str(run.state) == "lost"}
        assert lost <= {killed}, f"{[(run.task, run.state, run.process) for run in runs]}\n{self.log()}"


def side_by_side(tmp_path: pathlib.Path, *scenarios: Callable[[pathlib.Path], None]) -> None:
    """Play all of them at once; the first that fails fails the test."""
    with concurrent.futures.ThreadPoolExecutor(len(scenarios)) as pool:
        playing = {pool.submit(one, tmp_path / one.__name__): one.__name__ for one in scenarios}
        for future in concurrent.futures.as_completed(playing):
            future.result()


FLASK = ("-m", "flask", "--app", "served")
#: It ends workers that are slow to begin or to end; on a busy machine all of them may be, for a while.
PATIENCE = ("--timeout", "300", "--graceful-timeout", "100")
GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket", *PATIENCE)


def test_with_the_servers_of_flask_it_runs_in_the_process_that_serves(tmp_path: pathlib.Path) -> None:
    def serves_itself(folder: pathlib.Path, *arguments: str) -> None:
        with Server(folder, *arguments) as server:
            beats = server.wait_for_beats(3)
            server.stop()
        assert {beat.process for beat in server.beats()} == {server.process.pid}, beats
        server.check_slots()

    def child_serves(folder: pathlib.Path, *arguments: str) -> None:
        with Server(folder, *arguments) as server:
            (child,) = {beat.process for beat in server.wait_for_beats(3)}
            server.stop(child)
        assert {(beat.process, beat.parent) for beat in server.beats()} == {(child, server.process.pid)}
        server.check_slots()

    def flask_run(folder: pathlib.Path) -> None:
        serves_itself(folder, *FLASK, "run", "--port", "0")

    def flask_run_debug(folder: pathlib.Path) -> None:
        child_serves(folder, *FLASK, "run", "--debug", "--port", "0")

    def flask_run_debug_without_reloader(folder: pathlib.Path) -> None:
        serves_itself(folder, *FLASK, "run", "--debug", "--no-reload", "--port", "0")

    def flask_run_reload(folder: pathlib.Path) -> None:
        child_serves(folder, *FLASK, "run", "--reload", "--port", "0")

    def app_run(folder: pathlib.Path) -> None:
        serves_itself(folder, "served.py", "app.run")

    def app_run_debug(folder: pathlib.Path) -> None:
        child_serves(folder, "served.py", "app.run", "debug")

    side_by_side(
        tmp_path,
        flask_run,
        flask_run_debug,
        flask_run_debug_without_reloader,
        flask_run_reload,
        app_run,
        app_run_debug,
    )


def check_workers(server: Server) -> None:
    """Only workers have run anything; the master has not."""
    assert {beat.parent for beat in server.beats()} == {server.process.pid}


def test_under_gunicorn_it_runs_in_the_workers(tmp_path: pathlib.Path) -> None:
    def workers_serve(folder: pathlib.Path, *options: str, threads: int = 1) -> None:
        with Server(folder, *GUNICORN, *options, "served:app") as server:
            server.wait_for_beats(4)
            server.wait_for_answer(f"running, {threads} threads")  # by a worker that has begun only just now, maybe
            server.stop()
        check_workers(server)
        server.check_slots()

    def one_worker(folder: pathlib.Path) -> None:
        workers_serve(folder, "--workers", "1")

    def four_workers(folder: pathlib.Path) -> None:
        workers_serve(folder, "--workers", "4")

    def three_workers_with_threads(folder: pathlib.Path) -> None:
        workers_serve(folder, "--workers", "3", "--worker-class", "gthread", "--threads", "4", threads=4)

    def preload(folder: pathlib.Path) -> None:
        workers_serve(folder, "--workers", "3", "--preload", "--threads", "2", threads=2)

    side_by_side(tmp_path, one_worker, four_workers, three_workers_with_threads, preload)


def test_workers_that_are_restarted_or_killed_leave_no_slot_out_and_run_none_twice(tmp_path: pathlib.Path) -> None:
    def restarted(folder: pathlib.Path, *options: str) -> None:
        with Server(folder, *GUNICORN, "--workers", "2", *options, "served:app") as server:
            old = {beat.process for beat in server.wait_for_beats(3)}
            server.process.send_signal(signal.SIGHUP)
            server.wait_for_beats(3, lambda beat: beat.process not in old)
            server.stop()
        check_workers(server)
        server.check_slots()

    def hup(folder: pathlib.Path) -> None:
        restarted(folder)

    def hup_preloaded(folder: pathlib.Path) -> None:
        restarted(folder, "--preload")

    def killed(folder: pathlib.Path, *options: str) -> None:
        with Server(folder, *GUNICORN, *options, "served:app") as server:
            dead = server.wait_for_beats(3)[-1].process
            server.wait_for(lambda: server.newest("beat") == "succeeded")  # else its place is taken until it is lost
            os.kill(dead, signal.SIGKILL)
            server.wait_for_beats(3, lambda beat: beat.process != dead)
            server.process.terminate()
            server.process.wait(LIMIT)
        check_workers(server)
        server.check_slots(killed=dead, gaps=True)

    def one_of_two_killed(folder: pathlib.Path) -> None:
        killed(folder, "--workers", "2")

    def the_only_one_killed(folder: pathlib.Path) -> None:
        killed(folder, "--workers", "1", "--preload")

    side_by_side(tmp_path, hup, hup_preloaded, one_of_two_killed, the_only_one_killed)


def test_elsewhere_it_runs_where_it_was_told_to_or_where_requests_come(tmp_path: pathlib.Path) -> None:
    def waitress(folder: pathlib.Path) -> None:
        with Server(folder, "-m", "waitress", "--listen", "127.0.0.1:0", "served:app") as server:
            server.wait_for_beats(2)
            server.stop()
        server.check_slots()

    def uvicorn(folder: pathlib.Path) -> None:
        with Server(folder, "-m", "uvicorn", "--interface", "wsgi", "--port", "0", "served:app") as server:
            server.wait_for_beats(2)
            server.stop()
        server.check_slots()

    def another_command(folder: pathlib.Path) -> None:
        with Server(folder, *FLASK, "routes") as server:
            assert server.process.wait(LIMIT) == 0, server.log()
        assert "/tasks" in server.log()
        assert not (folder / "instance" / "tasks.db").exists()  # a manager that starts looks at its store

    def by_hand(folder: pathlib.Path) -> None:
        with (
            Server(folder, *GUNICORN, "--workers", "2", "served:app", AUTOSTART="no") as serving,
            Server(folder, "served.py", "manager.run", AUTOSTART="no") as server,
        ):
            server.wait_for_beats(3)
            serving.wait_for_answer("stopped, 1 threads")
            server.stop()
        assert {beat.process for beat in server.beats()} == {server.process.pid}
        server.check_slots()

    def the_first_request(folder: pathlib.Path) -> None:
        with Server(folder, "served.py", "own server") as server:
            server.wait_for(lambda: server.lines("port"))
            ((port, state),) = server.lines("port")
            assert state == "stopped"  # after a request of a test client
            assert ask(f"http://127.0.0.1:{port}/") == "running, None threads"
            server.wait_for_beats(2)
        server.check_slots(killed=server.process.pid)

    side_by_side(tmp_path, waitress, uvicorn, another_command, by_hand, the_first_request)


def url_of(server: Server) -> str | None:
    """Where gunicorn listens, when it does."""
    found = re.search(r"Listening at: (http://\S+)", server.log())
    return None if found is None else found[1]


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:
        text: str = answer.read().decode()
    return text
