"""A browser without JavaScript, for the tests of pages: it looks at pages and sends their forms."""

from __future__ import annotations

import html
import html.parser
import re
from typing import Any

import flask

from task import TaskManager
from task.flask import Access, FlaskTasks
from task.flask.access import May

__all__ = ["Pages", "elements", "words"]

HOST = "http://localhost"


class Pages:
    """The pages of a manager, as *who* sees them, who may look (``view``) or also change something (``operate``)."""

    def __init__(self, manager: TaskManager, may: May = "operate", who: str = "ada", **config: Any) -> None:
        self.app = flask.Flask("app")
        self.app.config.update({"TASKS_AUTOSTART": False, **config})
        FlaskTasks(manager, auth=lambda _: Access(may, who)).init_app(self.app)
        self._client = self.app.test_client()
        self.status = 0
        #: Where it is: the path and what follows it.
        self.at = ""

    def _open(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Origin": HOST, "Accept": "text/html,*/*;q=0.8"}
        return self._client.open(path, method=method, base_url=HOST, headers=headers, **options)

    def get(self, path: str, **query: Any) -> str:
        """Look at a page below the prefix; its HTML."""
        return self._look(self._open("GET", f"/tasks{path}", query_string=query))

    def send(self, action: str, **fields: Any) -> str:
        """Send a form to ``/do/<action>``, and follow to the page that it leads to; its HTML."""
        return self.submit(f"/do/{action}", **fields)

    def submit(self, path: str, query: dict[str, str] | None = None, **fields: Any) -> str:
        """Send a form to an address below the prefix, and follow to the page that it leads to; its HTML."""
        self.get("/")
        token = self._client.get_cookie("tasks_token", path="/tasks")
        form = {"token": "" if token is None else token.value, **fields}
        answer = self._open("POST", f"/tasks{path}", query_string=query, data=form)
        if answer.status_code == 303:
            return self._look(self._open("GET", answer.headers["Location"]))
        return self._look(answer)

    def _look(self, answer: Any) -> str:
        self.status = answer.status_code
        self.at = answer.request.path + (
            f"?{answer.request.query_string.decode()}" if answer.request.query_string else ""
        )
        text: str = answer.get_data(as_text=True)
        return text


def words(page: str) -> str:
    """What is read on a page: its text, without tags and the space between."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


class _Elements(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))


def elements(page: str) -> list[tuple[str, list[str]]]:
    """The elements that a browser makes of a page, each with the names of its attributes."""
    parser = _Elements()
    parser.feed(page)
    return parser.found
