"""Secrets: what is named in ``redact=`` is in no text and no mapping that is written."""

from __future__ import annotations

import base64
import decimal
import json
import subprocess
import traceback
import urllib.parse
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task import DeclarationTypeError
from task.runs.redaction import Redactor, check_names

CANARY = "c4n4ry/+&='\"\\ é\n"
SECRETS = st.text(st.characters(codec="utf-8"), min_size=4, max_size=40)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


def test_without_names_it_is_false_and_gives_back_what_it_gets() -> None:
    redactor = Redactor([], {"password": "hunter22"})
    text = "hunter22"
    assert not redactor
    assert redactor.text(text) is text
    assert redactor.mapping({"password": "hunter22"}) == {"password": "hunter22"}


def test_its_own_repr_has_no_secret() -> None:
    assert repr(Redactor(["Password"], {"password": "hunter22"})) == "<Redactor of ['password']>"


@pytest.mark.parametrize(
    ("values", "text", "masked"),
    [
        ({"password": "hunter22"}, "psql hunter22 hunter22", "psql *** ***"),
        ({"PassWord": "hunter22"}, "hunter22", "***"),
        ({"password": b"hunter22"}, "b'hunter22'", "b'***'"),
        ({"password": bytearray(b"\xff\xfe\xfd\xfc'")}, repr(b"\xff\xfe\xfd\xfc'"), 'b"***"'),
        ({"password": 12345}, "pin=12345;", "pin=***;"),
        ({"password": decimal.Decimal("12.50")}, "12.50", "***"),
        ({"database": {"hosts": [{"password": "hunter22"}]}}, "hunter22", "***"),
        ({"password": {"old": ["hunter22"], "new": ("hunter33",)}}, "hunter22 hunter33", "*** ***"),
        ({"password": "hunter22\n"}, "hunter22", "***"),
        ({"password": "first line\nsecond line"}, "| second line", "| ***"),
        ({"password": "abcdef", "x": {"password": "defghi"}}, "1abcdefghi2", "1***2"),
        ({"password": "hunter", "x": {"password": "hunter22"}}, "hunter22", "***"),
        ({"password": "aaaa"}, "aaaaaaa", "***"),
        ({"password": "***a"}, "***aaaa", "***"),
        ({"password": "p/q r"}, "https://u:p%2fq%20r@h p%2Fq+r", "https://u:***@h ***"),
        ({"password": "abc"}, "abc", "abc"),
        ({"password": True}, "True", "True"),
        ({"password": None}, "None", "None"),
        ({"password": ""}, "", ""),
    ],
)
def test_secrets_in_texts_are_masked(values: dict[str, Any], text: str, masked: str) -> None:
    assert Redactor(["password"], values).text(text) == masked


def test_a_secret_within_a_basic_authorization_is_masked() -> None:
    header = "Basic " + base64.b64encode(b"app:hunter22").decode()
    masked = Redactor(["password"], {"password": "hunter22"}).text(header)
    assert masked == "Basic YXBwOm***"


def failure_of(secret: str) -> str:
    try:
        raise ValueError({"argv": ["psql", secret]}) from KeyError(secret)
    except ValueError:
        return traceback.format_exc()


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        f"{CANARY!r} {CANARY!a}",
        repr([repr({"password": CANARY})]),
        json.dumps({"password": CANARY}),
        json.dumps({"password": CANARY}, ensure_ascii=False),
        json.dumps({"error": repr({"password": CANARY})}),
        f"https://{urllib.parse.quote(CANARY, safe='')}@h/?{urllib.parse.urlencode({'password': CANARY})}",
        failure_of(CANARY),
        str(subprocess.CalledProcessError(1, ["psql", f"--password={CANARY}"])),
        str(subprocess.CalledProcessError(1, ["psql", CANARY.encode()])),
    ],
)
def test_a_canary_is_in_no_text(text: str) -> None:
    masked = Redactor(["password"], {"password": CANARY}).text(text)
    assert "***" in masked
    assert "c4n4ry" not in masked


@settings(deadline=None)
@given(SECRETS, TEXTS, TEXTS)
def test_no_secret_survives_in_a_text(secret: str, before: str, after: str) -> None:
    redactor = Redactor(["password"], {"password": secret})
    assert secret not in redactor.text(before + secret + after)
    for write in (repr, ascii, json.dumps, urllib.parse.quote, urllib.parse.quote_plus):
        masked = redactor.text(write(before + secret + after))
        written = write(secret) if write not in (repr, ascii, json.dumps) else write(secret)[1:-1]
        assert written not in masked, write
    for raw in (secret.encode(), before.encode() + secret.encode() + after.encode()):
        assert "***" in redactor.text(base64.b64encode(raw).decode())


@settings(deadline=None)
@given(SECRETS, TEXTS, TEXTS)
def test_no_secret_survives_in_a_mapping(secret: str, before: str, after: str) -> None:
    redactor = Redactor(["password"], {"password": secret})
    text = before + secret + after
    masked = redactor.mapping({"password": secret, "a": text, "b": [text, (text, {text: text})], "c": {text}})
    assert masked["password"] == "***"
    for leaf in (masked["a"], masked["b"][0], masked["b"][1][0], *masked["b"][1][1], *masked["c"]):
        assert secret not in leaf


@settings(deadline=None)
@given(TEXTS.filter(lambda text: "s3cr3t" not in text and "c3Iz" not in text), st.integers(0, 9))
def test_a_text_without_a_secret_stays_as_it_is(text: str, number: int) -> None:
    redactor = Redactor(["password"], {"password": "s3cr3t-0123456789"})
    assert redactor.text(text) == text
    assert redactor.mapping({"text": text, "number": number}) == {"text": text, "number": number}


def test_a_mapping_has_the_named_values_masked_and_secrets_in_other_values() -> None:
    values = {
        "PASSWORD": "hunter22",
        "pin": 12345,
        "other": 12345,
        "raw": b"-hunter22-",
        "nested": [{"password": None, "flag": True}],
        "url": "postgres://hunter22@h",
        "thing": Ellipsis,
    }
    assert Redactor(["password", "pin"], values).mapping(values) == {
        "PASSWORD": "***",
        "pin": "***",
        "other": "***",
        "raw": "***",
        "nested": [{"password": "***", "flag": True}],
        "url": "postgres://***@h",
        "thing": Ellipsis,
    }
    assert values["PASSWORD"] == "hunter22"


def test_values_that_contain_themselves_end() -> None:
    values: dict[str, Any] = {"password": "hunter22"}
    values["again"] = [values, values]
    redactor = Redactor(["password"], values)
    assert redactor.text("hunter22") == "***"
    assert "hunter22" not in repr(redactor.mapping(values))


def test_a_very_long_secret_masks_the_whole_text_that_begins_it() -> None:
    secret = "".join(f"{number:05d}" for number in range(3_000))
    redactor = Redactor(["password"], {"password": secret})
    assert redactor.text(f"before {secret[:200]} after") == "***"
    assert redactor.text("before 00007 after") == "before 00007 after"
    assert redactor.mapping({"password": secret, "note": f"see {secret}"}) == {"password": "***", "note": "***"}


@pytest.mark.parametrize(
    "values",
    [
        {"password": [f"secret-{number}" for number in range(1_001)]},
        {"password": [f"{number:09d}" * 1_000 for number in range(12)]},
        {"rows": [0] * 100_001},
        {"password": 10**5_000},
    ],
    ids=["many", "long", "large", "number"],
)
def test_what_cannot_be_told_apart_is_masked_as_a_whole_and_said(
    values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    redactor = Redactor(["password"], values)
    assert (redactor.text("anything"), redactor.text("")) == ("***", "")
    assert redactor.mapping({"password": "a", "note": "b"}) == {"password": "***", "note": "***"}
    assert caplog.messages == [
        "The secrets in the parameters ['password'] cannot be told apart (ValueError): every text of the run is "
        "masked. Name smaller parameters in redact=."
    ]


def test_names_are_a_collection_of_texts() -> None:
    assert check_names("sync", None) == frozenset()
    assert check_names("sync", ["password", "token", "token"]) == {"password", "token"}


@pytest.mark.parametrize("value", ["password", b"password", 5, [""], ["a", 5], iter(["a"]), [[]]])
def test_other_names_are_refused(value: object) -> None:
    with pytest.raises(DeclarationTypeError, match=r"Task 'sync': redact is a list of names .* \['password'\], not "):
        check_names("sync", value)
