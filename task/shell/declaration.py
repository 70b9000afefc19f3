"""What a command line may be: checked when it is declared, not when it runs at night. No value is ever shown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from task.errors import DeclarationError, DeclarationTypeError, ParameterError
from task.schedules import shorten

__all__ = ["Text", "check_command", "check_cwd", "check_env", "check_seconds", "environment_of", "name_of"]

#: What stands for a text on a command line.
Text = str | bytes | os.PathLike[str] | os.PathLike[bytes]

_PARAMETER = "TASK_PARAMETER_"
#: What a run sets, and so what a process that is itself part of one does not pass on.
_OURS = (_PARAMETER, "TASK_RUN_ID", "TASK_NAME")


def check_command(command: Any, shell: Any) -> str | tuple[str | bytes, ...]:
    """A command as it will be started. Raises `DeclarationError` or `DeclarationTypeError`."""
    if not isinstance(shell, bool):
        raise DeclarationTypeError(f"shell(...): shell is True or False, not {shorten(shell)}.")
    if shell:
        return _check_line(command)
    if isinstance(command, str):
        items = _split(command)
    elif isinstance(command, Sequence) and not isinstance(command, (bytes, bytearray, memoryview)):
        items = list(command)
    else:
        raise DeclarationTypeError(
            f"shell(...): a command is a list of texts, or one text that is split, not of the type "
            f"{type(command).__name__}."
        )
    texts = tuple(_check_text(item, f"item {place} of the command") for place, item in enumerate(items))
    if not texts or not texts[0]:
        raise DeclarationError('shell(...): the command is empty. Name a program: shell(["pg_dump", "app"]).')
    return texts


def _check_line(command: Any) -> str:
    if not isinstance(command, str):
        raise DeclarationTypeError(
            "shell(..., shell=True): the command is one text for the shell, not of the type "
            f"{type(command).__name__}. Leave shell=True out for a list."
        )
    if not command.strip():
        raise DeclarationError("shell(..., shell=True): the command is empty.")
    _check_text(command, "the command")
    return command


def _split(command: str) -> list[str]:
    import shlex  # loaded for a text only

    try:
        return shlex.split(command)
    except ValueError as error:
        raise DeclarationError(
            f"shell(...): the text of the command cannot be split: {error}. Give a list: shell(['tar', '-c', 'a b'])."
        ) from None


def _check_text(value: Any, what: str) -> str | bytes:
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise DeclarationTypeError(
            f"shell(...): {what} is a text, bytes or a path, not of the type {type(value).__name__}. "
            "Write str(...) around it."
        )
    text = os.fspath(value)
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise DeclarationError(f"shell(...): {what} has a character that no command line can carry.") from None
    if b"\0" in encoded:
        raise DeclarationError(f"shell(...): {what} has a NUL character, which no command line can carry.")
    return text


def check_env(env: Any) -> dict[str, str | bytes | None]:
    """A copy of what is added to the environment."""
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise DeclarationTypeError(f"shell(...): env is a dict of names and texts, not a {type(env).__name__}.")
    for name in env:
        if not isinstance(name, str):
            raise DeclarationTypeError(f"shell(...): a name in env is a text, not {shorten(name)}.")
        if not name or "=" in name:
            raise DeclarationError("shell(...): a name in env is empty or has a '=': write {'NAME': 'value'}.")
        _check_text(name, "a name in env")
    return {name: None if value is None else _check_text(value, f"env[{shorten(name)}]") for name, value in env.items()}


def check_cwd(cwd: Any) -> str | bytes | None:
    """The folder that the command starts in."""
    return None if cwd is None else _check_text(cwd, "cwd")


def check_seconds(value: Any, what: str, *, zero: bool = False) -> float:
    """A number of seconds, above zero or from it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DeclarationTypeError(f"shell(...): {what} is a number of seconds, not {shorten(value)}.")
    if not (0 <= value <= 1e8) or (value == 0 and not zero):
        raise DeclarationError(
            f"shell(...): {what} is a number of seconds {'from' if zero else 'above'} 0, not {shorten(value)}."
        )
    return float(value)


def name_of(command: str | tuple[str | bytes, ...]) -> str:
    """The program by its base name, as it is shown: the rest of a command may hold secrets."""
    if isinstance(command, str):
        return "cmd" if os.name == "nt" else "sh"
    path = os.fsdecode(command[0])
    name = os.path.basename(path) or path
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:100]


def environment_of(
    env: Mapping[str, Text | None], parameters: Mapping[str, Any], facts: Mapping[str, str]
) -> dict[str, Text]:
    """The whole environment of a command: the process's, what was declared, the parameters, and *facts* of the run.

    Raises `ParameterError` for a parameter that cannot go into an environment.
    """
    whole: dict[str, Text] = {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}
    for name, value in env.items():
        if value is None:
            whole.pop(name, None)
        else:
            whole[name] = value
    variables: dict[str, str] = {}
    for name, value in parameters.items():
        variable = _PARAMETER + name.upper()
        if not name.isidentifier() or variable in variables:
            raise ParameterError(
                f"The parameter {shorten(name)} cannot become the environment variable {shorten(variable)}: "
                "give it a name of letters and digits that differs from the others in more than case."
            )
        variables[variable] = _parameter_text(name, value)
    return {**whole, **variables, **facts}


def _parameter_text(name: str, value: Any) -> str:
    import json  # loaded for the first command that has parameters

    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
        if b"\0" not in os.fsencode(text):
            return text
        reason = "it has a NUL character"
    except (TypeError, ValueError, RecursionError):  # not JSON, or a character that cannot be encoded
        reason = f"a {type(value).__name__} of its kind is neither text nor JSON"
    raise ParameterError(
        f"The parameter {shorten(name)} cannot be given to a command: {reason}. Give a text, or what JSON can say."
    )
