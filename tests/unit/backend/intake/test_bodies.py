from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pictures
import pytest
import requests
from flask import Flask, request
from intake_counter import open_counter, served
from PIL import Image as Pillow

from backend.errors import IntakeError
from backend.intake import bodies


def test_an_upload_is_never_written_to_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = open_counter(tmp_path)
    project, account = counter.project(), counter.account()
    token = counter.token(account)
    noise = np.random.default_rng(7).integers(0, 256, (1200, 1200, 3), np.uint8)
    photo = pictures.saved(Pillow.fromarray(noise), "PNG")
    assert len(photo) > 2**22  # far beyond what Werkzeug and waitress keep in memory by themselves

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file is made")

    for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, forbidden)
    with served(counter) as url:
        answer = requests.post(
            f"{url}/api/v1/projects/{project.project_id}/photos",
            headers={"Authorization": f"Bearer {token}"},
            files={"files": ("noise.png", photo)},
            timeout=60,
        )

    assert answer.status_code == 200, answer.text
    assert counter.original(counter.desk.ledger.photo(answer.json()["results"][0]["photo_id"])) == photo


def test_an_upload_that_is_too_large_is_refused(tmp_path: Path) -> None:
    counter = open_counter(tmp_path)
    project, account = counter.project(), counter.account()
    token = counter.token(account)
    counter.app.config["MAX_CONTENT_LENGTH"] = 1000

    answer = counter.app.test_client().post(
        f"/api/v1/projects/{project.project_id}/photos",
        headers={"Authorization": f"Bearer {token}"},
        data={"files": (io.BytesIO(bytes(2000)), "a.jpg")},
    )

    assert (answer.status_code, answer.json["error"]["title"]) == (413, "Too large")


def test_files_keep_their_order_and_their_folders() -> None:
    app = Flask(__name__)
    app.request_class = bodies.InMemoryRequest
    data = {"files": [(io.BytesIO(b"B"), "x/b.jpg"), (io.BytesIO(b"A"), "a.jpg")], "total": "40"}
    with app.test_request_context(method="POST", data=data):
        files = bodies.handed_in(request)

        assert [(file.name, file.data) for file in files] == [("x/b.jpg", b"B"), ("a.jpg", b"A")]
        assert bodies.total(request) == 40


@pytest.mark.parametrize("text", ["", "-3", "1e9", "9" * 12, "٣"])
def test_a_total_that_makes_no_sense_is_none(text: str) -> None:
    with Flask(__name__).test_request_context(method="POST", data={"total": text}):
        assert bodies.total(request) is None


def test_an_upload_without_files_is_refused() -> None:
    with (
        Flask(__name__).test_request_context(method="POST", data={"x": "y"}),
        pytest.raises(IntakeError, match="named files"),
    ):
        bodies.handed_in(request)
