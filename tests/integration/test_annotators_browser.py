"""What an annotator sees: a real Label Studio in a real browser, with images from a real plugin."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_server import PASSWORD, LabelStudioServer
from playwright.sync_api import Browser, Page, expect
from ready_photos import SIZE_PX, ready
from werkzeug.serving import make_server

from backend.labelstudio import labels
from backend.labelstudio.client import LabelStudio
from backend.labelstudio.predictions import task_item
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo
from backend.metrics import Metrics
from backend.plugin.app import Guard, Images, create_app
from backend.plugin.links import Links
from backend.plugin.predictor import Predictor
from backend.storage import BlobStore
from g2face_model import images

CONFIG = labels.expression_config()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(120_000)  # Label Studio's editor is heavy for a small machine
    yield opened
    opened.close()


@dataclass(frozen=True, slots=True)
class Stall:
    """A plugin within this process, and a project with one photo of one face."""

    project_id: int
    task_id: int


@contextmanager
def _stall(server: LabelStudioServer, folder: Path, *, origins: list[str]) -> Iterator[Stall]:
    client = LabelStudio(server.url, server.token)
    project_id = int(client.create_project(f"Faces {uuid.uuid4().hex[:8]}", CONFIG)["id"])
    ledger, blobs = Ledger.open(f"sqlite:///{folder}/ledger.sqlite3"), BlobStore((folder / "blobs").as_uri())
    grey = np.full((SIZE_PX[1], SIZE_PX[0], 3), 200, np.uint8)
    project = ledger.add_project("Faces", project_id, now=datetime.now(UTC), suggest_expressions=True)
    photo = ready(ledger, project, image=images.encode(grey, "png"), blobs=blobs)
    # The port has to be known before the application is made.
    listener = make_server("127.0.0.1", 0, lambda *_: [], threaded=True)
    links = Links(f"http://localhost:{listener.server_port}", b"k" * 32)
    predictor = Predictor(ledger, links, model_version="g2face-1", adopt=lambda *_: None)
    listener.app = create_app(predictor, Images(ledger, blobs, links, origins), guard=Guard(), metrics=Metrics())
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield _import(server, photo, links, project_id)
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
        ledger.close()


def _import(server: LabelStudioServer, photo: Photo, links: Links, project_id: int) -> Stall:
    client = LabelStudio(server.url, server.token)
    address = links.address(photo.image_key or "", datetime.now(UTC))
    item = task_item(photo, labels.fit(CONFIG), address=address, suggest_expressions=True)
    (task_id,) = client.import_tasks(project_id, [item])
    client.update_project(project_id, model_version="g2face-1")
    return Stall(project_id, task_id)


def _sign_in(page: Page, server: LabelStudioServer) -> None:
    email = f"{uuid.uuid4().hex[:8]}@example.org"
    server.add_annotator(email)
    page.context.clear_cookies()
    page.goto(f"{server.url}/user/login")
    page.fill("[name=email]", email)
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(lambda url: "login" not in url)


def _annotation(server: LabelStudioServer, stall: Stall) -> dict[str, Any]:
    """The task's one annotation, as soon as Label Studio has it."""
    for _ in range(240):
        task = LabelStudio(server.url, server.token).task(stall.project_id, stall.task_id)
        if task is not None and task["annotations"]:
            (found,) = task["annotations"]
            return dict(found)
        time.sleep(0.5)
    raise AssertionError("nothing was submitted")


def test_an_annotator_finds_face_landmarks_and_expression_and_submits_them(
    page: Page, label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    with _stall(label_studio, tmp_path, origins=[label_studio.url]) as stall:
        _sign_in(page, label_studio)
        page.goto(f"{label_studio.url}/projects/{stall.project_id}/data?task={stall.task_id}")
        page.locator("canvas").first.wait_for()
        heading = page.get_by_text("Expression of the selected face")
        for _ in range(20):  # until the editor is done with its own rendering, a click may come to nothing
            page.get_by_role("treeitem").first.get_by_text("face", exact=True).click()
            page.wait_for_timeout(1000)
            if heading.is_visible():
                break
        expect(page.get_by_role("checkbox", name="happy")).to_be_checked()
        page.get_by_role("checkbox", name="surprised").check()
        page.get_by_role("button", name="Submit").click()
        annotation = _annotation(label_studio, stall)
    (choice,) = [region["value"]["choices"] for region in annotation["result"] if region["type"] == "choices"]
    assert choice == ["surprised"]
    kinds = [region["type"] for region in annotation["result"]]
    assert sorted(set(kinds)) == ["choices", "keypointlabels", "rectanglelabels"]
    assert kinds.count("keypointlabels") == 68


def test_pages_of_another_origin_cannot_show_the_image(
    page: Page, label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    with _stall(label_studio, tmp_path, origins=["http://elsewhere.example"]) as stall:
        _sign_in(page, label_studio)
        page.goto(f"{label_studio.url}/projects/{stall.project_id}/data?task={stall.task_id}")
        expect(page.get_by_text("issue loading URL")).to_be_visible(timeout=120_000)
