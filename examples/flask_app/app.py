"""A Flask application with scheduled tasks: an application factory that makes its own manager.

    cd examples/flask_app
    TASKS_TOKEN=secret flask --app app run

README.md beside this file says what to try then.
"""

import hmac
import os

from flask import Flask, abort, current_app, request
from werkzeug.serving import is_running_from_reloader

from task import TaskManager, UnknownTaskError, every
from task.clock import Clock


def create_app(clock: Clock | None = None) -> Flask:
    """An application of its own, and a manager of its own that runs its tasks."""
    app = Flask(__name__)
    app.config["TASKS_TOKEN"] = os.environ.get("TASKS_TOKEN", "")
    manager = app.extensions["tasks"] = TaskManager([], clock=clock)
    add_tasks(app, manager)
    add_routes(app)
    # With `flask run --debug` there are two processes, and only the reloader's child serves.
    if not app.debug or is_running_from_reloader():
        manager.run()
    return app


def add_tasks(app: Flask, manager: TaskManager) -> None:
    app.config["FIGURES"] = {"refreshed": 0, "at": None}

    @manager.task(every(10).seconds, threaded=True, tags=["cache"])
    def refresh_figures():
        """Compute what the front page shows, so that no visitor waits for it."""
        with app.app_context():  # a task has no request, and so no application, around it
            figures = current_app.config["FIGURES"]
            figures["refreshed"] += 1
            figures["at"] = manager.clock.now().isoformat()


def add_routes(app: Flask) -> None:
    @app.get("/")
    def index():
        return current_app.config["FIGURES"]

    @app.get("/health")
    def health():
        manager = current_app.extensions["tasks"]
        state = manager.health
        return {"health": state.as_dict(), "tasks": manager.tasks_detail}, 200 if state else 503

    @app.post("/tasks/<name>/<any(enable, disable):switch>")
    def turn(name: str, switch: str):
        check_token()
        try:
            task = current_app.extensions["tasks"][name]
        except UnknownTaskError as error:
            abort(404, str(error))
        if switch == "enable":
            task.enable()
        else:
            task.disable(note=request.args.get("note"))
        return {"name": task.name, "enabled": task.is_enable}


def check_token() -> None:
    """Only who knows the token may turn a switch; without a token nobody may."""
    token = current_app.config["TASKS_TOKEN"]
    sent = request.headers.get("Authorization", "")
    if not token or not hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()):
        abort(403)
