"""Who may enter: a login with a session, and what each person may do with the tasks."""

from __future__ import annotations

import secrets

import click
from flask import Blueprint, Flask, Request, flash, redirect, render_template, request, session, url_for
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response

from reader.storage import database
from task.flask import Access

blueprint = Blueprint("people", __name__)

#: Checked where there is no such person, so that both answers take equally long.
NOBODY = generate_password_hash(secrets.token_hex())


def what_they_may(request: Request) -> Access | None:
    """Asked by the task pages and their API for each request: whoever is logged in may look, or operate."""
    name = session.get("name")
    person = database().execute("SELECT may FROM people WHERE name = ?", (name,)).fetchone() if name else None
    return None if person is None else Access(person["may"], name)


@blueprint.before_app_request
def lead_to_login() -> Response | None:
    """Strangers who ask for a page of the tasks are asked who they are; without this they see a bare refusal."""
    asks_for_page = request.blueprint == "tasks" and request.method == "GET"
    if asks_for_page and not request.path.startswith("/tasks/api/") and what_they_may(request) is None:
        return redirect(url_for("people.login"))
    return None


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    """A form, and what it leads to."""
    if request.method == "POST":
        name = request.form.get("name", "")
        person = database().execute("SELECT password FROM people WHERE name = ?", (name,)).fetchone()
        if check_password_hash(person["password"] if person else NOBODY, request.form.get("password", "")) and person:
            session.clear()
            session["name"] = name
            return redirect(url_for("tasks.tasks_page"))
        flash("That is not a name and its password.")
    return render_template("login.html")


@blueprint.post("/logout")
def logout() -> Response:
    """Forget who it is."""
    session.clear()
    return redirect(url_for("pages.index"))


def kept_secret(app: Flask) -> str:
    """The key that sessions are signed with, made at the first start: all processes of the application share it."""
    with app.app_context(), database() as connection:
        connection.execute("INSERT OR IGNORE INTO secrets (name, value) VALUES ('sessions', ?)", (secrets.token_hex(),))
        return connection.execute("SELECT value FROM secrets WHERE name = 'sessions'").fetchone()["value"]


def init_app(app: Flask) -> None:
    """Add the login, and a command that makes people."""
    app.config["SECRET_KEY"] = kept_secret(app)
    app.config.setdefault("SESSION_COOKIE_SAMESITE", "Lax")
    app.register_blueprint(blueprint)

    @app.cli.command("add-person")
    @click.argument("name")
    @click.option("--may", type=click.Choice(["view", "operate"]), default="operate", show_default=True)
    @click.password_option()
    def add_person(name: str, may: str, password: str) -> None:
        """Let NAME log in."""
        row = name, generate_password_hash(password), may
        with database() as connection:
            connection.execute("INSERT OR REPLACE INTO people (name, password, may) VALUES (?, ?, ?)", row)
        click.echo(f"{name} may {may}")
