"""What is logged, and above all what is not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backend import logs
from backend.errors import StorageError


class Written:
    """What went to stderr so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield Written(capsys)
    root.handlers[:], level = before
    root.setLevel(level)
    for package in ("backend", "worker", "g2face_model"):
        logging.getLogger(package).setLevel(logging.NOTSET)


def lines(stderr: Written) -> list[dict[str, object]]:
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET http://h:9090/predict?token=abc#x done", "GET http://h:9090/predict done"),
        ("connect redis://:s3cret@cache:6379/0 now", "connect redis://cache:6379/0 now"),
        ("Authorization: Token 0123456789abcdef0123456789abcdef01234567", "Authorization: Token [hidden]"),
        ("key 0123456789abcdef0123456789abcdef01234567.", "key [token]."),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln end", "jwt [token] end"),
        ("from jane.doe@example.org today", "from [e-mail] today"),
        ("could not read Jane_Doe.JPG", "could not read [file]"),
        ("could not read 'Jane Doe at home.png' (bad)", "could not read [file] (bad)"),
        ("in /srv/people/jane.tiff", "in /srv/people/[file]"),
        ("got b'\\x89PNG\\r\\n' instead", "got [bytes] instead"),
        ("pixels array([[1, 2],\n [3, 4]])", "pixels [array]"),
        ("seed " + "Ab3+/" * 9, "seed [key]"),
        ("sha " + "0f" * 32, "sha [key]"),
        ("two\nlines\x1b[31m", "two lines [31m"),
        ("photo-" + "0f" * 16 + "-12-again", "photo-" + "0f" * 16 + "-12-again"),
        ("project " + "0f" * 16 + " has 3 photos", "project " + "0f" * 16 + " has 3 photos"),
    ],
)
def test_texts_are_cleaned(text: str, kept: str) -> None:
    assert logs.cleaned(text) == kept


def test_a_line_is_json_with_known_fields_only(stderr: Written) -> None:
    logs.configure("INFO", json_lines=True)
    facts = {"photo_id": "0f" * 16, "seconds": 1.5, "subject_id": "Jane Doe", "filename_given": "jane"}
    logs.get("backend.somewhere").info("photo is ready", extra=facts)
    (line,) = lines(stderr)
    assert line["message"] == "photo is ready"
    assert line["level"] == "INFO"
    assert line["name"] == "backend.somewhere"
    assert line["photo_id"] == "0f" * 16
    assert line["seconds"] == 1.5
    assert "Jane" not in stderr.getvalue()
    assert "filename_given" not in line


def test_arguments_are_cleaned_and_wrong_ones_do_no_harm(stderr: Written) -> None:
    logs.configure("INFO", json_lines=True)
    log = logs.get("backend.somewhere")
    log.info("%d photos of %s in %s", 3, "jane@example.org", np.zeros((2, 2)))
    log.info("%(count)d of %(whom)s", {"count": 2, "whom": ["Jane"]})
    log.info("%d photos", "many")
    log.info(Path("/people/Jane Doe"))
    log.info({"Jane": 1})
    messages = [line["message"] for line in lines(stderr)]
    assert messages[:2] == ["3 photos of [e-mail] in [ndarray]", "2 of [list]"]
    assert messages[2] == "%d photos [arguments do not fit]"
    assert "Jane" not in stderr.getvalue()


def test_fields_hold_no_arrays_bytes_or_secrets(stderr: Written) -> None:
    logs.configure("INFO", json_lines=True)
    logs.get("worker.task").info("x", extra={"reason": "for jane@example.org", "count": np.zeros(3), "kind": b"raw"})
    (line,) = lines(stderr)
    assert (line["reason"], line["count"], line["kind"]) == ("for [e-mail]", "[ndarray]", "[bytes]")


def test_tracebacks_show_places_and_no_values(stderr: Written) -> None:
    logs.configure("INFO", json_lines=True)
    subject = "Jane Doe"
    try:
        try:
            {}[subject]
        except KeyError as missing:
            raise StorageError("photo 12 at http://h/x?secret=1 is lost") from missing
    except StorageError:
        logs.get("worker.task").exception("job failed")
    (line,) = lines(stderr)
    told = str(line["exc_info"])
    assert "test_tracebacks_show_places_and_no_values" in told
    assert "StorageError: photo 12 at http://h/x is lost" in told
    assert "KeyError" in told
    assert "Jane" not in stderr.getvalue()
    assert "secret" not in stderr.getvalue()


def test_a_librarys_error_is_named_but_not_quoted_unless_it_speaks_of_code(stderr: Written) -> None:
    logs.configure("INFO", json_lines=True)
    log = logs.get("worker.task")
    for error in (ValueError("Jane Doe"), TypeError("unsupported operand"), FileNotFoundError(2, "No such", "/j/Jane")):
        log.error("failed: %s", error)
    messages = [line["message"] for line in lines(stderr)]
    assert messages == [
        "failed: ValueError",
        "failed: TypeError: unsupported operand",
        "failed: FileNotFoundError: [Errno 2] No such",
    ]


def test_libraries_are_heard_from_warnings_on_and_cleaned(stderr: Written) -> None:
    logs.configure("DEBUG", json_lines=True)
    logging.getLogger("some.library").info("request body: everything")
    logging.getLogger("some.library").warning("retrying http://h/?token=1")
    logs.get("g2face_model.weights").debug("ours")
    assert [line["message"] for line in lines(stderr)] == ["retrying http://h/", "ours"]


def test_lines_for_people_carry_the_fields_too(stderr: Written) -> None:
    logs.configure("INFO", json_lines=False)
    logs.configure("INFO", json_lines=False)
    logs.get("worker.task").info("photo is ready", extra={"photo_id": "0f", "seconds": 2, "subject_id": "Jane"})
    assert stderr.getvalue().count("\n") == 1, "configuring twice does not say everything twice"
    assert stderr.getvalue().endswith("INFO    worker.task: photo is ready photo_id=0f seconds=2\n")
