"""What visitors see: the newest entries of all feeds."""

from __future__ import annotations

from flask import Blueprint, render_template

from reader.storage import database

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    """The newest entries."""
    entries = database().execute(
        "SELECT entries.*, coalesce(feeds.title, feeds.name) AS source FROM entries JOIN feeds ON feeds.name = feed "
        "ORDER BY seen_at DESC, entries.title LIMIT 50"
    )
    return render_template("index.html", entries=entries.fetchall())
