"""A command line as the body of a task: what it may be, what it is given, what comes of it."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import json
import logging
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from task.errors import (
    CommandError,
    DeclarationError,
    DeclarationTypeError,
    ParameterError,
    RunCancelled,
    RunTimedOut,
    TaskError,
)
from task.runs import Run, set_current_run
from task.shell import ShellCommand, ShellResult, output, shell
from task.shell.command import DRAIN, _drain
from task.shell.group import Group
from task.spec import TaskSpec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands are those of a POSIX system")

#: How long what will happen is waited for. Seconds.
LIMIT = 60.0


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture
def run() -> Iterator[Run]:
    """A run that is under way in this thread."""
    one = Run("dump", "manual", datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC))
    set_current_run(one)
    yield one
    set_current_run(None)


class StoppedWhenItSpeaks(Run):
    """Asked to stop, on another thread, as soon as its command has written a line."""

    def keep_line(self, line: Any) -> None:
        super().keep_line(line)
        threading.Thread(target=self.ask_to_stop).start()


@pytest.fixture
def stopped_run() -> Iterator[Run]:
    """A run that is under way in this thread until its command says something."""
    one = StoppedWhenItSpeaks("dump", "manual", datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC))
    set_current_run(one)
    yield one
    set_current_run(None)


def lines_of(run: Run) -> list[tuple[str, int, str]]:
    return [(line.logger, line.level, line.message) for line in run.log]


def is_alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")


# What it is.


def test_a_list_is_what_the_program_gets():
    result = shell(["printf", "%s|", "a b", "$HOME", "*"])()

    assert result.stdout == "a b|$HOME|*|"


def test_a_text_is_split_and_no_shell_is_used():
    result = shell("printf '%s|' 'a b' $HOME; echo")()

    assert result.stdout == "a b|$HOME;|echo|"


def test_a_shell_is_used_where_it_is_written():
    result = shell("printf one | tr o 0; exit 0", shell=True)()

    assert result.stdout == "0ne"


def test_paths_and_bytes_are_items_too():
    result = shell([pathlib.Path("/bin/echo"), b"one", pathlib.Path("two")])()

    assert result.stdout == "one two\n"


def test_nothing_comes_from_standard_input():
    assert shell(["cat"])().stdout == ""


@pytest.mark.parametrize(
    ("command", "options", "error", "said"),
    [
        ([], {}, DeclarationError, "the command is empty"),
        ("", {}, DeclarationError, "the command is empty"),
        ("  ", {}, DeclarationError, "the command is empty"),
        ([""], {}, DeclarationError, "the command is empty"),
        (" ", {"shell": True}, DeclarationError, "the command is empty"),
        (["a", "canary\0"], {}, DeclarationError, "item 1 of the command has a NUL"),
        ("canary\0", {"shell": True}, DeclarationError, "the command has a NUL"),
        (["a", "canary\ud800"], {}, DeclarationError, "item 1 of the command has a character"),
        ("canary 'open", {}, DeclarationError, "cannot be split: No closing quotation"),
        (["a", 3], {}, DeclarationTypeError, "item 1 of the command is a text, bytes or a path, not of the type int"),
        (b"ls", {}, DeclarationTypeError, "not of the type bytes"),
        (None, {}, DeclarationTypeError, "not of the type NoneType"),
        ({"a"}, {}, DeclarationTypeError, "not of the type set"),
        (["a"], {"shell": True}, DeclarationTypeError, "one text for the shell"),
        (["a"], {"shell": 1}, DeclarationTypeError, "shell is True or False, not 1"),
        (["a"], {"env": ["canary"]}, DeclarationTypeError, "env is a dict"),
        (["a"], {"env": {1: "canary"}}, DeclarationTypeError, "a name in env is a text, not 1"),
        (["a"], {"env": {"A": 1}}, DeclarationTypeError, "env['A'] is a text, bytes or a path, not of the type int"),
        (["a"], {"env": {"A": "canary\0"}}, DeclarationError, "env['A'] has a NUL"),
        (["a"], {"env": {"A=canary": "1"}}, DeclarationError, "a name in env is empty or has a '='"),
        (["a"], {"cwd": 1}, DeclarationTypeError, "cwd is a text, bytes or a path"),
        (["a"], {"timeout": 0}, DeclarationError, "timeout is a number of seconds above 0, not 0"),
        (["a"], {"timeout": float("nan")}, DeclarationError, "timeout is a number of seconds above 0, not nan"),
        (["a"], {"timeout": "5"}, DeclarationTypeError, "timeout is a number of seconds, not '5'"),
        (["a"], {"timeout": True}, DeclarationTypeError, "timeout is a number of seconds, not True"),
        (["a"], {"kill_after": -1}, DeclarationError, "kill_after is a number of seconds from 0, not -1"),
    ],
)
def test_what_is_no_command_is_refused_at_its_declaration(
    command: Any, options: dict[str, Any], error: type[TaskError], said: str
):
    with pytest.raises(error) as caught:
        shell(command, **options)

    assert type(caught.value) is error
    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


def test_it_is_named_after_its_program_and_shows_nothing_else():
    command = shell(["/usr/bin/curl", "-u", "canary"], env={"TOKEN": "canary"})

    assert (command.name, command.__name__, repr(command)) == ("curl", "curl", "<shell command 'curl'>")
    assert "canary" not in f"{command} {command!r} {command.__doc__}"


def test_a_command_for_the_shell_is_named_after_the_shell():
    assert shell("TOKEN=canary curl", shell=True).name == "sh"


def test_it_is_the_body_of_a_task():
    spec = TaskSpec.declare(shell(["pg_dump", "app"]), parameters={"anything": 1})

    assert (spec.name, spec.func.executor) == ("pg_dump", "threads")


def test_it_is_frozen_and_can_be_copied():
    command = shell(["echo", "one"], env={"A": "1"})

    with pytest.raises(dataclasses.FrozenInstanceError):
        command.timeout = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(command))().stdout == "one\n"
    with pytest.raises(DeclarationError):
        ShellCommand([])


# What it is given.


def environment(command: ShellCommand, **parameters: Any) -> dict[str, str]:
    return json.loads(command(**parameters).stdout)


SHOW = python("import json, os; print(json.dumps(dict(os.environ)))")


def test_its_environment_is_added_to_that_of_the_process(monkeypatch):
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("REMOVED", "yes")
    seen = environment(shell(SHOW, env={"ADDED": "1", "REMOVED": None}))

    assert (seen["INHERITED"], seen["ADDED"], seen.get("REMOVED")) == ("yes", "1", None)


def test_parameters_are_environment_variables_and_never_part_of_the_command():
    seen = environment(shell(SHOW), region="$(id); EU", days=[1, 2], dry=True, empty=None)

    assert {name: text for name, text in seen.items() if name.startswith("TASK_PARAMETER_")} == {
        "TASK_PARAMETER_REGION": "$(id); EU",
        "TASK_PARAMETER_DAYS": "[1, 2]",
        "TASK_PARAMETER_DRY": "true",
        "TASK_PARAMETER_EMPTY": "null",
    }


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"day": {"canary"}}, "The parameter 'day' cannot be given to a command: a set of its kind"),
        ({"day": float("nan")}, "a float of its kind is neither text nor JSON"),
        ({"day": "canary\0"}, "it has a NUL character"),
        ({"day": "canary\ud800"}, "a str of its kind"),
        ({"a=b": "canary"}, "The parameter 'a=b' cannot become the environment variable"),
        ({"day": "canary", "Day": "2"}, "differs from the others in more than case"),
    ],
)
def test_a_parameter_that_fits_no_environment_is_refused_without_its_value(parameters: dict[str, Any], said: str):
    with pytest.raises(ParameterError) as caught:
        shell(["true"])(**parameters)

    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_run_is_named_in_the_environment(run, monkeypatch):
    monkeypatch.setenv("TASK_PARAMETER_OUTER", "of a run around this program")
    seen = environment(shell(SHOW))

    assert (seen["TASK_RUN_ID"], seen["TASK_NAME"]) == (run.id, "dump")
    assert "TASK_PARAMETER_OUTER" not in seen


def test_outside_of_a_run_none_is_named(monkeypatch):
    monkeypatch.setenv("TASK_RUN_ID", "that of a run around this program")

    assert "TASK_RUN_ID" not in environment(shell(SHOW))


def test_it_starts_in_its_folder(tmp_path):
    assert shell(["pwd"], cwd=tmp_path)().stdout == f"{tmp_path}\n"


# What comes of it.


def test_the_result_is_ready_for_json():
    result = shell(["sh", "-c", "echo out; echo err >&2"])()

    assert result == ShellResult(0, "out\n", "err\n", 0, result.duration)
    assert json.loads(json.dumps(dataclasses.asdict(result)))["stderr"] == "err\n"
    assert 0 < result.duration < LIMIT


def test_bytes_that_are_no_text_are_replaced():
    assert shell(["printf", r"a\377b"])().stdout == "a\N{REPLACEMENT CHARACTER}b"


def test_the_two_ends_of_a_long_output_are_kept_and_the_cut_is_marked():
    result = shell(python("print('A' * 16384 + 'B' * 1000 + 'C' * 49151)"))()

    assert result.stdout == "A" * 16384 + "\n… 1000 bytes are not kept …\n" + "C" * 49151 + "\n"
    assert result.dropped == 1000


def test_another_exit_code_than_zero_is_a_failure_with_the_end_of_stderr():
    with pytest.raises(CommandError) as caught:
        shell(["sh", "-c", "for i in 1 2 3 4 5; do echo line $i >&2; done; exit 3", "canary"])()

    assert str(caught.value) == (
        "The command 'sh' ended with exit code 3; its stderr ends:\nline 2\nline 3\nline 4\nline 5"
    )


def test_a_failure_that_says_nothing_says_so():
    with pytest.raises(
        CommandError, match=r"^The command 'false' ended with exit code 1. It wrote nothing to stderr.$"
    ):
        shell(["false"])()


def test_the_text_of_a_failure_is_bounded():
    with pytest.raises(CommandError) as caught:
        shell(python("import sys; sys.exit('x' * 100_000 + 'the end')"))()

    assert len(str(caught.value)) == 500
    assert str(caught.value).endswith("the end")


def test_a_signal_that_ended_it_is_named():
    with pytest.raises(CommandError, match="was ended by SIGSEGV"):
        shell(["sh", "-c", "kill -SEGV $$"])()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/nonexistent/program", "canary"], "'program' could not be started: there is no such program"),
        (["no-such-program-here", "canary"], "there is no such program, or its first line names none. Install it"),
        (["/etc/passwd", "canary"], "this user may not execute it. Make it executable"),
    ],
)
def test_a_command_that_cannot_be_started_says_why(command: list[str], said: str):
    with pytest.raises(CommandError) as caught:
        shell(command)()

    assert said in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_file_that_is_no_program_says_so(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"\0\1\2")
    path.chmod(0o755)

    with pytest.raises(CommandError, match=r"Exec format error. Is it a program"):
        shell([path])()


def test_too_large_a_parameter_says_so():
    with pytest.raises(CommandError, match=r"Argument list too long. Is it a program, are its arguments"):
        shell(["true"])(text="canary" * 1_000_000)


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_folder_that_is_none_says_so(tmp_path, folder):
    (tmp_path / "file").touch()

    with pytest.raises(CommandError, match=rf"cwd='.*{folder}' is no folder that it may enter"):
        shell(["true"], cwd=f"{tmp_path}/{folder}")()


def test_an_exit_code_that_others_took_is_no_success():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(CommandError, match="another part of the program took its exit code"):
            shell(["true"])()
    finally:
        signal.signal(signal.SIGCHLD, before)


@needs_proc
def test_a_command_leaves_no_descriptor_open():
    shell(["true"])()
    gc.collect()  # what other tests have left is not closed meanwhile
    before = set(os.listdir("/proc/self/fd"))
    shell(["true"])()
    with pytest.raises(CommandError):
        shell(["no-such-program-here"])()

    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_command_that_nobody_can_read_is_ended(monkeypatch):
    started: list[subprocess.Popen[bytes]] = []

    def no_reader(process: subprocess.Popen[bytes], *outputs: object) -> None:
        started.append(process)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(sys.modules["task.shell.command"], "reader_of", no_reader)
    with pytest.raises(CommandError, match=r"could not be started: Too many open files\."):
        shell(["sleep", "600"])()

    assert started[0].returncode == -signal.SIGKILL


# Its log.


def test_lines_go_into_the_log_of_the_run(run):
    shell(["sh", "-c", r"printf 'one\r\ntwo'; echo err >&2"])()

    assert [line for line in lines_of(run) if line[0] == "stdout"] == [("stdout", 20, "one"), ("stdout", 20, "two")]
    assert [line for line in lines_of(run) if line[0] != "stdout"] == [("stderr", 30, "err")]
    assert all(line.at.tzinfo is datetime.UTC for line in run.log)


def test_lines_are_in_the_log_while_it_runs(run, tmp_path):
    seen = threading.Event()
    keep = run.keep_line

    class Watching(Run):
        def keep_line(self, line: Any) -> None:
            keep(line)
            (tmp_path / "seen").touch()
            seen.set()

    watched = Watching("dump", "manual", run.queued_at)
    set_current_run(watched)
    shell(["sh", "-c", "echo begun; while [ ! -e seen ]; do sleep 0.01; done"], cwd=tmp_path, timeout=LIMIT)()

    assert seen.is_set()


def collect(*pieces: bytes) -> tuple[list[str], output.Output]:
    told: list[str] = []
    one = output.Output(told.extend)
    for piece in pieces:
        one.feed(piece)
    one.end()
    return told, one


def test_a_line_may_come_in_pieces():
    assert collect(b"a", b"b\nc", b"\n\nd")[0] == ["ab", "c", "", "d"]


def test_a_line_without_an_end_is_told_in_parts_of_4000():
    told, _ = collect(b"x" * 3000, b"x" * 3000, b"x" * 2500)

    assert [len(line) for line in told] == [4000, 4000, 500]


def test_no_part_ends_inside_a_character():
    told, _ = collect(b"x" + "€".encode() * 2000)

    assert told == ["x" + "€" * 1333, "€" * 667]


def test_of_too_many_lines_the_first_and_the_newest_are_told():
    numbers = [f"{number}\n".encode() for number in range(10_000)]
    told, one = collect(b"".join(numbers[:900]), b"".join(numbers[900:5000]), b"".join(numbers[5000:]))

    assert told[:900] == [str(number) for number in range(900)]
    assert told[900:1000] == [str(number) for number in range(4900, 5000)]
    assert told[1000:] == [str(number) for number in range(9950, 10_000)]
    assert one.untold == 10_000 - len(told)


def test_the_log_says_how_many_lines_it_lacks(run):
    shell(python("import os; os.write(1, b'x\\n' * 20_000)"))()

    name, level, text = lines_of(run)[-1]
    assert (name, level) == ("task.shell", 20)
    assert re.fullmatch(r"1\d{4} lines of 'python.*' are not in this log: they came too fast\.", text)


# Its end.


def test_its_own_timeout_ends_it_also_outside_of_a_run():
    with pytest.raises(RunTimedOut, match=r"'sleep' was ended: it took longer than its timeout of 0.1 seconds"):
        shell(["sleep", "600"], timeout=0.1)()


def test_stopping_the_run_ends_it_and_what_was_to_be_stopped_before(stopped_run):
    stopped = threading.Event()
    stopped_run.stopper = before = stopped.set

    with pytest.raises(RunCancelled, match="'sh' was ended: its run was asked to stop"):
        shell(["sh", "-c", "echo begun; exec sleep 600"])()

    assert stopped.wait(LIMIT)
    assert stopped_run.stopper is before


def test_a_run_that_is_stopped_already_starts_nothing(run, tmp_path):
    run.ask_to_stop()

    with pytest.raises(RunCancelled):
        shell(["touch", "begun"], cwd=tmp_path)()
    assert os.listdir(tmp_path) == []


def test_a_run_that_is_stopped_while_it_starts_ends_it(run, monkeypatch):
    start = Group.start

    def stopped_meanwhile(*values: Any, **options: Any) -> Group:
        group = start(*values, **options)
        run.ask_to_stop()
        return group

    monkeypatch.setattr(Group, "start", stopped_meanwhile)
    with pytest.raises(RunCancelled):
        shell(["sleep", "600"])()


def test_stopping_what_has_ended_changes_nothing(run):
    group = Group.start(["true"], {}, 5.0)
    while not group.has_ended():
        threading.Event().wait(0.001)
    group.stop("cancelled")

    assert (group.stopped, group.end(), group.reap()) == (None, ([], []), 0)
    group.stop("cancelled")
    for stream in (group.process.stdout, group.process.stderr):
        assert stream is not None
        stream.close()


@pytest.mark.usefixtures("stopped_run")
def test_it_may_clean_up_when_it_is_told_to_stop(tmp_path):
    code = "trap 'sleep 0.2; touch cleaned; exit 0' TERM; echo begun; while :; do sleep 0.02; done"

    with pytest.raises(RunCancelled):
        shell(["sh", "-c", code], cwd=tmp_path, kill_after=LIMIT)()
    assert os.listdir(tmp_path) == ["cleaned"]


@needs_proc
@pytest.mark.usefixtures("stopped_run")
def test_what_it_started_may_clean_up_after_its_own_end(tmp_path):
    inner = "trap 'sleep 0.3; touch cleaned; exit 0' TERM; touch begun; while :; do sleep 0.02; done"
    wait = "while [ ! -e begun ]; do sleep 0.01; done; echo begun"
    code = f'sh -c "{inner}" > /dev/null 2>&1 & {wait}; exec sleep 600'

    with pytest.raises(RunCancelled):
        shell(code, shell=True, cwd=tmp_path, kill_after=LIMIT)()
    assert sorted(os.listdir(tmp_path)) == ["begun", "cleaned"]


@needs_proc
def test_what_takes_a_while_to_die_is_ended_all_the_same(run, caplog, monkeypatch):
    kill, late = os.kill, list[threading.Timer]()

    def slowly(number: int, which: int) -> None:
        if not late:
            late.append(threading.Timer(0.7, kill, (number, which)))
            late[0].start()

    monkeypatch.setattr(os, "kill", slowly)
    with caplog.at_level(logging.WARNING):
        shell("setsid sleep 600 > /dev/null 2>&1 &", shell=True)()

    (left,) = [record.getMessage() for record in caplog.records if record.name == "task.run"]
    assert left.startswith("The command 'sh' left processes behind, which were ended: ")
    late[0].join()


def test_what_was_written_is_read_to_its_end_however_slowly():
    class Slow:
        open, reads = 1, 0

        def read(self, seconds: float) -> bool:
            self.reads += 1
            time.sleep(2 * DRAIN if self.reads == 1 else 0)
            self.open = int(self.reads < 3)
            return True

        def close(self) -> None:
            pass

    _drain(reader := Slow())

    assert (reader.open, reader.reads) == (0, 3)


def test_what_ignores_being_told_is_killed():
    command = shell(["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], timeout=0.2, kill_after=0.2)
    begun = datetime.datetime.now(datetime.UTC)

    with pytest.raises(RunTimedOut):
        command()
    assert (datetime.datetime.now(datetime.UTC) - begun).total_seconds() < LIMIT


@needs_proc
@pytest.mark.parametrize("away", ["", "setsid ", "setsid setsid "])
@pytest.mark.parametrize("silent", ["", " > /dev/null 2>&1"])
def test_what_it_left_behind_is_ended_and_named(run, caplog, away, silent):
    with caplog.at_level(logging.WARNING):
        result = shell(f"{away}sleep 600{silent} & echo $!", shell=True)()

    left = [record.getMessage() for record in caplog.records if record.name == "task.run"]
    assert len(left) == 1
    assert left[0].startswith("The command 'sh' left processes behind, which were ended: ")
    assert not is_alive(int(left[0].rpartition(" ")[2]))
    assert result.duration < LIMIT


@needs_proc
def test_what_cannot_be_found_but_holds_its_output_is_told(caplog, tmp_path):
    # Neither its session nor its environment tells where it comes from.
    code = "env -i setsid sh -c 'echo $$ > pid; exec sleep 600' & while [ ! -s pid ]; do sleep 0.01; done"
    with caplog.at_level(logging.WARNING):
        try:
            shell(code, shell=True, cwd=tmp_path)()
        finally:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    assert [record.getMessage() for record in caplog.records if record.thread == threading.get_ident()] == [
        "The command 'sh' left a process behind that holds its output open and cannot be found."
    ]


@needs_proc
def test_a_command_inside_a_command_ends_with_it(run, tmp_path, wait_for: Callable[[Callable[[], bool]], None]):
    # The inner one has a session of its own, and its Python is killed before it can do anything.
    inner = python(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); from task.shell import shell; "
        "shell(['sh', '-c', 'trap \"\" TERM; echo $$ > pid; while :; do sleep 0.05; done'])()"
    )
    outer = shell(inner, cwd=tmp_path, timeout=2 * LIMIT, kill_after=0.1, env={"PYTHONPATH": os.getcwd()})
    pid = tmp_path / "pid"

    def stop() -> None:
        wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))
        run.ask_to_stop()

    threading.Thread(target=stop).start()
    with pytest.raises(RunCancelled):
        outer()
    assert not is_alive(int(pid.read_text()))


def test_two_commands_of_one_run_do_not_end_each_other(run, tmp_path):
    failures: list[BaseException] = []

    def other() -> None:
        set_current_run(run)
        try:
            shell(["sh", "-c", "touch begun; while [ ! -e over ]; do sleep 0.01; done"], cwd=tmp_path, timeout=LIMIT)()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    shell(["sh", "-c", "while [ ! -e begun ]; do sleep 0.01; done"], cwd=tmp_path, timeout=LIMIT)()
    (tmp_path / "over").touch()
    thread.join(LIMIT)

    assert failures == []


def test_a_body_that_breaks_ends_its_command(monkeypatch):
    groups: list[Group] = []

    def broken(self: ShellCommand, group: Group, *rest: object) -> None:
        groups.append(group)
        raise KeyboardInterrupt

    monkeypatch.setattr(ShellCommand, "_attend", broken)
    with pytest.raises(KeyboardInterrupt):
        shell(["sleep", "600"])()

    assert groups[0].process.returncode == -signal.SIGKILL


def test_pipes_are_read_by_threads_where_they_cannot_be_selected(monkeypatch):
    monkeypatch.setattr(output, "_SelectingReader", output._ThreadedReader)
    result = shell(["sh", "-c", "head -c 1000000 /dev/zero; echo err >&2"])()

    assert (len(result.stdout), result.stderr, result.dropped) == (65_567, "err\n", 934_464)


# Its secrets.


def test_no_secret_is_in_what_it_says(run, caplog):
    class Masking:
        def text(self, text: str) -> str:
            return text.replace("canary", "•••")

    run.redactor = Masking()  # type: ignore[assignment] # the one method that is asked for
    command = shell(["sh", "-c", "echo $TASK_PARAMETER_TOKEN >&2; exit 1", "canary"], env={"SECRET": "canary"})

    with caplog.at_level(logging.DEBUG), pytest.raises(CommandError) as caught:
        command(token="canary")

    assert "canary" not in f"{caught.value}{caught.value!r}{command!r}{caplog.text}{lines_of(run)}"
    assert str(caught.value) == "The command 'sh' ended with exit code 1; its stderr ends:\n•••"
