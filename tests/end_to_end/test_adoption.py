"""A project that Label Studio already holds with its originals is taken over; what stays behind is said."""

from __future__ import annotations

import pytest
from telltale_photos import Traces, portrait
from whole_site import Site, fetched

from backend.labelstudio.labels import expression_config
from worker.demo.intake import Json
from worker.demo.photos import Original

PHOTOS = 20


def _uploads() -> list[Original]:
    return [portrait(number, side_px=144, whose="Ulla Uploaded") for number in range(PHOTOS)]


@pytest.fixture(scope="module")
def labelstudio_id(site: Site) -> int:
    """A project of a vendor, twenty photographs uploaded in the browser's way."""
    made = site.client.create_project("Uploaded long ago", expression_config())
    files = [(one.name, (one.name, one.data, "image/jpeg")) for one in _uploads()]
    path = f"/api/projects/{made['id']}/import"
    assert site.label_studio.api("POST", path, files=files).status_code == 201
    return int(made["id"])


@pytest.fixture(scope="module")
def project(site: Site, labelstudio_id: int) -> Json:
    """The same, connected and taken over."""
    before = list(site.client.tasks(labelstudio_id))
    assert len(before) == PHOTOS
    made = site.intake.connect_project(labelstudio_id, adopts=True)
    progress = site.finish(made["project_id"], photos=PHOTOS)
    assert (progress["published"], progress["failed"]) == (PHOTOS, 0)
    return made


@pytest.mark.usefixtures("project")
def test_every_task_shows_our_image_and_has_a_prediction(site: Site, labelstudio_id: int) -> None:
    traces = Traces(_uploads())
    tasks = list(site.client.tasks(labelstudio_id))
    assert len(tasks) == PHOTOS
    for task in tasks:
        assert task["data"]["image"].startswith(f"{site.plugin_url}/images/")
        assert traces.in_bytes(repr(task["data"]).encode()) == []
        (prediction,) = task["predictions"]
        assert len(prediction["result"]) == 69
        answer = fetched(task["data"]["image"], origin=site.label_studio.url)
        assert answer.status_code == 200
        assert not traces.is_original(answer.content)


def test_the_leak_check_says_what_stays_behind_and_how_to_remove_it(
    site: Site, project: Json, labelstudio_id: int
) -> None:
    left = {found["kind"]: found for found in site.intake.leak_check(project["project_id"])["findings"]}
    assert {kind: found["count"] for kind, found in left.items()} == {"upload": PHOTOS, "uploaded_file": PHOTOS}
    uploads = site.client.file_uploads(labelstudio_id)
    # True, and why it is said: the file is still served to everybody who may sign in.
    annotator = site.label_studio.add_annotator("annotator@elsewhere.example")
    still_there = site.label_studio.api("GET", f"/data/{uploads[0]['file']}", token=annotator)
    assert (still_there.status_code, still_there.content[:2]) == (200, b"\xff\xd8")
    for found in left.values():
        assert "elete" in found["remedy"]


def test_a_task_imported_later_is_taken_over_too(site: Site, project: Json, labelstudio_id: int) -> None:
    late = portrait(PHOTOS, side_px=144, whose="Ulla Uploaded")
    upload = {"file": (late.name, late.data, "image/jpeg")}
    assert site.label_studio.api("POST", f"/api/projects/{labelstudio_id}/import", files=upload).status_code == 201
    progress = site.finish(project["project_id"], photos=PHOTOS + 1)
    assert (progress["published"], progress["failed"]) == (PHOTOS + 1, 0)
    newest = list(site.client.tasks(labelstudio_id))[-1]
    assert newest["data"]["image"].startswith(f"{site.plugin_url}/images/")
