"""What programs are told of the admin's values, as JSON objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend.custody.records import AuditEvent, RecoveryRequest, Withdrawal
from backend.ledger.records import Photo, Project

Json = dict[str, Any]


def project(one: Project) -> Json:
    return {"project_id": one.project_id, "title": one.title, "labelstudio_id": one.labelstudio_id}


def photo(one: Photo) -> Json:
    """A photo as it was published; neither who is on it nor where its image lies."""
    return {
        "photo_id": one.photo_id,
        "project_id": one.project_id,
        "labelstudio_task_id": one.labelstudio_task_id,
        "width_px": one.width_px,
        "height_px": one.height_px,
        "faces": [{"index": face.index, "box": list(face.box), "outcome": face.outcome} for face in one.faces],
    }


def request(one: RecoveryRequest) -> Json:
    return {
        "request_id": one.request_id,
        "kind": one.kind.value,
        "state": one.state.value,
        "project_id": one.project_id,
        "photo_id": one.photo_id,
        "faces": list(one.face_indices),
        "subject_id": one.subject_id,
        "reason": one.reason,
        "reference": one.reference,
        "labelstudio_task_id": one.labelstudio_task_id,
        "requested_by": one.requested_by,
        "approvals_needed": one.approvals_needed,
        "approved_by": list(one.approved_by),
        "created_at": one.created_at.isoformat(),
        "expires_at": one.expires_at.isoformat(),
        "decided_at": _moment(one.decided_at),
        "retrieved_at": _moment(one.retrieved_at),
    }


def withdrawal(one: Withdrawal) -> Json:
    return {
        "withdrawal_id": one.withdrawal_id,
        "state": one.state.value,
        "project_id": one.project_id,
        "subject_id": one.subject_id,
        "pseudonym": one.pseudonym,
        "requested_by": one.requested_by,
        "created_at": one.created_at.isoformat(),
        "due_at": one.due_at.isoformat(),
        "ended_at": _moment(one.ended_at),
    }


def event(one: AuditEvent) -> Json:
    return {
        "seq": one.seq,
        "at": one.at.isoformat(),
        "actor": one.actor,
        "action": one.action,
        "target": one.target,
        "detail": dict(one.detail),
        "previous_hash": one.previous_hash,
        "hash": one.hash,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
