"""The reading room: a small Flask application whose background tasks fetch feeds, tidy up and write reports.

    flask --app reader run

README.md beside this folder says what to do first.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from reader import pages, people, storage, tasks
from task import TaskManager
from task.clock import Clock
from task.flask import FlaskTasks

background = FlaskTasks(auth=people.what_they_may)


def create_app(instance_path: str | None = None, clock: Clock | None = None) -> Flask:
    """An application of its own. Its database, its record of runs and its reports are in its instance folder."""
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(TASKS_TITLE="Reading room")
    storage.init_app(app)
    people.init_app(app)
    app.register_blueprint(pages.blueprint)
    background.init_app(app, TaskManager(tasks, artifacts=Path(app.instance_path) / "reports", clock=clock))
    return app
