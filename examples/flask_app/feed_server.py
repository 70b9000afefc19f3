"""Feeds to fetch, on this machine: three of them, each with a new entry every few seconds; one fails now and then.

python feed_server.py 8800
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

TITLES = {"tides": "Tides & moons", "trains": "Trains that are late", "bread": "The bakery's blackboard"}

#: Every so often there is a new entry. Seconds.
CADENCE = 20


class Feeds(BaseHTTPRequestHandler):
    """Answers ``GET /NAME`` with an RSS document."""

    def do_GET(self) -> None:
        """One feed."""
        name, now = self.path.strip("/"), int(time.time()) // CADENCE
        if name not in TITLES:
            self.send_error(404)
        elif name == "trains" and now % 5 == 0:
            self.send_error(503, "The trains are late")
        else:
            self.answer(document(name, now))

    def answer(self, text: str) -> None:
        """Send a document."""
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/rss+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


def document(name: str, newest: int) -> str:
    """The ten newest entries of a feed."""
    items = "".join(
        f"<item><title>{escape(TITLES[name])}, number {number}</title><link>http://localhost/{name}/{number}</link></item>"
        for number in range(newest, newest - 10, -1)
    )
    return f"<rss version='2.0'><channel><title>{escape(TITLES[name])}</title>{items}</channel></rss>"


def serve(port: int = 0) -> ThreadingHTTPServer:
    """A server on loopback; `serve_forever` serves."""
    return ThreadingHTTPServer(("127.0.0.1", port), Feeds)


if __name__ == "__main__":
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8800).serve_forever()
