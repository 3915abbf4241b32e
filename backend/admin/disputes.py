"""Disputes over labels: what annotators answered, and the note in Label Studio that says how a dispute ended.

A note holds a request's id, the faces' numbers and a decision out of three. Nothing of an original, no name and no free
text goes there, since everybody sees a task's meta who may open the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from backend.custody.records import RecoveryRequest
from backend.errors import ConfigError, OfficeError
from backend.labelstudio.annotations import Label, labels
from backend.labelstudio.client import LabelStudio
from backend.ledger.records import Photo

META_KEY = "disputes"  # in a task's meta: by request id, how each ended


class Decision(StrEnum):
    """How a dispute ended."""

    STANDS = "label_stands"
    CHANGES = "label_changes"
    UNDECIDED = "undecided"


def answers(labelstudio: LabelStudio | None, photo: Photo) -> tuple[Label, ...]:
    """What annotators answered about a photo. Raises `LabelStudioError`, `ConfigError` when no Label Studio is set."""
    if photo.labelstudio_task_id is None:
        return ()
    return labels(_client(labelstudio).annotations(photo.labelstudio_task_id), photo)


def write(
    labelstudio: LabelStudio | None,
    request: RecoveryRequest,
    decision: Decision,
    *,
    labelstudio_project_id: int,
    now: datetime,
) -> None:
    """Add a decision to the task's meta, beside what is there; a second time it replaces the first.

    Raises `LabelStudioError`, `ConfigError`, and `OfficeError` when the task is gone.
    """
    client, task_id = _client(labelstudio), request.labelstudio_task_id
    task = None if task_id is None else client.task(labelstudio_project_id, task_id)
    if task is None or task_id is None:
        raise OfficeError("the task is not in Label Studio any more, so the decision cannot be noted there")
    client.note(task_id, _with(task.get("meta"), request, decision, now=now))


def read(labelstudio: LabelStudio | None, request: RecoveryRequest, *, labelstudio_project_id: int) -> Decision | None:
    """The decision in the task's meta, None when there is none. Raises `LabelStudioError`, `ConfigError`."""
    if request.labelstudio_task_id is None:
        return None
    task = _client(labelstudio).task(labelstudio_project_id, request.labelstudio_task_id)
    note = _notes((task or {}).get("meta")).get(request.request_id)
    said = note.get("decision") if isinstance(note, Mapping) else None
    return Decision(said) if said in list(Decision) else None


def _with(meta: object, request: RecoveryRequest, decision: Decision, *, now: datetime) -> dict[str, Any]:
    numbers = [index + 1 for index in request.face_indices]
    note = {"decision": decision.value, "faces": numbers, "at": now.isoformat(timespec="seconds")}
    notes = {**_notes(meta), request.request_id: note}
    return {**(dict(meta) if isinstance(meta, Mapping) else {}), META_KEY: notes}


def _notes(meta: object) -> dict[str, Any]:
    notes = meta.get(META_KEY) if isinstance(meta, Mapping) else None
    return dict(notes) if isinstance(notes, Mapping) else {}


def _client(labelstudio: LabelStudio | None) -> LabelStudio:
    if labelstudio is None:
        raise ConfigError("Label Studio is not set up: G2FACE_LABELSTUDIO__URL and G2FACE_LABELSTUDIO__API_KEY")
    return labelstudio
