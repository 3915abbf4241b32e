from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pictures
import pytest
from intake_counter import Counter, open_counter
from pilot_steps import ended, published
from s3_server import Bucket
from werkzeug.test import TestResponse


class Program:
    """A program with a token."""

    def __init__(self, counter: Counter) -> None:
        token = counter.token(counter.account())
        self._client, self._headers = counter.app.test_client(), {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, **options: Any) -> TestResponse:
        return self._client.open(f"/api/v1{path}", method=method, headers=self._headers, **options)


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return open_counter(tmp_path)


@pytest.fixture
def ask(counter: Counter) -> Program:
    return Program(counter)


def test_projects_with_policy_and_progress(counter: Counter, ask: Program) -> None:
    project = counter.project(retention_days=30)

    (listed,) = ask("GET", "/projects").json["projects"]

    assert listed["project_id"] == project.project_id
    assert listed["policy"]["retention_days"] == 30
    assert listed["progress"]["total"] == 0
    assert ask("GET", f"/projects/{project.project_id}").json["title"] == "Waiting room"


def test_a_policy_is_revised_field_by_field(counter: Counter, ask: Program) -> None:
    path = f"/projects/{counter.project().project_id}/policy"

    revised = ask("POST", path, json={"strictness": "strict"})

    assert (revised.status_code, revised.json["revision"], revised.json["strictness"]) == (201, 2, "strict")
    assert revised.json["recovery"] == "exact"
    assert ask("POST", path, json={"strictness": "lax"}).status_code == 400


def test_switches(counter: Counter, ask: Program) -> None:
    path = f"/projects/{counter.project().project_id}"

    assert ask("PATCH", path, json={"adopts": True}).json["adopts"] is True
    assert ask("PATCH", path, json={"on": False}).json == ask("GET", path).json
    assert ask("GET", path).json["adopts"] is True
    assert ask("PATCH", path, json={"on": "no"}).status_code == 400
    assert ask("PATCH", path, json={"off": True}).json["error"]["message"] == "Unknown fields: off."


def test_photos_are_handed_in_listed_tried_again_and_cancelled(counter: Counter, ask: Program) -> None:
    path = f"/projects/{counter.project().project_id}"
    files = [(io.BytesIO(pictures.GOOD["still.webp"]()), "a.webp"), (io.BytesIO(b"text"), "b.jpg")]

    good, bad = ask("POST", f"{path}/photos", data={"files": files}).json["results"]

    assert (good["index"], good["name"], good["reason"]) == (0, "a.webp", None)
    assert (bad["photo_id"], "not a picture" in bad["reason"]) == (None, True)
    assert ask("GET", f"{path}/progress").json["waiting"] == 1
    assert ask("POST", f"{path}/photos/{good['photo_id']}/retry").status_code == 404  # it has not failed
    assert ask("POST", f"{path}/retry").json == {"retried": 0}
    assert ask("POST", f"{path}/cancel").json == {"cancelled": 1}
    (photo,) = ask("GET", f"{path}/photos?state=cancelled").json["photos"]
    assert photo["photo_id"] == good["photo_id"]


def test_photos_are_collected_from_s3(counter: Counter, bucket: Bucket) -> None:
    ask = Program(counter.with_desk(s3_prefixes=(f"s3://{bucket.name}/ward",)))
    path = f"/projects/{counter.project().project_id}"
    bucket.put({"ward/a.webp": pictures.GOOD["still.webp"](), "ward/b.jpg": b"text"})

    assert ask("GET", f"{path}/collection").status_code == 404
    begun = ask("POST", f"{path}/collection", json={"address": f"s3://{bucket.name}/ward/"})
    assert (begun.status_code, begun.json["state"], begun.json["ended_at"]) == (202, "running", None)
    for _ in range(1000):
        ended = ask("GET", f"{path}/collection").json
        if ended["state"] != "running":
            break
        time.sleep(0.02)

    assert (ended["state"], ended["total"], ended["accepted"], ended["refused"]) == ("done", 2, 1, 1)
    assert ended["collection_id"] == begun.json["collection_id"]
    (told,) = ended["photos"]
    assert (told["name"], told["photo_id"], "not a picture" in told["reason"]) == ("b.jpg", None, True)
    assert ask("GET", f"{path}/progress").json["waiting"] == 1
    assert ask("DELETE", f"{path}/collection").json == ended, "what is over is not stopped"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "Give an address"),
        ({"address": 7}, "Give an address"),
        ({"address": "s3://photos/ward", "key": "x"}, "Unknown fields: key"),
        ({"address": "s3://photos/private"}, "not under a prefix that may be read here: s3://photos/ward"),
    ],
)
def test_what_is_not_collected_is_said(counter: Counter, body: dict[str, Any], says: str) -> None:
    ask = Program(counter.with_desk(s3_prefixes=("s3://photos/ward",)))
    answer = ask("POST", f"/projects/{counter.project().project_id}/collection", json=body)
    assert answer.status_code == 400
    assert says in answer.json["error"]["message"]


def test_neither_people_nor_addresses_are_told(counter: Counter, ask: Program) -> None:
    project = counter.project()
    counter.desk.ledger.add_photo(
        project.project_id,
        origin="adoption",
        source_sha256="0" * 64,
        labelstudio_task_id=3,
        source_address="/data/upload/4/face.png",
        subject_id="P-1",
        consent="C-1",
        now=counter.clock(),
    )

    text = ask("GET", f"/projects/{project.project_id}/photos").text

    assert not any(secret in text for secret in ("face.png", "P-1", "C-1", "0" * 64))


def test_photos_come_in_pages(counter: Counter, ask: Program) -> None:
    project = counter.project()
    for number in range(130):
        counter.desk.ledger.add_photo(
            project.project_id, origin="intake", source_sha256=f"{number:064x}", now=counter.clock()
        )

    first = ask("GET", f"/projects/{project.project_id}/photos").json
    second = ask("GET", f"/projects/{project.project_id}/photos?after={first['next']}").json

    assert (len(first["photos"]), len(second["photos"]), second["next"]) == (100, 30, None)
    assert not {photo["photo_id"] for photo in first["photos"]} & {photo["photo_id"] for photo in second["photos"]}


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/projects/" + "0" * 32, {}, 404),
        ("GET", "/projects/" + "0" * 32 + "/photos", {}, 404),
        ("POST", "/projects", {"json": {}}, 400),
        ("POST", "/projects", {"json": {"labelstudio_id": True}}, 400),
        ("POST", "/projects", {"json": [1]}, 400),
        ("POST", "/projects", {"data": "x"}, 415),
        ("POST", "/projects", {"data": "{", "content_type": "application/json"}, 400),
        ("POST", "/projects", {"json": {"title": "Fresh", "policy": {"recovery": 1}}}, 400),
        ("POST", "/projects", {"json": {"title": "Fresh"}}, 503),  # no key of Label Studio
        ("GET", "/labelstudio/projects", {}, 503),
        ("DELETE", "/projects", {}, 405),
    ],
)
def test_every_error_is_json_that_says_what_to_do(
    ask: Program, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = ask(method, path, **options)

    assert answer.status_code == status
    assert answer.json["error"]["message"].endswith(".")


def test_an_unknown_state_is_answered_with_the_known_ones(counter: Counter, ask: Program) -> None:
    answer = ask("GET", f"/projects/{counter.project().project_id}/photos?state=lost")

    assert "waiting, working, ready" in answer.json["error"]["message"]


def test_a_pilot_report_is_asked_for_read_and_deleted(counter: Counter, ask: Program) -> None:
    project = counter.project()
    path = f"/projects/{project.project_id}/pilots"
    refused = ask("POST", path, json={})
    assert (refused.status_code, "No photo is published" in refused.json["error"]["message"]) == (400, True)
    published(counter, project, 3)
    for wrong in ({"photos": "3"}, {"photos": True}, {"photos": 51}, {"size": 3}):
        assert ask("POST", path, json=wrong).status_code == 400
    made = ask("POST", path, json={"photos": 2})
    assert made.status_code == 201
    assert (made.json["state"], made.json["photos"], made.json["reports"]) == ("asked", 2, [])
    pilot_id = made.json["pilot_id"]
    assert ask("DELETE", f"{path}/{pilot_id}").status_code == 400
    ended(counter, counter.desk.ledger.pilot(pilot_id))
    assert ask("GET", f"{path}/{pilot_id}").json["reports"] == ["en", "ja"]
    assert [one["pilot_id"] for one in ask("GET", path).json["pilots"]] == [pilot_id]
    report = ask("GET", f"{path}/{pilot_id}/report?language=ja")
    assert report.text == "<h1>報告</h1>"
    assert report.headers["Content-Security-Policy"].startswith("sandbox;")
    assert report.headers["Cache-Control"] == "no-store"
    assert ask("DELETE", f"{path}/{pilot_id}").status_code == 200
    assert ask("GET", f"{path}/{pilot_id}/report").status_code == 404


def test_a_pilot_tells_neither_photos_nor_blobs(counter: Counter, ask: Program) -> None:
    project = counter.project()
    photos = published(counter, project, 2)
    pilot = ended(counter, counter.desk.pilots.ask(project.project_id, photos=2, now=counter.clock()))
    told = ask("GET", f"/projects/{project.project_id}/pilots").text
    assert not any(photo_id in told for photo_id in photos)
    assert not any(name in told for name in pilot.reports.values())
