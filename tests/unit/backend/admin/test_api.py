"""The API as a program uses it: a dispute from the task's number to the pixels, a withdrawal, the log."""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import admin_office
import numpy as np
import pytest
import yaml
from admin_office import APPROVES, ASKS, KEEPS, READS, TASK, Restricted, log_held, programs_token
from intake_counter import Clock
from recovery_site import picture
from werkzeug.test import TestResponse
from workshop import Databases

from backend.admin import api
from backend.admin.actors import ROLE_OF, Scope
from backend.custody import receipts, signing
from backend.custody.audit import read_line
from backend.ledger.records import Photo
from g2face_model import images

ORIGINAL = picture(60, 80)


class Program:
    """A program with a token of everything that its owner may do."""

    def __init__(self, restricted: Restricted, email: str) -> None:
        account = restricted.account(email)
        scopes = [scope for scope, role in ROLE_OF.items() if role in account.roles]
        secret = programs_token(restricted, account.account_id, scopes)
        self._client, self._headers = restricted.app.test_client(), {"Authorization": f"Bearer {secret}"}

    def __call__(self, method: str, path: str, **options: Any) -> TestResponse:
        return self._client.open(f"/api/v1{path}", method=method, headers=self._headers, **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def restricted(tmp_path: Path, clock: Clock, databases: Databases) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data", databases=databases, clock=clock, grace_days=1) as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    return restricted.photo(restricted.project(), ORIGINAL, subject_id="P-017")


def test_every_route_is_described_and_the_other_way_round(restricted: Restricted) -> None:
    paths = yaml.safe_load((Path(api.__file__).parent / "openapi.yaml").read_text("utf-8"))["paths"]
    described = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule).removeprefix("/api/v1"), method)
        for rule in restricted.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == described


def test_the_description_is_open_to_all_and_nothing_else_is(restricted: Restricted) -> None:
    client = restricted.app.test_client()
    assert client.get("/api/v1/openapi.json").json["openapi"].startswith("3.1")
    for path in ("/projects", f"/requests/{'a' * 32}", "/events", "/audit/export", "/keys"):
        answer = client.get(f"/api/v1{path}")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), path
    assert client.post("/api/v1/sweep").status_code == 401


def test_a_signed_in_browser_is_nobody_here(restricted: Restricted) -> None:
    """Otherwise another site's page could ask in a person's name."""
    assert restricted.signed_in(KEEPS).post("/api/v1/sweep").status_code == 401


def test_from_the_task_s_number_to_the_face_as_it_was(restricted: Restricted, photo: Photo) -> None:
    asks, approves = Program(restricted, ASKS), Program(restricted, APPROVES)
    assert [one["title"] for one in asks("GET", "/projects").json["projects"]] == ["Waiting room"]
    found = asks("GET", f"/photos?task={TASK}").json
    assert found["photo_id"] == photo.photo_id
    shown = asks("GET", f"/photos/{photo.photo_id}/image")
    assert shown.mimetype == "image/png"
    assert (images.decode(shown.data) != ORIGINAL).any()
    faces = [face["index"] for face in found["faces"]]
    made = asks("POST", "/requests", json={"photo_id": photo.photo_id, "faces": faces, "reason": "why"})
    assert (made.status_code, made.json["state"]) == (201, "open")
    path = f"/requests/{made.json['request_id']}"
    assert asks("POST", f"{path}/retrieve").status_code == 409  # not before somebody else said yes
    assert asks("POST", f"{path}/approve").status_code == 403
    assert approves("POST", f"{path}/approve").json["state"] == "approved"
    original = asks("POST", f"{path}/retrieve")
    assert (original.status_code, original.headers["X-Bit-Exact"]) == (200, "true")
    assert "no-store" in original.headers["Cache-Control"]
    np.testing.assert_array_equal(images.decode(original.data), ORIGINAL)
    assert asks("POST", f"{path}/retrieve").status_code == 409  # once
    assert asks("GET", path).json["state"] == "retrieved"


def test_requests_are_refused_taken_back_and_listed_page_by_page(
    restricted: Restricted, photo: Photo, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks, approves = Program(restricted, ASKS), Program(restricted, APPROVES)
    paths = []
    for _ in range(3):
        clock.forward(seconds=1)
        made = asks("POST", "/requests", json={"photo_id": photo.photo_id, "faces": [0], "reason": "why"})
        paths.append(f"/requests/{made.json['request_id']}")
    assert approves("POST", f"{paths[0]}/refuse").json["state"] == "refused"
    assert asks("POST", f"{paths[1]}/cancel").json["state"] == "cancelled"
    answer = asks("POST", f"{paths[1]}/cancel")
    assert (answer.status_code, answer.json["error"]["title"]) == (409, "Not in this state")
    only = approves("GET", f"/requests?state=open&project_id={photo.project_id}").json
    assert ([one["state"] for one in only["requests"]], only["next"]) == (["open"], None)
    monkeypatch.setattr(api, "PAGE", 3)
    first = approves("GET", "/requests").json
    assert first["next"] == first["requests"][-1]["created_at"]
    assert approves("GET", "/requests", query_string={"before": first["next"]}).json["requests"] == []


def test_a_subject_s_copy(restricted: Restricted, photo: Photo) -> None:
    other = restricted.photo(restricted.office.ledger.project(photo.project_id), picture(60, 80, seed=2), task_id=9)
    assert other.subject_id is None
    again = restricted.photo(
        restricted.office.ledger.project(photo.project_id), picture(60, 80, seed=3), task_id=8, subject_id="P-017"
    )
    asks, approves = Program(restricted, ASKS), Program(restricted, APPROVES)
    wanted = {"project_id": photo.project_id, "subject_id": "P-017", "reason": "Article 15"}
    made = asks("POST", "/access-requests", json=wanted).json
    approves("POST", f"/requests/{made['request_id']}/approve")
    answer = asks("POST", f"/requests/{made['request_id']}/retrieve")
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert set(archive.namelist()) == {"contents.json", f"{photo.photo_id}.png", f"{again.photo_id}.png"}


def test_an_auditor_s_token_is_not_told_whose_photos_an_access_is_about(restricted: Restricted, photo: Photo) -> None:
    asks, approves = Program(restricted, ASKS), Program(restricted, APPROVES)
    wanted = {"project_id": photo.project_id, "subject_id": "P-017", "reason": "Article 15"}
    path = f"/requests/{asks('POST', '/access-requests', json=wanted).json['request_id']}"
    for one in (asks, approves):
        assert (
            one("GET", path).json["subject_id"] == one("GET", "/requests").json["requests"][0]["subject_id"] == "P-017"
        )
    for answer in (Program(restricted, READS)("GET", path), Program(restricted, READS)("GET", "/requests")):
        assert answer.status_code == 200
        assert "P-017" not in answer.text
    restricted.account("both@example.org", ["approver", "auditor"])
    secret = programs_token(restricted, restricted.account("both@example.org").account_id, [Scope.AUDIT])
    by_scope = restricted.app.test_client().get(f"/api/v1{path}", headers={"Authorization": f"Bearer {secret}"})
    assert (by_scope.status_code, by_scope.json["subject_id"]) == (200, None)


@pytest.mark.parametrize(
    "path",
    [
        "/requests?project_id=%00",
        "/requests?before=%00",
        "/requests?state=open%00",
        "/requests/%00",
        "/photos?task=%00",
        "/photos/a%00/image",
        "/withdrawals?before=%00",
        "/events?action=%00",
        "/events?target=a%00",
        "/events?by=%00",
        "/events?before=1%00",
    ],
)
def test_what_no_database_holds_is_refused(restricted: Restricted, path: str) -> None:
    restricted.account("all@example.org", ["requester", "approver", "auditor", "key_officer"])
    answer = Program(restricted, "all@example.org")("GET", path)
    assert (answer.status_code, answer.json["error"]["title"]) == (400, "That did not work")


def test_numbers_beyond_all_databases_are_refused_or_find_nothing(restricted: Restricted) -> None:
    reads = Program(restricted, READS)
    assert reads("GET", f"/events?before={'9' * 18}").status_code == 200
    assert reads("GET", f"/events?before={'9' * 19}").status_code == 400


def test_from_a_withdrawal_to_its_receipt(restricted: Restricted, photo: Photo, clock: Clock) -> None:
    keeps, reads = Program(restricted, KEEPS), Program(restricted, READS)
    who = {"project_id": photo.project_id, "subject_id": "P-017"}
    (made,) = keeps("POST", "/withdrawals", json=who).json["withdrawals"]
    path = f"/withdrawals/{made['withdrawal_id']}"
    assert keeps("POST", f"{path}/cancel").json["state"] == "cancelled"
    (again,) = keeps("POST", "/withdrawals", json=who).json["withdrawals"]
    path = f"/withdrawals/{again['withdrawal_id']}"
    assert keeps("GET", f"{path}/receipt").status_code == 409
    clock.forward(days=2)
    swept = keeps("POST", "/sweep").json
    assert (swept["shredded"], swept["clean"], swept["problem"]) == (1, True, None)
    receipt = reads("GET", f"{path}/receipt").json
    public = signing.read_public(signing.public_path(restricted.settings.signing_key()))
    assert receipts.check(receipt, public)["withdrawal_id"] == again["withdrawal_id"]
    listed = reads("GET", "/withdrawals?state=shredded").json["withdrawals"]
    assert [(one["withdrawal_id"], one["subject_id"]) for one in listed] == [(again["withdrawal_id"], None)]


def test_a_whole_project_is_withdrawn(restricted: Restricted, photo: Photo) -> None:
    made = Program(restricted, KEEPS)("POST", "/withdrawals", json={"project_id": photo.project_id})
    assert made.status_code == 201
    assert {one["state"] for one in made.json["withdrawals"]} == {"pending"}
    assert len(made.json["withdrawals"]) == 2  # of both faces


def test_the_log_is_read_verified_and_exported(restricted: Restricted, photo: Photo) -> None:
    reads, asks = Program(restricted, READS), Program(restricted, ASKS)
    asks("POST", "/requests", json={"photo_id": photo.photo_id, "faces": [0], "reason": "why"})
    found = reads("GET", "/events?action=request.opened").json
    assert ([one["action"] for one in found["events"]], found["next"]) == (["request.opened"], None)
    head = reads("POST", "/audit/verify").json
    exported = reads("GET", "/audit/export")
    assert exported.mimetype == "application/x-ndjson"
    events = [read_line(line) for line in exported.text.splitlines(keepends=True)]
    assert (events[head["seq"] - 1].hash, events[-1].action) == (head["hash"], "audit.exported")
    keys = reads("GET", "/keys").json
    assert (keys["sealed"], keys["shredded"], keys["retired"]) == (2, 0, [])


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/requests/../keys", {}, 404),
        ("GET", "/requests/ABC", {}, 400),
        ("GET", "/requests?state=lost", {}, 400),
        ("GET", f"/requests/{'a' * 32}", {}, 404),
        ("GET", "/photos", {}, 400),
        ("PUT", "/requests", {}, 405),
        ("POST", "/requests", {"data": "{}"}, 415),
        ("POST", "/requests", {"data": "{", "content_type": "application/json"}, 400),
        ("POST", "/requests", {"data": "[" * 30_000, "content_type": "application/json"}, 400),
        ("POST", "/requests", {"json": {"reason": "x" * 70_000}}, 413),
        ("POST", "/requests", {"json": {"photo_id": "a" * 32, "faces": [0], "reason": "why"}}, 404),
    ],
)
def test_mistakes_are_told_in_json(
    restricted: Restricted, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = Program(restricted, ASKS)(method, path, **options)
    assert answer.status_code == status
    assert answer.json["error"].keys() == {"title", "message"}
    assert answer.json["error"]["message"].endswith(".")


def test_without_the_log_nothing_happens_and_that_is_said_within_two_seconds(
    restricted: Restricted, photo: Photo
) -> None:
    asks, approves, keeps = (Program(restricted, email) for email in (ASKS, APPROVES, KEEPS))
    wanted = {"photo_id": photo.photo_id, "faces": [0], "reason": "why"}
    path = f"/requests/{asks('POST', '/requests', json=wanted).json['request_id']}"
    approves("POST", f"{path}/approve")
    who, before = {"project_id": photo.project_id, "subject_id": "P-017"}, restricted.log()
    with log_held(restricted):
        for program, step, body in (
            (asks, "/requests", wanted),
            (asks, f"{path}/retrieve", None),
            (approves, f"{path}/refuse", None),
            (keeps, "/withdrawals", who),
        ):
            begun = time.monotonic()
            answer = program("POST", step, json=body)
            assert answer.status_code == 503, step
            assert "nothing was done" in answer.json["error"]["message"]
            assert time.monotonic() - begun < 2.0
    assert restricted.log() == before
    assert asks("POST", f"{path}/retrieve").status_code == 200


def test_every_scope_is_a_duty(restricted: Restricted) -> None:
    assert set(ROLE_OF) == set(Scope)
    answer = Program(restricted, READS)("POST", "/sweep")
    assert (answer.status_code, answer.json["error"]["title"]) == (403, "Not allowed")
