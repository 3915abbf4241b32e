"""The note of how a dispute ended stands beside whatever else a task's meta holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import label_studio_double
import pytest
import ready_photos
from label_studio_double import Double
from ready_photos import NOW

from backend.admin import disputes
from backend.admin.disputes import Decision
from backend.custody.records import RecoveryRequest, RequestKind, RequestState
from backend.errors import ConfigError, LabelStudioError, OfficeError
from backend.labelstudio.client import LabelStudio
from backend.labelstudio.labels import expression_config


@pytest.fixture
def double() -> Iterator[Double]:
    with label_studio_double.running(expression_config()) as running:
        yield running


@pytest.fixture
def client(double: Double) -> LabelStudio:
    return LabelStudio(double.url, label_studio_double.TOKEN)


def request(task_id: int | None, *, request_id: str = "c" * 32) -> RecoveryRequest:
    return RecoveryRequest(
        request_id=request_id,
        kind=RequestKind.RECOVERY,
        project_id="a" * 32,
        photo_id="b" * 32,
        face_indices=(0, 2),
        subject_id=None,
        requested_by="1" * 32,
        reason="their words",
        reference="D-17",
        labelstudio_task_id=task_id,
        approvals_needed=1,
        approved_by=("2" * 32,),
        state=RequestState.RETRIEVED,
        created_at=NOW,
        expires_at=NOW,
    )


@pytest.mark.parametrize("meta", [None, {}, {"privacy": {"model_version": "1"}}, {"disputes": "nonsense"}, "nonsense"])
def test_a_note_is_added_to_what_is_there(double: Double, client: LabelStudio, meta: Any) -> None:
    task_id = double.add_task(7, {"image": "x"})
    double.tasks[task_id]["meta"] = meta
    asked = request(task_id)
    assert disputes.read(client, asked, labelstudio_project_id=7) is None
    disputes.write(client, asked, Decision.STANDS, labelstudio_project_id=7, now=NOW)
    other = request(task_id, request_id="d" * 32)
    disputes.write(client, other, Decision.UNDECIDED, labelstudio_project_id=7, now=NOW)
    written = dict(double.tasks[task_id]["meta"])
    assert written.pop("disputes") == {
        "c" * 32: {"decision": "label_stands", "faces": [1, 3], "at": "2026-03-01T12:00:00+00:00"},
        "d" * 32: {"decision": "undecided", "faces": [1, 3], "at": "2026-03-01T12:00:00+00:00"},
    }
    assert written == ({"privacy": {"model_version": "1"}} if meta == {"privacy": {"model_version": "1"}} else {})
    assert double.tasks[task_id]["data"] == {"image": "x"}
    assert disputes.read(client, asked, labelstudio_project_id=7) is Decision.STANDS


def test_a_task_that_is_gone_is_said(client: LabelStudio) -> None:
    for task_id in (999, None):
        with pytest.raises(OfficeError, match="not in Label Studio any more"):
            disputes.write(client, request(task_id), Decision.STANDS, labelstudio_project_id=7, now=NOW)
        assert disputes.read(client, request(task_id), labelstudio_project_id=7) is None


def test_a_decision_that_somebody_else_wrote_into_the_meta_is_none(double: Double, client: LabelStudio) -> None:
    task_id = double.add_task(7, {"image": "x"})
    for note in ({"decision": "<script>"}, "text", {"decision": ["label_stands"]}, None):
        double.tasks[task_id]["meta"] = {"disputes": {"c" * 32: note}}
        assert disputes.read(client, request(task_id), labelstudio_project_id=7) is None


def test_answers_are_asked_for_only_of_a_task(double: Double, client: LabelStudio) -> None:
    photo = ready_photos.photo(labelstudio_task_id=7)
    choice = {"id": "face0", "type": "choices", "from_name": "expression", "value": {"choices": ["happy"]}}
    double.annotations[7] = [{"id": 1, "completed_by": 2, "result": [choice]}]
    assert [label.value for label in disputes.answers(client, photo)] == ["happy"]
    assert disputes.answers(client, dataclasses.replace(photo, labelstudio_task_id=None)) == ()
    with pytest.raises(ConfigError, match="Label Studio is not set up"):
        disputes.answers(None, photo)
    double.turn_away["/api/tasks/7/annotations/"] = 503
    with pytest.raises(LabelStudioError):
        disputes.answers(client, photo)
