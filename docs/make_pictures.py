"""Makes the pictures in docs/pictures: of examples after a virtual morning and before two weeks, of the tests' tasks.

    python3 docs/make_pictures.py

It wants what the tests want: ``pip install -e '.[dev]'``, and Debian's package chromium.
"""

from __future__ import annotations

import datetime
import logging
import os
import pathlib
import random
import sys
import tempfile
import threading
import time
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), *(str(ROOT / folder) for folder in ("docs", "tests", "examples/flask_app"))]

import feed_server  # noqa: E402  # they are not installed
from browser import chromium  # noqa: E402
from demo_site import NOON, add_busy_tasks, log_on, make_app, serve  # noqa: E402
from forecast_picture import PICTURE, forecast_picture  # noqa: E402
from reader import create_app, feeds  # noqa: E402

from task import TaskManager  # noqa: E402
from task.stores import MemoryStore  # noqa: E402
from task.testing import VirtualClock  # noqa: E402

WIDTH, HEIGHT = 1200, 780

PICTURES = ROOT / "docs" / "pictures"


def main() -> None:
    """Make all of them."""
    os.environ["TZ"] = "Europe/Amsterdam"
    time.tzset()
    PICTURE.write_text(forecast_picture(), "utf-8")
    picture_of_the_example()
    pictures_of_the_tests()


def picture_of_the_example() -> None:
    """The reading room at a quarter past seven on a Monday."""
    clock = VirtualClock(datetime.datetime(2026, 5, 4, 4, 40, tzinfo=datetime.UTC))
    feed_server.time = types.SimpleNamespace(time=lambda: clock.now().timestamp())
    fetch, chance = feeds.fetch, random.Random(4)

    def fetch_slowly(url: str) -> feeds.Feed:  # a network takes its time
        clock.sleep(chance.uniform(0.05, 0.4))
        return fetch(url)

    feeds.fetch = fetch_slowly
    with tempfile.TemporaryDirectory() as folder, feed_server.serve() as server, log_on(clock):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        app = create_app(instance_path=folder, clock=clock)
        for name in feed_server.TITLES:
            app.test_cli_runner().invoke(args=["add-feed", name, f"http://127.0.0.1:{server.server_address[1]}/{name}"])
        app.test_cli_runner().invoke(args=["add-person", "ada", "--password", "a long password"])
        with app.extensions["tasks"].manager as manager:
            manager["forget_old_entries"].trigger()
            clock.advance(minutes=30)
            manager["fetch_feed"].trigger(name="bread")
            clock.advance(minutes=5, seconds=41)
            with serve(app) as url, chromium() as browser:
                page = browser.new_page(viewport={"width": WIDTH, "height": 660}, color_scheme="light")
                page.goto(f"{url}/login")
                page.get_by_label("Name").fill("ada")
                page.get_by_label("Password").fill("a long password")
                page.get_by_role("button", name="Log in").click()
                page.wait_for_selector(".live-dot.live")
                page.screenshot(path=PICTURES / "reading-room.png")
        server.shutdown()


def pictures_of_the_tests() -> None:
    """Let days pass, and keep what the noon of the last looks like."""
    logging.disable()
    clock = VirtualClock(NOON - datetime.timedelta(days=4))
    with log_on(clock):
        manager = TaskManager([], clock=clock, store=MemoryStore())
        app = make_app(manager)
        add_busy_tasks(manager, clock)
        manager.remove("backup.database")  # one problem is enough for a picture
        with manager:
            logging.disable(logging.NOTSET)
            logging.getLogger().addHandler(logging.NullHandler())
            clock.advance(days=3)
            manager["invoices.send"].disable(note="until the new address is known", by="grace")
            clock.advance(days=1)
            running = next(iter(manager.runs(state="running"))).id
            with serve(app) as url, chromium() as browser:
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
                for name, path in {"tasks": "/tasks/", "run": f"/tasks/run/{running}"}.items():
                    page.goto(url + path)
                    page.wait_for_selector(".live-dot.live")
                    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
