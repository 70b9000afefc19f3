"""What travels as bytes: the body by its name, the outcome with its bounds."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

from task import Run, TransferError
from task.remote import BodyReference
from task.remote.encoding import decode_outcome, encode_call, encode_error, encode_result
from task.remote.entry import run_call
from task.remote.messages import Message

Load = Callable[[str], Any]


def ignore(_: Message) -> None:
    """Send nothing anywhere."""


def test_a_result_comes_out_as_it_went_in() -> None:
    assert decode_outcome("sample", encode_result("sample", {"rows": [1, 2]}, pickle.dumps)) == {"rows": [1, 2]}
    assert decode_outcome("sample", encode_result("sample", None, pickle.dumps)) is None


def test_the_traceback_of_the_other_side_is_bounded() -> None:
    outcome = encode_error("sample", ValueError("x" * 100_000), pickle.dumps, " of process 7 on tower")

    with pytest.raises(ValueError, match="xxx") as caught:
        decode_outcome("sample", outcome)
    (note,) = caught.value.__notes__
    assert note.startswith("The traceback of process 7 on tower:\n")
    assert len(note) < 8_100


def test_a_name_that_leads_to_something_else_is_refused_when_the_run_starts(load: Load) -> None:
    module = load("""
        def body():
            return "the body"

        kept = body

        def body():
            return "another"
    """)
    reference = BodyReference.of("sample", module.kept)
    reference.check_travels()

    with pytest.raises(TransferError, match=r"'sample': its body <function body .*under its own name"):
        encode_call(reference, None, (), {})


def test_a_module_that_is_missing_there_is_named(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("""
        def body():
            return 1
    """)
    call = encode_call(BodyReference.of("sample", module.body), None, (), {})
    monkeypatch.delitem(sys.modules, module.__name__)
    monkeypatch.setattr("sys.path", [])

    with pytest.raises(TransferError, match=f"cannot be read in the other process .*{module.__name__}"):
        decode_outcome("sample", run_call(call, ignore))


def test_a_stand_in_is_told_apart_from_the_run_and_asks_it_to_stop(load: Load, run: Run) -> None:
    module = load("""
        from task import current_run

        def body():
            current_run().cancel("enough")
            return current_run().is_cancelled()
    """)
    told: list[Message] = []
    outcome = run_call(encode_call(BodyReference.of("sample", module.body), run, (), {}), told.append)

    assert decode_outcome("sample", outcome) is True
    assert told[-1] == ["cancel", "enough"]
    assert not run.is_cancelled()
