"""The settings of the extension: ``TASKS_…`` in the configuration of the application."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from task.errors import DeclarationError, did_you_mean
from task.schedules import shorten
from task.stores import Store

__all__ = ["Settings"]


class Settings(NamedTuple):
    """What an application has set, with every default in one place."""

    #: ``TASKS_STORE``: the URL of the store, or a `Store`; None: a SQLite file in the instance folder.
    store: Store | str | None = None
    #: ``TASKS_NAMESPACE``: keeps the applications on one database apart; None: that of the manager.
    namespace: str | None = None
    #: ``TASKS_AUTOSTART``: False: only `TaskManager.run` starts it; None: as docs/howto/flask.md says.
    autostart: bool | None = None
    #: ``TASKS_URL_PREFIX``: where the pages are, and below them the API at ``/api/v1``.
    url_prefix: str = "/tasks"
    #: ``TASKS_API_KEY``: who sends it may operate.
    api_key: str | None = None
    #: ``TASKS_TITLE``: what the pages are headed with.
    title: str = "Tasks"
    #: ``TASKS_EVENT_CLIENTS``: so many streams of events at once, in each process; None: as many as its server bears.
    event_clients: int | None = None
    #: ``TASKS_MAX_BODY``: the largest body of a request. Bytes.
    max_body: int = 100_000
    #: ``TASKS_SHELL_COMMANDS``: the executables that recurring entries made over the API may run; empty: none.
    shell_commands: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<settings of tasks at {self.url_prefix!r}>"  # neither the key nor the store's password

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """As the configuration has them. Raises `DeclarationError` for what is no setting, or no value of one.

        >>> Settings.of({"TASKS_TITLE": "Night shift", "DEBUG": True}).title
        'Night shift'
        """
        given = {key: value for key, value in config.items() if isinstance(key, str) and key.startswith("TASKS_")}
        known = [f"TASKS_{field.upper()}" for field in cls._fields]
        for key, value in given.items():
            if key not in known:
                raise DeclarationError(f"There is no setting {key}. {did_you_mean(key, known, f'There are: {known}.')}")
            allows, what = _ALLOWED[key]
            if not allows(value):
                shown = "what was given" if key == "TASKS_API_KEY" else shorten(value)
                raise DeclarationError(f"{key} is {what}, not {shown}.")
        settings = cls(**{key.removeprefix("TASKS_").lower(): value for key, value in given.items()})
        return settings._replace(shell_commands=tuple(settings.shell_commands))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_count(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_prefix(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"(/[\w.~-]*\w[\w.~-]*)+", value, re.ASCII) is not None


def _are_texts(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, (str, bytes)) and all(map(_is_text, value))


#: What a setting may be, as a test and in words.
_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "TASKS_STORE": (
        lambda value: value is None or _is_text(value) or isinstance(value, Store),
        "a URL such as 'sqlite:////var/lib/app/tasks.db', a Store, or None",
    ),
    "TASKS_NAMESPACE": (lambda value: value is None or _is_text(value), "a name of printable characters, or None"),
    "TASKS_AUTOSTART": (lambda value: value is None or isinstance(value, bool), "True, False or None"),
    "TASKS_URL_PREFIX": (_is_prefix, "a path such as '/tasks', of plain characters, without a slash at its end"),
    "TASKS_API_KEY": (lambda value: value is None or _is_text(value), "text of printable characters, or None"),
    "TASKS_TITLE": (_is_text, "text of printable characters"),
    "TASKS_EVENT_CLIENTS": (
        lambda value: value is None or _is_count(value, 0, 100_000),
        "a whole number from 0, or None",
    ),
    "TASKS_MAX_BODY": (lambda value: _is_count(value, 1_000, 1_000_000_000), "a whole number of bytes from 1000"),
    "TASKS_SHELL_COMMANDS": (_are_texts, "a list of executables, such as ['/usr/bin/rsync']"),
}
