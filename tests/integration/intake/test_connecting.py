"""Connecting projects of a real Label Studio, and looking for what leaks there."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pictures
import pytest
from intake_counter import Counter, open_counter
from label_studio_server import LabelStudioServer

from backend.errors import IntakeError
from backend.intake import policies
from backend.labelstudio.client import LabelStudio

FORM = {"recovery": "exact", "pseudonym": "consistent", "strictness": "standard", "output_format": "png"}


@pytest.fixture
def counter(tmp_path: Path, label_studio: LabelStudioServer) -> Iterator[Counter]:
    opened = open_counter(tmp_path, labelstudio=LabelStudio(label_studio.url, label_studio.token))
    opened.account()
    yield opened
    opened.desk.ledger.close()


def made(label_studio: LabelStudioServer, title: str, config: str) -> int:
    answer = label_studio.api("POST", "/api/projects", json={"title": title, "label_config": config})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def test_a_project_is_made_with_our_configuration_and_fits(counter: Counter, label_studio: LabelStudioServer) -> None:
    page = counter.signed_in().post(
        "/projects/new",
        data={**FORM, "labelstudio_id": "new", "title": "Waiting room", "config": "expression"},
        follow_redirects=True,
    )

    assert "<h1>Waiting room</h1>" in page.text
    (project,) = counter.desk.ledger.projects()
    there = label_studio.api("GET", f"/api/projects/{project.labelstudio_id}").json()
    assert there["title"] == "Waiting room"
    candidate = next(one for one in counter.desk.candidates() if one.labelstudio_id == project.labelstudio_id)
    assert (candidate.connected, candidate.problem, candidate.asks_expression) == (True, None, True)


def test_a_project_that_does_not_fit_says_what_it_lacks(counter: Counter, label_studio: LabelStudioServer) -> None:
    config = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="x"/></Choices></View>'
    labelstudio_id = made(label_studio, "Product photos", config)
    client = counter.signed_in()

    assert "Does not fit" in client.get("/projects/new").text
    refused = client.post("/projects/new", data={**FORM, "labelstudio_id": str(labelstudio_id)})

    assert refused.status_code == 400
    assert "lacks &lt;RectangleLabels" in refused.text
    assert counter.desk.ledger.projects() == []


def test_a_project_is_connected_once(counter: Counter) -> None:
    desk, now = counter.desk, counter.clock()
    labelstudio_id = desk.create("Corridor", config="plain", policy={}, now=now).labelstudio_id

    with pytest.raises(IntakeError, match="connected already"):
        desk.connect(labelstudio_id, policy={}, now=now)
    fresh = open_counter(counter.folder / "other", labelstudio=desk.labelstudio)
    project = fresh.desk.connect(labelstudio_id, policy=policies.of_mapping({"recovery": "none"}), now=now)
    assert (project.title, project.policy.recovery) == ("Corridor", "none")


@pytest.mark.parametrize("title", ["", "ab", "x" * 51])
def test_label_studio_s_titles_have_limits(counter: Counter, title: str) -> None:
    with pytest.raises(IntakeError, match="3 to 50 characters"):
        counter.desk.create(title, config="plain", policy={}, now=counter.clock())


def test_an_original_in_a_task_is_found_and_named_with_a_remedy(
    counter: Counter, label_studio: LabelStudioServer
) -> None:
    project = counter.desk.create("Old project", config="plain", policy={}, now=counter.clock())
    client = counter.signed_in()
    path = f"/projects/{project.project_id}/leak-check"
    assert "Nothing found" in client.post(path).text

    upload = {"file": ("face.png", io.BytesIO(pictures.saved(pictures.Pillow.fromarray(pictures.photo()), "PNG")))}
    done = label_studio.api("POST", f"/api/projects/{project.labelstudio_id}/import", files=upload)
    assert done.status_code == 201, done.text
    page = client.post(path).text

    assert "things leak or may leak" in page
    assert "Originals in tasks" in page
    assert "Turn adoption on" in page
    assert "face.png" not in page


def test_label_studio_being_away_is_said_on_the_page(counter: Counter) -> None:
    away = counter.with_desk(labelstudio=LabelStudio("http://127.0.0.1:1", "0" * 40))

    page = away.signed_in().get("/projects/new")

    assert page.status_code == 200
    assert "Label Studio could not be reached to list the projects." in page.text
