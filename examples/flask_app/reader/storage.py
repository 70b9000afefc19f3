"""The application's own data: feeds, their entries, and the people who may enter."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click
from flask import Flask, current_app, g

SCHEMA = """
CREATE TABLE IF NOT EXISTS feeds (name TEXT PRIMARY KEY, url TEXT NOT NULL, title TEXT, fetched_at TEXT);
CREATE TABLE IF NOT EXISTS entries (
    feed TEXT NOT NULL REFERENCES feeds ON DELETE CASCADE, link TEXT NOT NULL, title TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    PRIMARY KEY (feed, link)
);
CREATE TABLE IF NOT EXISTS people (name TEXT PRIMARY KEY, password TEXT NOT NULL, may TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def database() -> sqlite3.Connection:
    """The connection of this request, or of this run of a task: both have an application context."""
    if "database" not in g:
        g.database = sqlite3.connect(current_app.config["READER_DATABASE"], timeout=10)
        g.database.row_factory = sqlite3.Row
        g.database.execute("PRAGMA foreign_keys = ON")
    return g.database


def close(error: BaseException | None) -> None:
    """After each request and each run."""
    connection = g.pop("database", None)
    if connection is not None:
        connection.close()


def init_app(app: Flask) -> None:
    """Make the database where there is none, and close connections when a context ends."""
    folder = Path(app.instance_path)
    folder.mkdir(parents=True, exist_ok=True)
    app.config.setdefault("READER_DATABASE", str(folder / "reader.db"))
    app.teardown_appcontext(close)
    with app.app_context():
        database().executescript(SCHEMA)

    @app.cli.command("add-feed")
    @click.argument("name")
    @click.argument("url")
    def add_feed(name: str, url: str) -> None:
        """Follow a feed: NAME is what it is called here, URL where it is."""
        if not url.startswith(("http://", "https://")):
            raise click.BadParameter("a feed is fetched over http or https")
        with database() as connection:
            connection.execute("INSERT OR REPLACE INTO feeds (name, url) VALUES (?, ?)", (name, url))
        click.echo(f"{name} will be fetched")
