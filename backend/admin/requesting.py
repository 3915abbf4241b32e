"""Requests for originals: asked, approved, retrieved once, and how the dispute behind one ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from backend.accounts import Role
from backend.admin import disputes, finding
from backend.admin.disputes import Decision
from backend.admin.rooms import PAGE, Actor, Rooms
from backend.custody import request_events
from backend.custody.records import Detail, RecoveryRequest, RequestKind, RequestState, SubjectRef
from backend.custody.recovery import Retrieved
from backend.errors import BlobMissingError, ForbiddenError, OfficeError, RequestMissingError, RequestStateError
from backend.labelstudio.annotations import Label
from backend.ledger.records import Photo

_READERS = (Role.REQUESTER, Role.APPROVER, Role.AUDITOR)
_SEES_ALL = frozenset({Role.APPROVER, Role.AUDITOR})
_KNOWS_SUBJECTS = frozenset({Role.APPROVER, Role.KEY_OFFICER})


class Requesting(Rooms):
    """The part of the office that originals are asked of."""

    __slots__ = ()

    def find(self, actor: Actor, pasted: str) -> Photo:
        """The photo behind a Label Studio task's address or number. Raises `OfficeError` when there is none."""
        actor.require(Role.REQUESTER)
        return finding.find_photo(self.ledger, pasted)

    def photo(self, actor: Actor, photo_id: str) -> Photo:
        """What is known of a photo. Raises `LedgerError`."""
        actor.require(*_READERS)
        return self.ledger.photo(photo_id)

    def image(self, actor: Actor, photo_id: str) -> tuple[bytes, str]:
        """The anonymized image and its format: png, webp or jpeg. Raises `OfficeError`, `StorageError`."""
        photo = self.photo(actor, photo_id)
        if photo.image_format is None:
            raise OfficeError("this photo has no anonymized image yet")
        return self._published(photo_id), photo.image_format

    def keeps_nothing(self, actor: Actor, photo: Photo) -> bool:
        """Whether the photo was anonymized for good, under a policy that seals nothing."""
        actor.require(*_READERS)
        return self.ledger.policy(photo.project_id, photo.policy_revision).recovery == "none"

    def labels(self, actor: Actor, photo_id: str) -> tuple[Label, ...]:
        """What annotators answered about a photo. Raises `LabelStudioError`, `ConfigError`."""
        return disputes.answers(self.labelstudio, self.photo(actor, photo_id))

    def request(
        self,
        actor: Actor,
        *,
        photo_id: str,
        face_indices: Sequence[int],
        reason: str,
        reference: str | None,
        now: datetime,
    ) -> RecoveryRequest:
        """Ask for faces of one photo. Raises `OfficeError` when no face is named or there is none of such a number."""
        actor.require(Role.REQUESTER)
        photo = self.ledger.photo(photo_id)
        known = {face.index for face in photo.faces}
        if not face_indices or not known.issuperset(face_indices):
            raise OfficeError("choose at least one of the photo's faces")
        return self.recovery.request(
            kind=RequestKind.RECOVERY,
            project_id=photo.project_id,
            photo_id=photo_id,
            face_indices=tuple(sorted(set(face_indices))),
            requested_by=actor.account_id,
            reason=reason,
            reference=(reference or "").strip() or None,
            labelstudio_task_id=photo.labelstudio_task_id,
            now=now,
        )

    def request_access(
        self,
        actor: Actor,
        *,
        project_id: str,
        subject_id: str,
        reason: str,
        reference: str | None,
        now: datetime,
    ) -> RecoveryRequest:
        """Ask for a subject's copy of their own photos, in which only their face is restored."""
        actor.require(Role.REQUESTER)
        return self.recovery.request(
            kind=RequestKind.ACCESS,
            project_id=self.ledger.project(project_id).project_id,
            photo_id=None,
            face_indices=(),
            subject_id=SubjectRef(project_id, subject_id.strip()).subject_id,
            requested_by=actor.account_id,
            reason=reason,
            reference=(reference or "").strip() or None,
            labelstudio_task_id=None,
            now=now,
        )

    def requests(
        self,
        actor: Actor,
        *,
        state: RequestState | None = None,
        project_id: str | None = None,
        before: datetime | None = None,
        now: datetime,
        limit: int = PAGE,
    ) -> list[RecoveryRequest]:
        """Requests, newest first, from before the moment `before`: everybody's for approvers and auditors, their own
        for requesters. Whoever only audits is not told whose photos an access is about."""
        actor.require(*_READERS)
        mine = None if actor.roles & _SEES_ALL else actor.account_id
        found = self.recovery.requests(
            state=state, project_id=project_id, requested_by=mine, before=before, now=now, limit=limit
        )
        return [_as_seen_by(actor, one) for one in found]

    def get(self, actor: Actor, request_id: str, *, now: datetime) -> RecoveryRequest:
        """One request. Raises `RequestMissingError`, also for one that is not theirs to see."""
        actor.require(*_READERS)
        request = self.recovery.get(request_id, now=now)
        if not actor.roles & _SEES_ALL and request.requested_by != actor.account_id:
            raise RequestMissingError("there is no such request")
        return _as_seen_by(actor, request)

    def approve(self, actor: Actor, request_id: str, *, now: datetime) -> RecoveryRequest:
        """Approve somebody else's request. Raises `ForbiddenError` for one's own, `RequestStateError`."""
        actor.require(Role.APPROVER)
        return self.recovery.approve(request_id, approver=actor.account_id, now=now)

    def refuse(self, actor: Actor, request_id: str, *, now: datetime) -> RecoveryRequest:
        """Refuse a request. Raises `RequestStateError`."""
        actor.require(Role.APPROVER)
        return self.recovery.refuse(request_id, approver=actor.account_id, now=now)

    def cancel(self, actor: Actor, request_id: str, *, now: datetime) -> RecoveryRequest:
        """Take one's own request back. Raises `ForbiddenError`, `RequestStateError`."""
        actor.require(Role.REQUESTER)
        return self.recovery.cancel(request_id, by=actor.account_id, now=now)

    def retrieve(self, actor: Actor, request_id: str, *, now: datetime) -> Retrieved:
        """The originals that were asked for: this once, for whoever asked. Raises what `Recovery.retrieve` does."""
        actor.require(Role.REQUESTER)
        return self.recovery.retrieve(request_id, by=actor.account_id, published=self._published, now=now)

    def given(self, actor: Actor, request: RecoveryRequest) -> Detail:
        """What a retrieval that took place gave, as the audit log has it: `photos`, `left_out`, and by reason
        `left_out_expired` and `left_out_not_published`; nothing before. Raises `AuditError`."""
        actor.require(*_READERS)
        told = self.audit.find(request_events.RETRIEVED, request.request_id)
        return {} if told is None else told.detail

    def decide(self, actor: Actor, request_id: str, decision: Decision, *, now: datetime) -> None:
        """Note in Label Studio how a dispute ended, once the original was seen, by whoever saw it.

        Raises `RequestStateError` before that, `LabelStudioError`, `ConfigError`.
        """
        actor.require(Role.REQUESTER)
        request = self.get(actor, request_id, now=now)
        if request.requested_by != actor.account_id:
            raise ForbiddenError("whoever saw the original decides")
        if request.state is not RequestState.RETRIEVED or request.labelstudio_task_id is None:
            raise RequestStateError("a dispute is decided once its original was retrieved")
        project, said = self.ledger.project(request.project_id), {"decision": decision.value}
        self._log(actor, "dispute.decided", request_id, detail=said, now=now)
        disputes.write(self.labelstudio, request, decision, labelstudio_project_id=project.labelstudio_id, now=now)
        noted = said | {"labelstudio_task_id": request.labelstudio_task_id}
        self._log(actor, "dispute.noted", request_id, detail=noted, now=now)

    def decision(self, actor: Actor, request: RecoveryRequest) -> Decision | None:
        """How a dispute ended, as Label Studio has it. Raises `LabelStudioError`, `ConfigError`."""
        actor.require(*_READERS)
        project = self.ledger.project(request.project_id)
        return disputes.read(self.labelstudio, request, labelstudio_project_id=project.labelstudio_id)

    def _published(self, photo_id: str) -> bytes:
        """As `Recovery` asks for it. Raises `BlobMissingError` when there is none, `LedgerError`, `StorageError`."""
        photo = self.ledger.photo(photo_id)
        if photo.image_sha256 is None:
            raise BlobMissingError("this photo has no anonymized image yet")
        return self.blobs.get(photo.image_sha256)


def _as_seen_by(actor: Actor, request: RecoveryRequest) -> RecoveryRequest:
    """Whose photos an access is about is for whoever asked, approves or keeps the keys; the log has a keyed hash."""
    if request.requested_by == actor.account_id or actor.roles & _KNOWS_SUBJECTS:
        return request
    return dataclasses.replace(request, subject_id=None)
