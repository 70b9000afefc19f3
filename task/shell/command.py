"""``shell(...)``: a command line that is called like a function, and so is the body of a task."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from task.clock import SystemClock
from task.errors import CommandError, RunCancelled, RunTimedOut
from task.log import logger
from task.runs import LogLine, Run, peek_current_run
from task.shell.declaration import (
    Text,
    check_command,
    check_cwd,
    check_env,
    check_seconds,
    environment_of,
    name_of,
)
from task.shell.group import Group
from task.shell.output import Output, Reader, reader_of
from task.shell.texts import text_of_failure, text_of_numbers, why_not_started

__all__ = ["ShellCommand", "ShellResult", "shell"]

#: How long processes that the command left behind may hold its output open. Seconds.
PATIENCE = 1.0
#: For how long, and how often at least, is read what was written before they were killed. Seconds; a pipe holds less.
DRAIN = 0.2
DRAIN_READS = 20
#: How often a command that says nothing is looked after: at first, and in the long run. Seconds.
_SOON, _LATER = 0.001, 0.05

_clock = SystemClock()


@dataclasses.dataclass(frozen=True, slots=True)
class ShellResult:
    """What came of a command that succeeded. ``dataclasses.asdict`` makes it JSON-ready."""

    #: Always 0: any other is a `CommandError`.
    exit_code: int
    #: What it wrote: the first 16 KB and the last 48 KB of each, with a line where something is missing.
    stdout: str
    stderr: str
    #: How much of both is not kept. Bytes.
    dropped: int
    #: From its start to its end. Seconds.
    duration: float


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class ShellCommand:
    """A command line as the body of a task. `shell` makes it."""

    #: Where it wants to run: it blocks its thread, and so must not hold up the serial worker.
    executor: ClassVar[str] = "threads"

    command: str | Sequence[Text]
    env: Mapping[str, Text | None] | None = None
    cwd: Text | None = None
    timeout: float | None = None
    shell: bool = False
    kill_after: float = 5.0
    #: The program by its base name: the default name of the task, and all of the command that is ever shown.
    name: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        checked = {
            "command": (command := check_command(self.command, self.shell)),
            "env": check_env(self.env),
            "cwd": check_cwd(self.cwd),
            "timeout": None if self.timeout is None else check_seconds(self.timeout, "timeout"),
            "kill_after": check_seconds(self.kill_after, "kill_after", zero=True),
            "name": name_of(command),
        }
        for field, value in checked.items():
            object.__setattr__(self, field, value)

    @property
    def __name__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<shell command {self.name!r}>"

    def __call__(self, **parameters: Any) -> ShellResult:
        """Run it to its end. *parameters* reach it as environment variables, ``TASK_PARAMETER_`` and the name.

        Raises `CommandError` when it cannot be started or ends with another exit code than 0, `RunTimedOut`
        after its ``timeout``, `RunCancelled` when its run is stopped, `ParameterError` for a parameter that
        is neither text nor JSON.
        """
        run = peek_current_run()
        facts = {} if run is None else {"TASK_RUN_ID": run.id, "TASK_NAME": run.task}
        if run is not None:
            run.check_cancelled()
        begun = _clock.monotonic()
        stdout, stderr = _output(run, "stdout", logging.INFO), _output(run, "stderr", logging.WARNING)
        group, reader = self._start(environment_of(self.env or {}, parameters, facts), stdout, stderr)
        left: tuple[list[int], list[int]] = ([], [])
        try:
            with _stoppable(run, group):
                self._attend(group, reader, begun)
        finally:
            try:
                left = group.end()
                _drain(reader)
            finally:
                code = group.reap()
                reader.close()
        for output in (stdout, stderr):
            output.end()
        self._warn(run, left, reader.open, stdout.untold + stderr.untold)
        self._judge(run, group, code, stderr)
        return ShellResult(0, stdout.text(), stderr.text(), stdout.dropped + stderr.dropped, _clock.monotonic() - begun)

    def _start(self, environment: Mapping[str, Text], stdout: Output, stderr: Output) -> tuple[Group, Reader]:
        try:
            group = Group.start(self.command, environment, self.kill_after, cwd=self.cwd, shell=self.shell)
            try:
                return group, reader_of(group.process, stdout, stderr)
            except OSError:  # no descriptor is left to wait with
                group.end()
                group.reap()
                with group.process:  # closes its pipes
                    raise
        except OSError as error:
            raise CommandError(f"{self._who()} could not be started: {why_not_started(error, self.cwd)}") from None

    def _attend(self, group: Group, reader: Reader, begun: float) -> None:
        """Read what it writes and look after its end, until nothing more is to be waited for."""
        ended_at: float | None = None
        pause = _SOON
        while True:
            pause = _SOON if reader.read(pause) else min(2 * pause, _LATER)
            now = _clock.monotonic()
            if ended_at is None and group.has_ended():
                ended_at = now
            if ended_at is None and self.timeout is not None and now >= begun + self.timeout:
                group.stop("timed out")
            if group.kill_at is not None and now >= group.kill_at:
                group.kill()
                if ended_at is not None or now >= group.kill_at + PATIENCE:
                    return
            elif ended_at is not None:
                # Of one that was told to stop, the others have the same time to end by themselves.
                quiet = not (group.stopped and group.stopping()) and not reader.open
                if quiet or (not group.stopped and now >= ended_at + PATIENCE):
                    return

    def _judge(self, run: Run | None, group: Group, code: int | None, stderr: Output) -> None:
        """Raise for every end but a good one."""
        who = self._who()
        if group.stopped == "timed out":
            raise RunTimedOut(f"{who} was ended: it took longer than its timeout of {self.timeout:g} seconds.")
        if group.stopped:
            raise RunCancelled(f"{who} was ended: its run was asked to stop.")
        if code != 0:
            said = stderr.text() if run is None else run.mask(stderr.text())  # before it is cut
            raise CommandError(text_of_failure(who, code, said))

    def _warn(self, run: Run | None, left: tuple[list[int], list[int]], held: int, untold: int) -> None:
        """Say what nobody would see otherwise: who was left behind, and what the log lacks."""
        found, living = left
        say = logger.warning if run is None else run.logger.warning
        ended = [number for number in found if number not in living]
        if ended:
            say("%s left processes behind, which were ended: %s", self._who(), text_of_numbers(ended))
        if living:
            say("%s left processes behind, which cannot be ended from here: %s", self._who(), text_of_numbers(living))
        elif held and not found:
            say("%s left a process behind that holds its output open and cannot be found.", self._who())
        if untold and run is not None:
            text = f"{untold} lines of {self.name!r} are not in this log: they came too fast."
            run.keep_line(LogLine(_clock.now(), logging.INFO, "task.shell", text))

    def _who(self) -> str:
        return f"The command {self.name!r}"


@contextmanager
def _stoppable(run: Run | None, group: Group) -> Iterator[None]:
    """Within it, stopping the run stops the command: the stoppers of what is around it are kept."""
    if run is None:
        yield
        return
    before = run.stopper

    def stop() -> None:
        group.stop("cancelled")
        if before is not None:
            before()

    run.stopper = stop
    if run.is_cancelled():
        stop()
    try:
        yield
    finally:
        if run.stopper is stop:  # another command of the same run may have come meanwhile
            run.stopper = before


def _drain(reader: Reader) -> None:
    """Read what is still in the pipes, now that nobody should write into them any more."""
    until = _clock.monotonic() + DRAIN
    for reads in itertools.count():
        if not reader.open or (reads >= DRAIN_READS and _clock.monotonic() >= until):
            return
        reader.read(0.01)


def _output(run: Run | None, name: str, level: int) -> Output:
    """A stream whose lines go into the log of the run, where there is one."""
    if run is None:
        return Output()
    keep = run.keep_line

    def tell(lines: list[str]) -> None:
        now = _clock.now()
        for line in lines:
            keep(LogLine(now, level, name, line))

    return Output(tell)


def shell(
    command: str | Sequence[Text],
    *,
    env: Mapping[str, Text | None] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    shell: bool = False,
    kill_after: float = 5.0,
) -> ShellCommand:
    """A command line as the body of a task: ``manager.add(shell(["pg_dump", "-Fc", "app"]), every().day)``.

    A list is what the program gets, item by item. A text is split as a POSIX shell would, but no shell is
    used unless ``shell=True`` is written. It reads nothing from standard input.

    *env* is added to the environment of this process; None removes a variable. The parameters of a run are
    added as ``TASK_PARAMETER_`` and their name in capitals, as text or else as JSON: they never become part
    of the command. So are ``TASK_RUN_ID`` and ``TASK_NAME``.

    It returns a `ShellResult`; each line that it writes goes into the log of the run as it comes. Another exit code
    than 0 raises `CommandError`. *timeout* (seconds) limits it, also where no manager does.

    A command ends with all that it has started, on every way out: what is in its session, and on Linux also
    what has left it. A program that shall outlive its run is started by a service manager, not by a task.
    Only where this process itself is killed (SIGKILL, no memory) nobody is there to end it: it runs to its end.
    When it is stopped (timeout, cancelling, end of the program) it gets SIGTERM, and *kill_after*
    seconds later SIGKILL. On Windows only the process itself is ended.

    Only the name of the program is ever shown in messages: arguments and environment may hold secrets.
    Raises `DeclarationError` or `DeclarationTypeError` for what is no command.

    >>> import sys
    >>> greet = shell([sys.executable, "-c", "print('Hello', __import__('os').environ['TASK_PARAMETER_WHO'])"])
    >>> greet(who="Ada").stdout.split()
    ['Hello', 'Ada']
    """
    return ShellCommand(command, env, cwd, timeout, shell, kill_after)
