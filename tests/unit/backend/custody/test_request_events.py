"""What the log says of requests: enough to know who saw whose face, and nobody's name or words."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from recovery_site import ADA, BO, NOW, PROJECT, RULES, stricter
from sqlalchemy import Engine

from backend.custody import lifecycle, request_events
from backend.custody.audit import AuditLog
from backend.custody.records import RecoveryRequest, RequestKind, RequestState, SubjectRef

REQUEST = RecoveryRequest(
    request_id="e" * 32,
    kind=RequestKind.RECOVERY,
    project_id=PROJECT,
    photo_id="b" * 32,
    face_indices=tuple(range(300)),
    subject_id=None,
    requested_by=ADA,
    reason="Because",
    reference="D-17",
    labelstudio_task_id=5,
    approvals_needed=1,
    approved_by=(),
    state=RequestState.OPEN,
    created_at=NOW,
    expires_at=NOW + timedelta(hours=1),
)
ACCESS = dataclasses.replace(
    REQUEST, kind=RequestKind.ACCESS, photo_id=None, face_indices=(), subject_id="Ada Example", labelstudio_task_id=None
)


def pseudonym(ref: SubjectRef) -> str:
    return f"{len(ref.subject_id):064x}"


def test_a_request_is_told_with_every_face_of_a_crowd() -> None:
    (event,) = request_events.opened(REQUEST, pseudonym)
    assert (event.actor, event.action, event.target) == (ADA, "request.opened", REQUEST.request_id)
    assert sum(name.startswith("face_") for name in event.detail) == 300
    assert event.detail["task_id"] == 5


def test_a_subject_is_told_by_its_keyed_hash() -> None:
    (event,) = request_events.opened(ACCESS, pseudonym)
    assert event.detail == {"kind": "access", "project_id": PROJECT, "approvals_needed": 1, "subject": f"{11:064x}"}


def test_that_nobody_else_was_asked_is_told_apart() -> None:
    alone = lifecycle.opened(REQUEST, rules=stricter(RULES, approvals=0))
    actions = [event.action for event in request_events.opened(alone, pseudonym)]
    assert actions == ["request.opened", "request.approved_without_second_person"]


def test_steps_are_told_apart() -> None:
    two = stricter(RULES, approvals=2)
    once = lifecycle.approve(
        dataclasses.replace(REQUEST, approvals_needed=2, vouched=True), approver=BO, now=NOW, rules=two
    )
    event = request_events.stepped(REQUEST, once, BO)
    assert (event.action, event.detail) == ("request.approved", {"approvals": 1, "enough": False})
    no = lifecycle.refuse(once, approver=BO, now=NOW)
    assert request_events.stepped(once, no, BO).action == "request.refused"
    assert request_events.expired(once).detail == {"was": "open"}


def test_the_log_takes_all_of_them(vault_engine: Engine) -> None:
    events = [
        *request_events.opened(REQUEST, pseudonym),
        *request_events.opened(ACCESS, pseudonym),
        request_events.expired(REQUEST),
        request_events.retrieving(REQUEST.request_id, "b" * 32, [0, 7, None], by=ADA),
        request_events.retrieved(REQUEST.request_id, photos=1, faces=2, left_out={}, marked=False, by=ADA),
        request_events.refused("retrieve", REQUEST.request_id, reason="other_person", by=BO),
    ]
    logged = AuditLog(vault_engine).append(events, now=NOW)
    assert [event.action for event in logged] == [event.action for event in events]
