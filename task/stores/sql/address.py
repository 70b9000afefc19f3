"""The address of a store: what is accepted as one, and what may be shown of it."""

from __future__ import annotations

import pathlib

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from task.errors import DeclarationError, MissingExtraError
from task.schedules import shorten

__all__ = ["parse", "path_of", "shown"]

_SQLITE = ("sqlite", "sqlite+pysqlite")
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")

#: What is in the name of an option whose value is nobody's business: `password`, `sslpassword`, `oauth_client_secret` …
_SECRET = ("pass", "secret", "key", "token")

_HOW = "Write sqlite:///tasks.db (three slashes, then a path), or postgresql+psycopg://user:password@host/database"


def parse(text: str) -> URL:
    """An address that a store can be at. Raises `DeclarationError`, and `MissingExtraError` without its driver."""
    try:
        url = make_url(text)
        if url.drivername in _POSTGRESQL:
            url = url.set(drivername="postgresql+psycopg")
        elif url.drivername not in _SQLITE:
            raise ArgumentError("another database, or another driver")
        dialect = url.get_dialect()
        dialect.import_dbapi()
        dialect().create_connect_args(url)
    except (ArgumentError, NoSuchModuleError, ValueError):  # the last: a port that is no number
        raise DeclarationError(f"store={_hint(text)} is not understood. {_HOW}.") from None
    except ImportError:
        raise MissingExtraError.of("sql", "A PostgreSQL store") from None
    if url.get_backend_name() == "sqlite":
        _check_path(text, url)
    elif "@" in (url.host or ""):
        raise DeclarationError(
            f"store={_hint(text)} has more than one @. Write the one in a user name or password as %40: "
            "urllib.parse.quote_plus does so."
        )
    return url


def _check_path(text: str, url: URL) -> None:
    database = url.database or ""
    if path_of(url) is None or database.startswith("file:"):
        raise DeclarationError(
            f"store={_hint(text)} names no file: only a file outlives its process. Write sqlite:///tasks.db, or "
            "leave store= out for a ledger in memory."
        )
    if not database.isprintable():
        raise DeclarationError(f"store={_hint(text)} names no file that there can be: use printable characters.")


def path_of(url: URL) -> pathlib.Path | None:
    """The file of a SQLite store."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return pathlib.Path(url.database).absolute()


def shown(url: URL) -> str:
    """It without its secrets, for people."""
    query = {
        name: "hidden" if any(part in name.lower() for part in _SECRET) else value for name, value in url.query.items()
    }
    return url.set(query=query).render_as_string(hide_password=True)


def _hint(text: str) -> str:
    """What may be shown of what is not understood: there may be a password in it, wherever."""
    scheme, found, rest = text.partition("://")
    if not any(sign in (rest if found else scheme) for sign in "@?:"):
        return shorten(text)
    return shorten(f"{scheme}://..." if found else "...")
