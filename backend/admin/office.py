"""Everything an admin can do, whichever way they come. Who may do what is decided here and nowhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from backend.accounts import ADMIN_ROLES, Accounts, Role
from backend.admin import disputes, finding
from backend.admin.disputes import Decision
from backend.admin.forgetting import Forgetting
from backend.custody import audit, seal
from backend.custody.audit import AuditLog, Head
from backend.custody.heads import AuditHeads
from backend.custody.keyring import Keyring
from backend.custody.records import (
    AuditEvent,
    Detail,
    NewEvent,
    RecoveryRequest,
    RequestKind,
    RequestState,
    SubjectRef,
    Withdrawal,
    WithdrawalState,
)
from backend.custody.recovery import Recovery, Retrieved, Rules
from backend.custody.retention import Retention, SweepReport
from backend.custody.unseal import MasterKey
from backend.errors import BlobMissingError, ForbiddenError, OfficeError, RequestMissingError, RequestStateError
from backend.labelstudio.annotations import Label
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, Project
from backend.storage import BlobStore

PAGE = 50
_READERS = (Role.REQUESTER, Role.APPROVER, Role.AUDITOR)
_SEES_ALL = frozenset({Role.APPROVER, Role.AUDITOR})


class Actor(Protocol):
    """Who asks: an account, with the roles that count on the way they came."""

    @property
    def account_id(self) -> str: ...

    @property
    def roles(self) -> frozenset[Role]: ...

    def require(self, *roles: Role) -> None:
        """Raises `ForbiddenError` unless they have one of `roles`."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """What the console shows of keys: ids and numbers. retired: older master keys that still open somebody's, with how
    many."""

    key_id: str
    sealed: int
    shredded: int
    retired: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """What waits for somebody. to_approve: requests of others that they may approve. mine: their own that are under
    way. withdrawals: how many wait for their shredding. events: how long the audit log is. Only what their roles show
    them is filled in."""

    to_approve: tuple[RecoveryRequest, ...]
    mine: tuple[RecoveryRequest, ...]
    withdrawals: int | None
    events: int | None


@dataclass(frozen=True, slots=True)
class Office:
    """The rooms behind the console, the API and the command line.

    Methods raise `ForbiddenError` for whoever lacks the role, and what the rooms raise.
    """

    ledger: Ledger
    blobs: BlobStore
    accounts: Accounts
    audit: AuditLog
    recovery: Recovery
    retention: Retention
    heads: AuditHeads
    keyring: Keyring
    master: MasterKey
    rules: Rules
    labelstudio: LabelStudio | None = None

    # Looking

    def overview(self, actor: Actor, *, now: datetime) -> Overview:
        """What waits for `actor`."""
        me, roles = actor.account_id, actor.roles
        states = (RequestState.APPROVED, RequestState.OPEN)
        mine = [self.recovery.requests(state=one, requested_by=me, now=now, limit=PAGE) for one in states]
        open_ones = self.recovery.requests(state=RequestState.OPEN, now=now, limit=PAGE)
        others = [one for one in open_ones if one.requested_by != me and me not in one.approved_by]
        return Overview(
            to_approve=tuple(others) if Role.APPROVER in roles else (),
            mine=tuple(one for some in mine for one in some),
            withdrawals=len(self.retention.withdrawals(state=WithdrawalState.PENDING))
            if Role.KEY_OFFICER in roles
            else None,
            events=self.audit.head().seq if Role.AUDITOR in roles else None,
        )

    def projects(self, actor: Actor) -> list[Project]:
        """All projects, oldest first."""
        actor.require(*ADMIN_ROLES)
        return self.ledger.projects()

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

    def names(self, account_ids: Collection[str]) -> dict[str, str]:
        """E-mail addresses by account, of those that there are."""
        return {one.account_id: one.email for one in self.accounts.accounts() if one.account_id in account_ids}

    # Requests

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
        for requesters."""
        actor.require(*_READERS)
        mine = None if actor.roles & _SEES_ALL else actor.account_id
        return self.recovery.requests(
            state=state, project_id=project_id, requested_by=mine, before=before, now=now, limit=limit
        )

    def get(self, actor: Actor, request_id: str, *, now: datetime) -> RecoveryRequest:
        """One request. Raises `RequestMissingError`, also for one that is not theirs to see."""
        actor.require(*_READERS)
        request = self.recovery.get(request_id, now=now)
        if not actor.roles & _SEES_ALL and request.requested_by != actor.account_id:
            raise RequestMissingError("there is no such request")
        return request

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

    # Disputes

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

    # Withdrawals

    def photos_of(self, actor: Actor, project_id: str, subject_id: str) -> int:
        """How many photos of a subject are known, to see that the id is written as it was handed in."""
        actor.require(Role.KEY_OFFICER)
        ref = SubjectRef(project_id, subject_id)
        return self.ledger.count_of_subject(ref.project_id, ref.subject_id)

    def withdraw(self, actor: Actor, project_id: str, subject_id: str, *, now: datetime) -> Withdrawal:
        """Withdraw a subject's consent; it can be taken back during the grace period."""
        actor.require(Role.KEY_OFFICER)
        ref = SubjectRef(self.ledger.project(project_id).project_id, subject_id.strip())
        return self.retention.withdraw(ref, requested_by=actor.account_id, now=now)

    def withdraw_project(self, actor: Actor, project_id: str, *, now: datetime) -> tuple[Withdrawal, ...]:
        """Withdraw everybody in a project."""
        actor.require(Role.KEY_OFFICER)
        project = self.ledger.project(project_id)
        waiting = self.ledger.subjects(project.project_id)
        by = actor.account_id
        return self.retention.withdraw_project(project.project_id, requested_by=by, now=now, subject_ids=waiting)

    def withdrawals(
        self, actor: Actor, *, state: WithdrawalState | None = None, before: str | None = None, limit: int = PAGE
    ) -> tuple[Withdrawal, ...]:
        """Withdrawals, newest first, from the one behind the withdrawal `before`; without the subjects' ids for whoever
        only audits."""
        actor.require(Role.KEY_OFFICER, Role.AUDITOR)
        found = self.retention.withdrawals(state=state, before=before, limit=limit)
        if Role.KEY_OFFICER in actor.roles:
            return found
        return tuple(dataclasses.replace(one, subject_id=None) for one in found)

    def cancel_withdrawal(self, actor: Actor, withdrawal_id: str, *, now: datetime) -> Withdrawal:
        """Take a withdrawal back before it is due. Raises `RequestStateError`."""
        actor.require(Role.KEY_OFFICER)
        return self.retention.cancel(withdrawal_id, by=actor.account_id, now=now)

    def receipt(self, actor: Actor, withdrawal_id: str) -> dict[str, Any]:
        """The signed receipt of a withdrawal that was carried out. Raises `RequestStateError` before that."""
        actor.require(Role.KEY_OFFICER, Role.AUDITOR)
        return self.retention.receipt(withdrawal_id)

    def sweep(self, actor: Actor, *, now: datetime) -> SweepReport:
        """Shred what is due, delete what has expired, end requests whose time is over, export the log's head."""
        actor.require(Role.KEY_OFFICER)
        self.recovery.expire_due(now=now)
        forgetting = Forgetting(self.ledger, self.blobs)
        return self.retention.sweep(now=now, forget=partial(forgetting.forget, now=now), actor=actor.account_id)

    # The audit log and the keys

    def events(
        self,
        actor: Actor,
        *,
        action: str | None = None,
        target: str | None = None,
        by: str | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> tuple[AuditEvent, ...]:
        """Events of the audit log, newest first, below the number `before`. Raises `AuditError`."""
        actor.require(Role.AUDITOR)
        return self.audit.latest(action=action, target=target, actor=by, before=before, limit=limit)

    def verify(self, actor: Actor, *, now: datetime) -> Head:
        """Check the whole log, and that it still leads to the head that was exported last; how far it goes.

        Raises `AuditError` that names the first event that is wrong.
        """
        actor.require(Role.AUDITOR)
        head = audit.verify(self.audit.events(), head=self.heads.last())
        self._log(actor, "audit.verified", actor.account_id, detail={"seq": head.seq}, now=now)
        return head

    def export(self, actor: Actor, *, now: datetime) -> Iterator[str]:
        """The log as JSON lines, for the offline check; also one that was changed. Raises `AuditError`."""
        actor.require(Role.AUDITOR)
        self._log(actor, "audit.exported", actor.account_id, detail={}, now=now)
        return self.audit.lines()

    def keys(self, actor: Actor) -> KeyState:
        """Which master key opens how many people's keys."""
        actor.require(Role.KEY_OFFICER, Role.AUDITOR)
        current, census = seal.key_id(self.keyring.master_public_key()), dict(self.keyring.census())
        shredded, sealed = census.pop(None, 0), census.pop(current, 0)
        retired = tuple((key_id.hex(), count) for key_id, count in census.items() if key_id is not None and count)
        return KeyState(current.hex(), sealed, shredded, retired)

    def _published(self, photo_id: str) -> bytes:
        """As `Recovery` asks for it. Raises `BlobMissingError` when there is none, `LedgerError`, `StorageError`."""
        photo = self.ledger.photo(photo_id)
        if photo.image_sha256 is None:
            raise BlobMissingError("this photo has no anonymized image yet")
        return self.blobs.get(photo.image_sha256)

    def _log(self, actor: Actor, action: str, target: str, *, detail: Detail, now: datetime) -> None:
        self.audit.append([NewEvent(actor.account_id, action, target, detail)], now=now)
