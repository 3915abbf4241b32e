from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from ready_photos import LINKS, NOW, PUBLIC_URL, ready
from werkzeug.test import TestResponse

from backend.labelstudio import labels
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, Project
from backend.metrics import Metrics
from backend.plugin.app import Guard, Images, create_app
from backend.plugin.links import Links
from backend.plugin.placeholder import pending_png
from backend.plugin.predictor import Predictor
from backend.storage import BlobStore

ORIGIN = "http://label-studio.example:8080"
IMAGE = bytes(range(256)) * 8


class Shop:
    """An application on a real ledger and store, and what it needs to be asked about."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger.open(f"sqlite:///{folder}/ledger.sqlite3")
        self.blobs = BlobStore((folder / "blobs").as_uri())
        self.project: Project = self.ledger.add_project("Faces", 7, now=NOW)
        self.now = NOW
        self.adopted: list[Any] = []

    def browser(self, guard: Guard | None = None, *, links: Links = LINKS) -> FlaskClient:
        predictor = Predictor(
            self.ledger, links, model_version="g2face-1", adopt=lambda *asked: self.adopted.append(asked)
        )
        images = Images(self.ledger, self.blobs, links, [ORIGIN], lambda: self.now)
        return create_app(predictor, images, guard=guard or Guard(), metrics=Metrics()).test_client()

    def ready(self) -> Photo:
        return ready(self.ledger, self.project, image=IMAGE, blobs=self.blobs)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path)
    yield opened
    opened.ledger.close()


def _fetch(browser: FlaskClient, photo: Photo, *, links: Links = LINKS, **options: Any) -> TestResponse:
    assert photo.image_key is not None
    return browser.get(links.address(photo.image_key, NOW).removeprefix(PUBLIC_URL), **options)


def test_an_image_is_served_to_label_studios_pages(shop: Shop) -> None:
    answer = _fetch(shop.browser(), shop.ready(), headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.data, answer.mimetype) == (200, IMAGE, "image/png")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in answer.headers["Vary"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, max-age=3600"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_other_pages_may_not_read_it(shop: Shop) -> None:
    answer = _fetch(shop.browser(), shop.ready(), headers={"Origin": "http://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_browser_that_has_it_gets_nothing_again(shop: Shop) -> None:
    browser, photo = shop.browser(), shop.ready()
    tag = _fetch(browser, photo).headers["ETag"]
    again = _fetch(browser, photo, headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    assert _fetch(browser, photo, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_part_can_be_asked_for(shop: Shop) -> None:
    browser, photo = shop.browser(), shop.ready()
    part = _fetch(browser, photo, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, IMAGE[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(IMAGE)}"
    assert _fetch(browser, photo, headers={"Range": "bytes=99999-"}).status_code == 416


def test_until_it_is_done_there_is_a_placeholder_that_is_not_kept(shop: Shop) -> None:
    browser, photo = shop.browser(), shop.ready()
    shop.ledger.refuse_publishing([photo.photo_id], reason="no", now=NOW)
    shop.ledger.retry(photo.photo_id, now=NOW)
    answer = _fetch(browser, photo)
    assert (answer.status_code, answer.data) == (200, pending_png())
    assert answer.headers["Cache-Control"] == "no-store"


def test_what_failed_or_was_called_off_is_not_shown(shop: Shop) -> None:
    browser, photo = shop.browser(), shop.ready()
    shop.ledger.refuse_publishing([photo.photo_id], reason="no", now=NOW)
    assert _fetch(browser, photo).status_code == 404
    shop.ledger.cancel(shop.project.project_id, now=NOW)
    assert _fetch(browser, photo).status_code == 404


def test_unknown_and_forged_addresses_are_not_found(shop: Shop) -> None:
    browser, photo = shop.browser(), shop.ready()
    unknown = LINKS.address("u" * 43, NOW).removeprefix(PUBLIC_URL)
    for path in (unknown, f"/images/{photo.image_key}", f"/images/{photo.image_key}?e=0&s=0", "/images/"):
        answer = browser.get(path, headers={"Origin": ORIGIN})
        assert answer.status_code == 404
    assert browser.get(unknown, headers={"Origin": ORIGIN}).headers["Access-Control-Allow-Origin"] == ORIGIN


def test_a_lapsed_address_is_gone(shop: Shop) -> None:
    links = Links(PUBLIC_URL, b"k" * 32, lifetime_s=60)
    browser, photo = shop.browser(links=links), shop.ready()
    assert _fetch(browser, photo, links=links).status_code == 200
    shop.now = NOW + timedelta(seconds=61)
    assert _fetch(browser, photo, links=links).status_code == 410


def test_a_missing_blob_is_not_found_and_a_store_that_is_away_is_away(shop: Shop) -> None:
    browser, photo = shop.browser(), shop.ready()
    assert photo.image_sha256 is not None
    shop.blobs.delete(photo.image_sha256)
    assert _fetch(browser, photo).status_code == 404
    (shop.folder / "blobs" / photo.image_sha256).mkdir()
    assert _fetch(browser, photo).status_code == 503


def test_nothing_else_is_served_below_images(shop: Shop) -> None:
    browser = shop.browser()
    shop.ready()
    blob = next((shop.folder / "blobs").iterdir()).name
    for path in (f"/images/{blob}", "/images/../ledger.sqlite3", f"/blobs/{blob}", "/static/x"):
        assert browser.get(path).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_images_can_only_be_read(shop: Shop, method: str) -> None:
    photo = shop.ready()
    assert photo.image_key is not None
    path = LINKS.address(photo.image_key, NOW).removeprefix(PUBLIC_URL)
    assert shop.browser().open(path, method=method).status_code == 405


def test_images_need_neither_secret_nor_password(shop: Shop) -> None:
    guarded = Guard(path_secret="s3cret", user="ls", password="pw")
    assert _fetch(shop.browser(guarded), shop.ready()).status_code == 200


SETUP = {"project": "7.1", "schema": "<View/>", "hostname": "http://ls", "access_token": "deadbeef" * 5}
ROUTES = [("GET", "/health"), ("POST", "/setup"), ("GET", "/versions"), ("POST", "/predict"), ("GET", "/metrics")]


@pytest.mark.parametrize(("method", "route"), [*ROUTES, ("POST", "/webhook")])
def test_with_a_path_secret_the_plain_paths_are_not_there(shop: Shop, method: str, route: str) -> None:
    browser = shop.browser(Guard(path_secret="s3cret"))
    body = {"json": {"tasks": [], "label_config": "<View/>"}} if method == "POST" else {}
    assert browser.open("/s3cret" + route, method=method, **body).status_code == 200
    assert browser.open("/s3creT" + route, method=method, **body).status_code == 404
    if route != "/health":  # which says nothing, to probes that know no secret
        assert browser.open(route, method=method, **body).status_code == 404


@pytest.mark.parametrize(("method", "route"), [*ROUTES, ("POST", "/webhook")])
def test_with_a_password_everything_asks_for_it(shop: Shop, method: str, route: str) -> None:
    browser = shop.browser(Guard(user="ls", password="pw"))
    body = {"json": {"tasks": [], "label_config": "<View/>"}} if method == "POST" else {}
    refused = browser.open(route, method=method, **body)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic")
    assert browser.open(route, method=method, auth=("ls", "no"), **body).status_code == 401
    assert browser.open(route, method=method, auth=("no", "pw"), **body).status_code == 401
    assert browser.open(route, method=method, auth=("ls", "pw"), **body).status_code == 200


def test_label_studios_webhooks_come_without_password_if_the_path_has_the_secret(shop: Shop) -> None:
    browser = shop.browser(Guard(path_secret="s3cret", user="ls", password="pw"))
    assert browser.post("/s3cret/webhook", json={"action": "TASKS_DELETED"}).status_code == 200
    assert browser.post("/s3cret/predict", json={"tasks": [], "label_config": ""}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b"{", 400), (b"{}", 400), (b'{"tasks": {}, "label_config": ""}', 400)],
)
def test_what_is_no_request_is_refused_without_a_traceback(shop: Shop, body: bytes, status: int) -> None:
    answer = shop.browser().post("/predict", data=body, content_type="application/json")
    assert answer.status_code == status
    assert answer.json == {"error": "Bad Request"}


def test_whatever_goes_wrong_inside_stays_inside(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    browser = shop.browser()

    def broken(*_: object) -> None:
        raise RuntimeError("anna.png in /srv/secret")

    monkeypatch.setattr(Predictor, "predict", broken)
    with caplog.at_level(logging.DEBUG):
        answer = browser.post("/predict", json={"tasks": [], "label_config": ""})
    assert (answer.status_code, answer.json) == (500, {"error": "Internal Server Error"})
    assert "anna" not in caplog.text


def test_the_token_in_setup_is_neither_kept_nor_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = shop.browser().post("/setup", json=SETUP)
    assert answer.json == {"model_version": "g2face-1"}
    assert "deadbeef" not in caplog.text


def test_setup_answers_whatever_its_body(shop: Shop) -> None:
    answer = shop.browser().post("/setup", data=b"\xff")
    assert (answer.status_code, answer.json) == (200, {"model_version": "g2face-1"})


def test_a_hint_about_new_tasks_is_passed_on(shop: Shop) -> None:
    shop.ledger.switch(shop.project.project_id, on=True, adopts=True)
    project = {"id": 7, "label_config": labels.plain_config(), "token": "t"}
    tasks = [{"id": 5, "data": {"image": "/data/upload/7/a.png"}}]
    browser = shop.browser()
    for body in ({"action": "TASKS_CREATED", "project": project, "tasks": tasks}, {"action": "TASKS_CREATED"}, {}):
        assert browser.post("/webhook", json=body).status_code == 200
    assert (
        browser.post("/webhook", json={"action": "TASKS_DELETED", "project": project, "tasks": tasks}).status_code
        == 200
    )
    ((asked, told, data_key),) = shop.adopted
    assert (asked.project_id, [task["id"] for task in told], data_key) == (shop.project.project_id, [5], "image")


def test_answers_are_timed(shop: Shop) -> None:
    browser = shop.browser()
    browser.post("/predict", json={"tasks": [], "label_config": "<View/>"})
    text = browser.get("/metrics").text
    assert "g2face_predict_seconds_count 1.0" in text
