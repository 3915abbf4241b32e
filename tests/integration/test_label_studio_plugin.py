"""The plugin as a real Label Studio's ML backend: its own process, found by address, asked as Label Studio asks."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from label_studio_server import LabelStudioServer
from ready_photos import ready, waiting

from backend.errors import LabelStudioRefusedError
from backend.labelstudio import labels
from backend.labelstudio.client import LabelStudio
from backend.labelstudio.leaks import leak_check
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, PhotoState
from backend.plugin.links import Links
from backend.storage import BlobStore

CONFIG = labels.expression_config()
SECRET = "s3cret-part-of-the-path"
LINK_KEY = "k" * 32
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
VERSION = "g2face-1"


@dataclass(frozen=True, slots=True)
class RunningPlugin:
    """A plugin's process, and what it reads."""

    url: str
    ledger: Ledger
    blobs: BlobStore
    links: Links
    log: Path

    @property
    def backend_url(self) -> str:
        return f"{self.url}/{SECRET}"

    def address(self, photo: Photo) -> str:
        assert photo.image_key is not None
        return self.links.address(photo.image_key, datetime.now(UTC))


@pytest.fixture(scope="module")
def plugin(
    label_studio: LabelStudioServer, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPlugin]:
    folder = tmp_path_factory.mktemp("plugin")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://localhost:{port}", folder / "plugin.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("G2FACE_")},
        "G2FACE_DATA_DIR": str(folder / "data"),
        "G2FACE_REDIS_URL": redis_server,
        "G2FACE_LABELSTUDIO__URL": label_studio.url,
        "G2FACE_PLUGIN__PORT": str(port),
        "G2FACE_PLUGIN__PUBLIC_URL": url,
        "G2FACE_PLUGIN__PATH_SECRET": SECRET,
        "G2FACE_PLUGIN__LINK_KEY": LINK_KEY,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend.plugin"], env=environment, stdout=output, stderr=output
        )
    try:
        _await(lambda: requests.get(f"{url}/health", timeout=1).ok, process)
        ledger = Ledger.open(f"sqlite:///{folder}/data/ledger.sqlite3")
        blobs = BlobStore((folder / "data" / "blobs").as_uri())
        yield RunningPlugin(url, ledger, blobs, Links(url, LINK_KEY.encode()), log)
        ledger.close()
    finally:
        process.terminate()
        process.wait(timeout=20)


def _await(done: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process is None or process.poll() is None, "the plugin ended"
        with contextlib.suppress(requests.RequestException):
            if done():
                return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


@pytest.fixture
def client(label_studio: LabelStudioServer) -> LabelStudio:
    return LabelStudio(label_studio.url, label_studio.token)


@pytest.fixture
def project_id(client: LabelStudio) -> int:
    return int(client.create_project(f"Faces {uuid.uuid4().hex[:8]}", CONFIG)["id"])


def _open(server: LabelStudioServer, task_id: int) -> dict[str, Any]:
    """An annotator opens the task, which makes Label Studio ask the ML backend if there is no prediction."""
    answer = server.api("GET", f"/api/tasks/{task_id}")
    assert answer.status_code == 200
    task: dict[str, Any] = answer.json()
    return task


def _retrieve(server: LabelStudioServer, project_id: int) -> None:
    """ "Retrieve predictions" in the Data Manager, for all tasks."""
    path = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project_id}"
    body = {"selectedItems": {"all": True, "excluded": []}}
    assert server.api("POST", path, json=body).status_code == 200


def _versions(client: LabelStudio, task_id: int, project_id: int) -> list[str]:
    task = client.task(project_id, task_id)
    assert task is not None
    return [prediction["model_version"] for prediction in task["predictions"]]


def test_label_studio_connects_and_knows_our_version(
    plugin: RunningPlugin, label_studio: LabelStudioServer, client: LabelStudio, project_id: int
) -> None:
    made = client.create_ml_backend(project_id, plugin.backend_url, title="Anonymizer")
    (listed,) = client.ml_backends(project_id)
    assert (listed["state"], listed["error_message"]) == ("CO", None)
    assert listed["model_version"] == VERSION
    versions = label_studio.api("GET", f"/api/ml/{made['id']}/versions")
    assert (versions.status_code, versions.json()["versions"]) == (200, [VERSION])


def test_without_the_secret_in_the_path_it_does_not_connect(
    plugin: RunningPlugin, client: LabelStudio, project_id: int
) -> None:
    with pytest.raises(LabelStudioRefusedError):
        client.create_ml_backend(project_id, f"{plugin.url}/wrong", title="Anonymizer")
    assert client.ml_backends(project_id) == []


def test_a_pending_task_is_asked_for_again_until_its_prediction_is_there_once(
    plugin: RunningPlugin, label_studio: LabelStudioServer, client: LabelStudio, project_id: int
) -> None:
    project = plugin.ledger.add_project("Faces", project_id, now=datetime.now(UTC))
    done = ready(plugin.ledger, project, image=PNG, blobs=plugin.blobs, number=project_id * 10)
    later = waiting(plugin.ledger, project, number=project_id * 10 + 1)
    key = f"{project_id * 10 + 1:043}"
    items = [
        {"data": {"image": address}} for address in (plugin.address(done), plugin.links.address(key, done.created_at))
    ]
    client.create_ml_backend(project_id, plugin.backend_url, title="Anonymizer")
    first, second = client.import_tasks(project_id, items)

    (prediction,) = _open(label_studio, first)["predictions"]
    assert (prediction["model_version"], len(prediction["result"])) == (VERSION, 69)
    assert _open(label_studio, second)["predictions"] == []
    _retrieve(label_studio, project_id)
    _retrieve(label_studio, project_id)
    assert _versions(client, first, project_id) == [VERSION]
    assert _versions(client, second, project_id) == []

    finished = _finish(plugin, later, key)
    assert finished.state is PhotoState.READY
    assert len(_open(label_studio, second)["predictions"]) == 1
    _retrieve(label_studio, project_id)
    assert _versions(client, second, project_id) == [VERSION]


def _finish(plugin: RunningPlugin, photo: Photo, image_key: str) -> Photo:
    plugin.ledger.claim(photo.photo_id, revision=photo.policy_revision, now=photo.created_at, lease_s=60.0)
    plugin.ledger.ready(
        photo.photo_id,
        image_key=image_key,
        image_sha256=plugin.blobs.put(PNG),
        image_format="png",
        width_px=100,
        height_px=100,
        faces=[],
        model_version=VERSION,
        now=photo.created_at,
    )
    return plugin.ledger.photo(photo.photo_id)


def test_the_label_stream_shows_it_too(
    plugin: RunningPlugin, label_studio: LabelStudioServer, client: LabelStudio, project_id: int
) -> None:
    project = plugin.ledger.add_project("Faces", project_id, now=datetime.now(UTC))
    done = ready(plugin.ledger, project, image=PNG, blobs=plugin.blobs, number=project_id * 10)
    client.create_ml_backend(project_id, plugin.backend_url, title="Anonymizer")
    client.import_tasks(project_id, [{"data": {"image": plugin.address(done)}}])
    for _ in range(2):
        shown = label_studio.api("GET", f"/api/projects/{project_id}/next").json()
        assert [prediction["model_version"] for prediction in shown["predictions"]] == [VERSION]


def test_the_annotators_browser_may_load_the_image(plugin: RunningPlugin, label_studio: LabelStudioServer) -> None:
    project = plugin.ledger.add_project("Faces", 1_000_000, now=datetime.now(UTC))
    done = ready(plugin.ledger, project, image=PNG, blobs=plugin.blobs, number=10_000_000)
    answer = requests.get(plugin.address(done), headers={"Origin": label_studio.url}, timeout=10)
    assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["Access-Control-Allow-Origin"] == label_studio.url
    assert "Server" not in answer.headers


def test_a_task_that_label_studio_holds_is_adopted_on_the_hint(
    plugin: RunningPlugin, label_studio: LabelStudioServer, client: LabelStudio, project_id: int
) -> None:
    project = plugin.ledger.add_project("Faces", project_id, now=datetime.now(UTC), adopts=True)
    client.create_ml_backend(project_id, plugin.backend_url, title="Anonymizer")
    upload = {"file": ("anna.png", PNG, "image/png")}
    assert label_studio.api("POST", f"/api/projects/{project_id}/import", files=upload).status_code == 201
    (task,) = client.tasks(project_id)
    _await(lambda: task["id"] in plugin.ledger.photos_of_tasks(project_id, [task["id"]]))
    photo = plugin.ledger.photos_of_tasks(project_id, [task["id"]])[task["id"]]
    assert (photo.project_id, photo.state, photo.origin) == (project.project_id, PhotoState.WAITING, "adoption")
    assert _open(label_studio, task["id"])["predictions"] == []
    assert client.download(photo.source_address or "", task_id=task["id"]) == PNG


def test_the_webhook_that_a_deleted_backend_leaves_is_found_and_removed(
    plugin: RunningPlugin, client: LabelStudio, project_id: int
) -> None:
    made = client.create_ml_backend(project_id, plugin.backend_url, title="Anonymizer")
    assert leak_check(client, project_id, own_host=plugin.links.host).clean
    client.delete_ml_backend(made["id"])
    (finding,) = leak_check(client, project_id, own_host=plugin.links.host).findings
    assert (finding.kind, finding.count) == ("webhook", 1)
    for webhook in client.webhooks(project_id):
        client.delete_webhook(webhook["id"])
    assert leak_check(client, project_id, own_host=plugin.links.host).clean


def test_an_annotator_opens_a_task_while_the_plugin_is_down(
    label_studio: LabelStudioServer, client: LabelStudio, project_id: int
) -> None:
    (task_id,) = client.import_tasks(
        project_id,
        [
            {
                "data": {"image": "http://i.example/x"},
                "predictions": [{"model_version": VERSION, "score": 1, "result": []}],
            }
        ],
    )
    client.update_project(project_id, model_version=VERSION)
    assert len(_open(label_studio, task_id)["predictions"]) == 1
    assert len(label_studio.api("GET", f"/api/projects/{project_id}/next").json()["predictions"]) == 1


def test_nothing_that_label_studio_sent_is_in_the_log(plugin: RunningPlugin, label_studio: LabelStudioServer) -> None:
    """Last on purpose: everything above has been logged by now."""
    told = plugin.log.read_text()
    for secret in (label_studio.token, SECRET, LINK_KEY, "anna", "upload/"):
        assert secret not in told
    assert "Traceback" not in told
