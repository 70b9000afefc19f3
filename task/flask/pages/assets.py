"""Styles, scripts and pictures: files of ours, and of libraries with their licences, from this host alone."""

from __future__ import annotations

import functools
import hashlib
import pathlib

import flask

from task.flask.access import requires

__all__ = ["asset_url", "register"]

_FOLDER = pathlib.Path(__file__).parent.parent / "static"

#: They are asked for with a digest of their content: what has that stays for so long. Seconds.
_AGE = 31_536_000


@functools.cache
def _digest(name: str) -> str:
    return hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()[:10]


def asset_url(name: str) -> str:
    """Where a file of ours is, in the version that is installed."""
    return flask.url_for("tasks.asset", name=name, v=_digest(name))


@requires("view")
def asset(name: str) -> flask.Response:
    """One file."""
    return flask.send_from_directory(_FOLDER, name, max_age=_AGE)


def register(blueprint: flask.Blueprint) -> None:
    """Add the route of the files."""
    blueprint.add_url_rule("/assets/<path:name>", "asset", asset)
