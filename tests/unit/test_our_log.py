"""What we log ourselves: people's texts are in it, and neither forge a record nor steer a terminal."""

from __future__ import annotations

import datetime
import io
import logging
from collections.abc import Iterator

import pytest
from naughty import OBEYED, naughty_strings

from task import LogLine, TaskManager
from task.log import logger, printable


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a plain handler writes of our logger."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    ours = logging.getLogger("task")
    ours.addHandler(handler)
    yield stream
    ours.removeHandler(handler)


def records(stream: io.StringIO) -> list[str]:
    """The lines that could be taken for records: none of ours goes on without being indented."""
    return [line for line in stream.getvalue().split("\n") if line and not line.startswith("    ")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ½ 日本 text", "plain ½ 日本 text"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
        ("\x9b31m", "\\x9b31m"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("no\u200bwidth\ufeff", "no\\u200bwidth\\ufeff"),
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),
        ("half \ud800", "half \\ud800"),
        ("東京\u3000都 1\u00a0km", "東京\u3000都 1\u00a0km"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_failure_is_one_record_whatever_the_exception_says(written: io.StringIO, manager: TaskManager) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    manager.add(fail, name="sample")
    with manager:
        for text in naughty_strings():
            written.seek(written.truncate(0))
            manager.trigger("sample", text=text).wait(5)

            assert len(records(written)) == 1, text
            assert records(written)[0].startswith("ERROR task: Task 'sample' failed: ValueError")
            assert not OBEYED.search(written.getvalue()), text


def test_an_error_of_a_receiver_is_one_record_with_its_traceback(written: io.StringIO) -> None:
    for text in naughty_strings():
        written.seek(written.truncate(0))
        try:
            raise ValueError(text)
        except ValueError as error:
            logger.exception("A receiver of %r failed: %s", text, error)

        assert len(records(written)) == 1, text
        assert "\n      File " in written.getvalue()
        assert not OBEYED.search(written.getvalue()), text


def test_a_line_of_the_log_of_a_run_is_printed_in_one_line() -> None:
    noon = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)

    for text in naughty_strings():
        shown = str(LogLine(noon, logging.INFO, text, text))

        assert shown.startswith("2026-05-04T12:00:00.000+00:00 INFO ")
        assert not OBEYED.search(shown), text
        assert "\n" not in shown


def test_a_record_keeps_its_exception_its_values_and_its_place(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("no\nthing")
    except ValueError:
        logger.exception("Failed after %d seconds on %r", 3, "disk")

    [record] = [record for record in caplog.records if record.name == "task"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert (record.msg, record.args) == ("Failed after %d seconds on %r", (3, "disk"))
    assert record.funcName == "test_a_record_keeps_its_exception_its_values_and_its_place"
    assert record.exc_text is not None
    assert record.exc_text.endswith("\n    ValueError: no\n    thing")
