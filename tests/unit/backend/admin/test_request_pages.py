"""The pages of requests, from a pasted address to the note in Label Studio, by forms alone."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import admin_office
import label_studio_double
import numpy as np
import pytest
from admin_office import APPROVES, ASKS, READS, Restricted
from flask.testing import FlaskClient
from label_studio_double import Double
from recovery_site import picture
from sqlalchemy import update
from workshop import Databases

from backend.custody.records import RecoveryRequest, RequestState
from backend.labelstudio.labels import expression_config
from backend.ledger.database import writing
from backend.ledger.records import Photo
from backend.ledger.tables import PhotoRow
from g2face_model import images

ORIGINAL = picture(60, 80)


@pytest.fixture
def double() -> Iterator[Double]:
    with label_studio_double.running(expression_config()) as running:
        yield running


@pytest.fixture
def restricted(tmp_path: Path, double: Double, databases: Databases) -> Iterator[Restricted]:
    with admin_office.opened(
        tmp_path / "data", databases=databases, labelstudio_url=double.url, token=label_studio_double.TOKEN
    ) as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted, double: Double) -> Photo:
    task_id = double.add_task(7, {"image": "https://images.example/x", "privacy_key": "k"})
    double.tasks[task_id]["meta"] = {"privacy": {"model_version": "stand-in-1"}}
    fearful = {"id": "face1", "type": "choices", "from_name": "expression", "value": {"choices": ["fearful"]}}
    lost = {"id": "x", "type": "choices", "from_name": "image_ok", "value": {"choices": ["expression_lost"]}}
    double.annotations[task_id] = [{"id": 88, "completed_by": 3, "result": [fearful, lost]}]
    return restricted.photo(restricted.project(), ORIGINAL, task_id=task_id, subject_id="P-017")


def ask(client: FlaskClient, photo: Photo, *faces: int, reason: str = "It is disputed.") -> str:
    """A request made by the form; the path of its page."""
    data = {"photo_id": photo.photo_id, "face": [str(face) for face in faces], "reason": reason, "reference": "D-17"}
    answer = client.post("/requests/new", data=data)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["Location"])


def pictures_in(page: str) -> list[bytes]:
    return [base64.b64decode(coded) for coded in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]


def only(restricted: Restricted) -> RecoveryRequest:
    (one,) = restricted.office.requests(restricted.actor(READS), now=restricted.clock())
    return one


def test_a_pasted_address_shows_the_photo_with_numbered_faces_and_their_labels(
    restricted: Restricted, photo: Photo
) -> None:
    client = restricted.signed_in(ASKS)
    page = client.get(
        "/requests/new", query_string={"task": f"http://ls/projects/7/data?task={photo.labelstudio_task_id}"}
    )
    assert page.status_code == 200
    assert page.text.count('<input type="checkbox" name="face"') == 2
    assert re.findall(r"<text [^>]*>(\d)</text>", page.text) == ["1", "2"]
    assert "fearful" in page.text
    image = client.get(f"/photos/{photo.photo_id}/image")
    assert (image.status_code, image.mimetype) == (200, "image/png")
    assert image.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("task", ["999", "http://ls/projects/8/data?task=1", "what", "http://[bad", "0" * 40])
def test_a_task_that_is_not_ours_is_not_found(
    restricted: Restricted,
    photo: Photo,  # noqa: ARG001
    task: str,
) -> None:
    answer = restricted.signed_in(ASKS).get("/requests/new", query_string={"task": task})
    assert answer.status_code == 404
    assert 'role="alert"' in answer.text


def test_what_was_typed_is_still_there_after_a_mistake(restricted: Restricted, photo: Photo) -> None:
    client = restricted.signed_in(ASKS)
    typed = {"photo_id": photo.photo_id, "reason": "<b>why</b>", "reference": "D-17"}
    for faces in ([], ["7"], ["x"], ["-1"]):
        answer = client.post("/requests/new", data=typed | {"face": faces})
        assert answer.status_code == 400
        assert "Choose at least one" in answer.text
    assert "&lt;b&gt;why&lt;/b&gt;</textarea>" in answer.text
    assert client.post("/requests/new", data=typed | {"face": ["0"], "reason": " "}).status_code == 400


def test_the_way_of_a_dispute(restricted: Restricted, photo: Photo, double: Double) -> None:
    requester, approver = restricted.signed_in(ASKS), restricted.signed_in(APPROVES)
    path = ask(requester, photo, 1)
    page = requester.get(path).text
    assert "Waits for approval" in page
    assert "fearful" in page
    assert "expression_lost" in page
    assert "/approve" not in page
    assert "/approve" in approver.get(path).text

    assert approver.post(f"{path}/approve").status_code == 302
    shown = requester.post(f"{path}/retrieve", data={"as": "page"})
    assert shown.status_code == 200
    assert shown.headers["Cache-Control"] == "no-store"
    assert "img-src 'self' data:;" in shown.headers["Content-Security-Policy"]
    anonymized, original, whole = (images.decode(png) for png in pictures_in(shown.text))
    assert anonymized.shape == original.shape
    assert np.array_equal(whole[:, 40:], ORIGINAL[:, 40:])
    assert not np.array_equal(whole[:, :40], ORIGINAL[:, :40])
    assert "fearful" in shown.text
    assert shown.text.count("expression_lost") == 1

    # Once: afterwards there is nothing to see, whoever asks.
    assert requester.post(f"{path}/retrieve", data={"as": "page"}).status_code == 409
    assert requester.get(f"{path}/retrieve").headers["Location"] == path
    assert pictures_in(requester.get(path).text) == []

    task_id = photo.labelstudio_task_id or 0
    data = dict(double.tasks[task_id]["data"])
    assert requester.post(f"{path}/decision", data={"decision": "label_changes"}).status_code == 302
    request_id = path.rsplit("/", 1)[1]
    assert double.tasks[task_id]["data"] == data
    assert double.tasks[task_id]["meta"] == {
        "privacy": {"model_version": "stand-in-1"},
        "disputes": {
            request_id: {"decision": "label_changes", "faces": [2], "at": restricted.clock().isoformat()},
        },
    }
    page = requester.get(path).text
    assert re.search(r'value="label_changes" required checked', page)
    assert [action for _, action in restricted.log(request_id)] == [
        "request.opened",
        "request.approved",
        "request.retrieving",
        "request.retrieved",
        "request.retrieve_refused",
        "dispute.decided",
        "dispute.noted",
    ]


def test_another_decision_replaces_the_first(restricted: Restricted, photo: Photo, double: Double) -> None:
    requester = restricted.signed_in(ASKS)
    path = ask(requester, photo, 0)
    restricted.signed_in(APPROVES).post(f"{path}/approve")
    requester.post(f"{path}/retrieve", data={"as": "file"})
    for decision in ("undecided", "label_stands"):
        requester.post(f"{path}/decision", data={"decision": decision})
    (note,) = double.tasks[photo.labelstudio_task_id or 0]["meta"]["disputes"].values()
    assert note["decision"] == "label_stands"
    assert requester.post(f"{path}/decision", data={"decision": "something else"}).status_code == 400


def test_a_download_instead_is_the_photo_alone(restricted: Restricted, photo: Photo) -> None:
    requester = restricted.signed_in(ASKS)
    path = ask(requester, photo, 0, 1)
    restricted.signed_in(APPROVES).post(f"{path}/approve")
    answer = requester.post(f"{path}/retrieve", data={"as": "file"})
    assert answer.mimetype == "image/png"
    assert re.fullmatch(r'attachment; filename="[0-9a-f]{8}-[0-9a-f]{8}\.png"', answer.headers["Content-Disposition"])
    assert np.array_equal(images.decode(answer.data), ORIGINAL)


def test_a_subject_s_copy_holds_their_own_face_in_every_photo(restricted: Restricted, photo: Photo) -> None:
    project = restricted.office.ledger.project(photo.project_id)
    second = picture(60, 80, seed=5)
    restricted.photo(project, second, task_id=901, subject_id="P-017")
    restricted.photo(project, picture(60, 80, seed=6), task_id=902, subject_id="P-018")
    requester = restricted.signed_in(ASKS)
    asked = {"project_id": photo.project_id, "subject_id": "P-017", "reason": "They wrote.", "reference": ""}
    path = requester.post("/requests/access", data=asked).headers["Location"]
    approver = restricted.signed_in(APPROVES)
    assert "P-017" in approver.get(path).text
    approver.post(f"{path}/approve")
    answer = requester.post(f"{path}/retrieve", data={"as": "file"})
    assert answer.mimetype == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        told, *names = archive.namelist()
        assert json.loads(archive.read(told))["left_out"] == []
        restored = [images.decode(archive.read(name)) for name in names]
        assert all(re.fullmatch(r"[0-9a-f]{32}\.png", name) for name in names)
    originals = (ORIGINAL, second)
    assert len(restored) == 2
    for one in restored:
        assert any(np.array_equal(one[:, :40], original[:, :40]) for original in originals)
        assert not any(np.array_equal(one[:, 40:], original[:, 40:]) for original in originals)


def test_what_a_copy_is_without_is_told_in_it_and_on_the_page(restricted: Restricted, photo: Photo) -> None:
    project = restricted.office.ledger.project(photo.project_id)
    gone = restricted.photo(project, picture(60, 80, seed=5), task_id=901, subject_id="P-017")
    with writing(restricted.office.ledger.engine) as connection:
        no_image = update(PhotoRow).where(PhotoRow.photo_id == gone.photo_id).values(image_sha256=None, image_key=None)
        connection.execute(no_image)
    requester = restricted.signed_in(ASKS)
    asked = {"project_id": photo.project_id, "subject_id": "P-017", "reason": "They wrote.", "reference": ""}
    path = requester.post("/requests/access", data=asked).headers["Location"]
    restricted.signed_in(APPROVES).post(f"{path}/approve")
    assert "left out" not in requester.get(path).text.replace("had to be left out", "")
    answer = requester.post(f"{path}/retrieve", data={"as": "page"})  # as a page it would have to be held whole
    assert (answer.mimetype, answer.headers["X-Left-Out"]) == ("application/zip", "1")
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        told = json.loads(archive.read("contents.json"))
    assert (told["photos"], told["left_out"]) == (1, [{"photo_id": gone.photo_id, "reason": "not_published"}])
    page = requester.get(path).text
    assert "The copy held 1 photo." in page
    assert "1 photo was left out; the file says which." in page
    assert "Not published any more: 1." in page
    assert "Past their time" not in page


def test_an_auditor_is_not_shown_whose_photos_an_access_is_about(restricted: Restricted, photo: Photo) -> None:
    requester = restricted.signed_in(ASKS)
    asked = {"project_id": photo.project_id, "subject_id": "P-017", "reason": "They wrote.", "reference": ""}
    path = requester.post("/requests/access", data=asked).headers["Location"]
    people = {ASKS: requester} | {email: restricted.signed_in(email) for email in (APPROVES, READS)}
    shown = {email: client.get(path).text for email, client in people.items()}
    assert [email for email, page in shown.items() if "P-017" in page] == [ASKS, APPROVES]
    assert "the audit log has a keyed hash" in shown[READS]
    assert not any("was shredded" in page for page in shown.values())
    assert "P-017" not in people[READS].get("/requests").text


@pytest.mark.parametrize(
    "path", ["/requests?project=%00", "/requests?before=%00", "/requests/%00", "/photos/%00/image"]
)
def test_an_address_that_no_database_can_hold_is_refused(restricted: Restricted, path: str) -> None:
    answer = restricted.signed_in(APPROVES).get(path)
    assert (answer.status_code, "This request cannot be read." in answer.text) == (400, True)


def test_an_unknown_subject_has_no_copy(restricted: Restricted, photo: Photo) -> None:
    asked = {"project_id": photo.project_id, "subject_id": "P-999", "reason": "They wrote."}
    answer = restricted.signed_in(ASKS).post("/requests/access", data=asked)
    assert answer.status_code == 409
    assert "No original of this subject is kept" in answer.text


def test_nobody_approves_their_own_request_and_the_try_is_logged(restricted: Restricted, photo: Photo) -> None:
    client = restricted.signed_in("both@example.org", roles=["requester", "approver"])
    path = ask(client, photo, 0)
    assert "/approve" not in client.get(path).text
    answer = client.post(f"{path}/approve")
    assert answer.status_code == 403
    assert only(restricted).state is RequestState.OPEN
    assert restricted.log(path.rsplit("/", 1)[1])[-1][1] == "request.approve_refused"


def test_a_request_is_refused_or_taken_back(restricted: Restricted, photo: Photo) -> None:
    requester, approver = restricted.signed_in(ASKS), restricted.signed_in(APPROVES)
    first, second = ask(requester, photo, 0), ask(requester, photo, 1)
    assert approver.post(f"{first}/refuse").status_code == 302
    assert requester.post(f"{second}/cancel").status_code == 302
    assert "Refused" in requester.get(first).text
    assert "Cancelled" in requester.get(second).text
    assert requester.post(f"{first}/retrieve").status_code == 409


def test_the_list_is_filtered_and_paged(restricted: Restricted, photo: Photo) -> None:
    requester, approver = restricted.signed_in(ASKS), restricted.signed_in(APPROVES)
    paths = []
    for _ in range(52):
        paths.append(ask(requester, photo, 0))
        restricted.clock.forward(seconds=1)  # type: ignore[attr-defined]
    approver.post(f"{paths[0]}/refuse")
    page = approver.get("/requests").text
    assert page.count('href="/requests/') - page.count("/requests/new") - page.count("/requests/access") == 50
    older = re.search(r'href="(/requests\?[^"]*before=[^"]*)"', page)
    assert older is not None
    assert paths[0] in approver.get(older[1].replace("&amp;", "&")).text
    refused = approver.get("/requests?state=refused").text
    assert paths[0] in refused
    assert paths[1] not in refused
    assert paths[0] not in approver.get(f"/requests?project={'f' * 32}").text
    assert approver.get("/requests?state=nonsense&before=nonsense&project=").status_code == 200


def test_a_request_can_be_judged_while_label_studio_is_away(
    restricted: Restricted, photo: Photo, double: Double
) -> None:
    requester, approver = restricted.signed_in(ASKS), restricted.signed_in(APPROVES)
    path = ask(requester, photo, 1)
    double.stop()
    page = approver.get(path)
    assert page.status_code == 200
    assert "Label Studio could not be reached" in page.text
    approver.post(f"{path}/approve")
    assert requester.post(f"{path}/retrieve", data={"as": "page"}).status_code == 200
    assert requester.post(f"{path}/decision", data={"decision": "label_stands"}).status_code == 502
    assert restricted.log(path.rsplit("/", 1)[1])[-1][1] == "dispute.decided"
