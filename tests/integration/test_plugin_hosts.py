"""What Label Studio relies on, kept by both hosts: our own application and label_studio_ml 1.0.9's server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from ready_photos import LINKS, NOW, face, ready, waiting

from backend.labelstudio import labels
from backend.ledger.ledger import Ledger
from backend.metrics import Metrics
from backend.plugin.app import Guard, Images, create_app
from backend.plugin.model import hosted_app
from backend.plugin.predictor import Predictor
from backend.storage import BlobStore

CONFIG = labels.expression_config()
TOKEN = "deadbeef" * 5
Adopted = list[tuple[str, list[int]]]
Host = Callable[[Predictor, Ledger, Guard], Flask]


def _own(predictor: Predictor, ledger: Ledger, guard: Guard) -> Flask:
    images = Images(ledger, BlobStore("memory://hosts"), LINKS, [])
    return create_app(predictor, images, guard=guard, metrics=Metrics())


def _label_studio_ml(predictor: Predictor, ledger: Ledger, guard: Guard) -> Flask:  # noqa: ARG001
    return hosted_app(predictor, guard=guard)


@pytest.fixture(params=[_own, _label_studio_ml], ids=["own", "label_studio_ml"])
def host(request: pytest.FixtureRequest) -> Host:
    made: Host = request.param
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def adopted() -> Adopted:
    return []


@pytest.fixture
def predictor(ledger: Ledger, adopted: Adopted) -> Predictor:
    return Predictor(
        ledger,
        LINKS,
        model_version="g2face-1",
        adopt=lambda project, tasks, _: adopted.append((project.project_id, [task["id"] for task in tasks])),
    )


@pytest.fixture
def browser(host: Host, predictor: Predictor, ledger: Ledger) -> FlaskClient:
    return host(predictor, ledger, Guard()).test_client()


def _predict(browser: FlaskClient, tasks: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """As Label Studio 1.23.2 asks."""
    body = {
        "tasks": [{"meta": {}, "annotations": [], "predictions": [], "project": 7, **task} for task in tasks],
        "project": "7.1795421360",
        "label_config": CONFIG,
        "params": {"login": None, "password": None, "context": None},
    }
    answer = browser.post("/predict", json=body | changes)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def _setup(browser: FlaskClient) -> str:
    body = {
        "project": "7.1",
        "schema": CONFIG,
        "hostname": "http://ls",
        "access_token": TOKEN,
        "extra_params": {"a": 1},
    }
    answer = browser.post("/setup", json=body)
    assert answer.status_code == 200
    version: str = answer.json["model_version"]
    return version


def _image(number: int) -> dict[str, Any]:
    return {"image": LINKS.address(f"{number:043}", NOW)}


def test_health_is_up(browser: FlaskClient) -> None:
    answer = browser.get("/health")
    assert (answer.status_code, answer.json["status"]) == (200, "UP")


def test_setup_can_be_called_at_any_time_and_always_says_the_same(browser: FlaskClient) -> None:
    assert {_setup(browser) for _ in range(3)} == {"g2face-1"}


def test_predict_needs_no_setup_before_it(browser: FlaskClient, ledger: Ledger) -> None:
    ready(ledger, ledger.add_project("Faces", 7, now=NOW))
    (answer,) = _predict(browser, [{"id": 1, "data": _image(0)}])["results"]
    assert len(answer["result"]) == 69


def test_there_are_as_many_answers_as_tasks_and_pending_is_an_empty_list(browser: FlaskClient, ledger: Ledger) -> None:
    project = ledger.add_project("Faces", 7, now=NOW)
    ready(ledger, project, face(), face(1))
    waiting(ledger, project, number=3)
    tasks = [
        {"id": number, "data": data} for number, data in enumerate([_image(9), _image(0), {"image": "/data/a"}, {}])
    ]
    results = _predict(browser, tasks)["results"]
    assert [results[0], *results[2:]] == [[], [], []]
    assert len(results[1]["result"]) == 2 * 69
    assert _predict(browser, [])["results"] == []


def test_the_version_of_setup_is_the_version_of_every_prediction(browser: FlaskClient, ledger: Ledger) -> None:
    ready(ledger, ledger.add_project("Faces", 7, now=NOW))
    answer = _predict(browser, [{"id": 1, "data": _image(0)}])
    assert answer["results"][0]["model_version"] == answer["model_version"] == _setup(browser)


def test_versions_can_be_asked_for_both_ways(browser: FlaskClient) -> None:
    for answer in (browser.get("/versions"), browser.post("/versions", json={"project": "7.1"})):
        assert (answer.status_code, answer.json["versions"]) == (200, ["g2face-1"])


def test_several_projects_are_served_by_one_process(browser: FlaskClient, ledger: Ledger) -> None:
    first, second = (ledger.add_project("Faces", number, now=NOW) for number in (7, 8))
    ready(ledger, first, number=0)
    ready(ledger, second, number=1)
    _setup(browser)
    tasks = [{"id": 1, "data": _image(0)}, {"id": 2, "data": _image(1), "project": 8}]
    assert all(_predict(browser, tasks)["results"])


def test_an_interactive_request_is_answered_like_any_other(browser: FlaskClient, ledger: Ledger) -> None:
    ready(ledger, ledger.add_project("Faces", 7, now=NOW))
    params = {"login": None, "password": None, "context": {"result": [{"id": "x"}]}}
    (answer,) = _predict(browser, [{"id": 1, "data": _image(0)}], params=params)["results"]
    assert answer["result"]


def test_a_webhook_is_a_hint(browser: FlaskClient, ledger: Ledger, adopted: Adopted) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, adopts=True)
    told = {"id": 7, "label_config": CONFIG, "token": TOKEN}
    tasks = [{"id": 5, "data": {"image": "/data/upload/7/a.png"}, "meta": {}}]
    answer = browser.post("/webhook", json={"action": "TASKS_CREATED", "project": told, "tasks": tasks})
    assert answer.status_code in (200, 201)
    assert adopted == [(project.project_id, [5])]
    answer = browser.post("/webhook", json={"action": "START_TRAINING", "project": told})
    assert answer.status_code in (200, 201)
    assert len(adopted) == 1


def test_predict_adopts_what_is_not_ours(browser: FlaskClient, ledger: Ledger, adopted: Adopted) -> None:
    project = ledger.add_project("Faces", 7, now=NOW, adopts=True)
    assert _predict(browser, [{"id": 6, "data": {"image": "s3://b/anna.png"}}])["results"] == [[]]
    assert adopted == [(project.project_id, [6])]


def test_with_a_password_only_label_studio_gets_in(host: Host, predictor: Predictor, ledger: Ledger) -> None:
    browser = host(predictor, ledger, Guard(user="ls", password="pw")).test_client()
    for method, path in (("GET", "/health"), ("POST", "/setup"), ("POST", "/predict"), ("GET", "/versions")):
        assert browser.open(path, method=method, json={}).status_code == 401
        assert browser.open(path, method=method, json={}, auth=("ls", "wrong")).status_code == 401
    assert browser.post("/setup", json={"project": "7.1", "schema": CONFIG}, auth=("ls", "pw")).status_code == 200


def test_no_answer_holds_an_address_or_a_token(browser: FlaskClient, ledger: Ledger) -> None:
    ready(ledger, ledger.add_project("Faces", 7, now=NOW, adopts=True))
    _setup(browser)
    told = json.dumps(
        _predict(browser, [{"id": 1, "data": _image(0)}, {"id": 2, "data": {"image": "s3://b/anna.png"}}])
    )
    assert "http" not in told
    assert "anna" not in told
    assert TOKEN not in told


def test_answers_come_in_time(browser: FlaskClient, ledger: Ledger) -> None:
    """/health within 1 s, /setup within 3 s, and 300 faces well within the 20 s that we allow ourselves."""
    project = ledger.add_project("Faces", 7, now=NOW)
    for number in range(30):
        ready(ledger, project, number=number)
    begun = time.monotonic()
    browser.get("/health")
    _setup(browser)
    assert time.monotonic() - begun < 1
    tasks = [{"id": number, "data": _image(number % 30)} for number in range(300)]
    assert all(_predict(browser, tasks)["results"])
    assert time.monotonic() - begun < 10
