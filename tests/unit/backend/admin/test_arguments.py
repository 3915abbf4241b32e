"""What programs send is read strictly, and whatever is wrong is told in one sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from backend.admin import arguments
from backend.admin.arguments import Body
from backend.admin.disputes import Decision
from backend.errors import OfficeError

JSON = "application/json"
ID = "0123456789abcdef" * 2


def body(fields: Any, *known: str) -> Body:
    with Flask(__name__).test_request_context(method="POST", data=json.dumps(fields), content_type=JSON):
        return Body.of(request, *known)


def test_a_body_is_an_object_with_known_fields() -> None:
    assert body({"a": 1}, "a", "b").fields == {"a": 1}
    for other in ([], "text", 3, None):
        with pytest.raises(OfficeError, match="a JSON object is expected"):
            body(other, "a")
    with pytest.raises(OfficeError, match="this takes a, b and not 'c'"):
        body({"c": 1}, "a", "b")


def test_the_name_of_an_unknown_field_is_not_repeated_at_length() -> None:
    with pytest.raises(OfficeError) as error:
        body({"x" * 9000: 1}, "a")
    assert len(str(error.value)) < 100


@pytest.mark.parametrize("data", [b"{", b"", b"\xff", b'{"a": }', b"[" * 30_000])
def test_what_is_no_json_is_told_so(data: bytes) -> None:
    context = Flask(__name__).test_request_context(method="POST", data=data, content_type=JSON)
    with context, pytest.raises((BadRequest, OfficeError)):
        Body.of(request, "a")


def test_a_form_is_no_json() -> None:
    with Flask(__name__).test_request_context(method="POST", data={"a": "1"}), pytest.raises(UnsupportedMediaType):
        Body.of(request, "a")


@pytest.mark.parametrize("text", ["why", " with space ", "two\nlines\tand a tab", "全角　空白", "é 👩‍🚀"])
def test_texts_in_any_language(text: str) -> None:
    assert body({"a": text}, "a").text("a") == text
    assert body({"a": text}, "a").optional_text("a") == text


@pytest.mark.parametrize("value", [None, "", "  \n", 3, ["why"], "a\0b", "\x1b[2J", "\ud800", "x" * 4001])
def test_what_is_no_text(value: Any) -> None:
    with pytest.raises(OfficeError, match=r"^a is "):
        body({"a": value}, "a").text("a")


def test_a_text_may_be_left_out_where_it_is_optional() -> None:
    assert body({}, "a").optional_text("a") is None
    assert body({"a": None}, "a").optional_text("a") is None


def test_faces_are_a_list_of_whole_numbers() -> None:
    assert body({"a": [0, 3]}, "a").numbers("a") == [0, 3]
    for value in (None, 0, "0", [True], [-1], [1.0], ["1"], [2**16], {"0": 1}):
        with pytest.raises(OfficeError, match="a is a list"):
            body({"a": value}, "a").numbers("a")


def test_a_choice_is_one_of_those_there_are() -> None:
    assert body({"a": "undecided"}, "a").choice("a", Decision) is Decision.UNDECIDED
    assert arguments.choice(Decision, None) is None
    for value in ("", "UNDECIDED", "other"):
        with pytest.raises(OfficeError):
            body({"a": value}, "a").choice("a", Decision)
    with pytest.raises(OfficeError, match="one of label_stands, label_changes, undecided"):
        arguments.choice(Decision, "other")


@pytest.mark.parametrize("text", ["", ID[1:], f"{ID}0", ID.upper(), f"{ID}\n", "../" + ID[3:], "g" * 32, "\uff11" * 32])
def test_what_is_no_id(text: str) -> None:
    assert arguments.identifier(ID) == ID
    with pytest.raises(OfficeError, match="32 hexadecimal digits"):
        arguments.identifier(text)


def test_moments_have_a_time_zone() -> None:
    assert arguments.moment(None) is None
    assert arguments.moment("2026-03-02T09:30:00+09:00") == datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
    assert arguments.moment("2026-03-02T09:30:00Z") == datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    for text in ("", "yesterday", "2026-03-02T09:30:00", "2026-13-02T09:30:00Z", "0001-01-01T00:00:00+05:00"):
        with pytest.raises(OfficeError, match="a moment"):
            arguments.moment(text)


def test_numbers_of_events() -> None:
    assert (arguments.number(None), arguments.number("0"), arguments.number("17")) == (None, 0, 17)
    for text in ("", "-1", "1.5", "\uff11", "9" * 19, " 1", "1\n"):
        with pytest.raises(OfficeError, match="the number of an event"):
            arguments.number(text)


def test_names_to_look_for() -> None:
    assert (arguments.name(None), arguments.name("request.opened")) == (None, "request.opened")
    for text in ("", "a b", "ü", "x" * 129, "a\n", "'; --"):
        with pytest.raises(OfficeError, match="actions and ids"):
            arguments.name(text)


@given(st.text(max_size=40))
def test_nothing_else_is_ever_raised(text: str) -> None:
    for read in (arguments.identifier, arguments.moment, arguments.number, arguments.name):
        with suppress(OfficeError):
            read(text)
