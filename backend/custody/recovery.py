"""The one order in which originals come back: request -> approve -> retrieve, once.

Every step and every refusal is in the audit log, in the same transaction as what it did. Retrieving has two: first the
request is used up together with the events that say what is about to be opened, then, after everything was opened and
checked, the outcome is logged, and only then the pixels leave. In between a signed head says how far the log goes and
that the request has ended, where nobody who can write to the database takes it back. Whoever dies on the way has used
the request up. What needs no key is checked before, so that a request is not used up for nothing.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, Engine

from backend.custody import audit, database, lifecycle, request_events, restoration, upholding, withdrawals
from backend.custody.audit import AuditLog
from backend.custody.heads import AuditHeads
from backend.custody.keyring import Keyring
from backend.custody.lifecycle import RefusedError
from backend.custody.lifecycle import Rules as Rules
from backend.custody.locked import Aim, Finder, Found, Locked, Published
from backend.custody.locked import LeftOut as LeftOut
from backend.custody.opened import OneByOne, Photos
from backend.custody.records import (
    NewEvent,
    RecoveryRequest,
    RequestKind,
    RequestState,
    SealedRecord,
    SubjectKey,
    SubjectRef,
    WithdrawalState,
)
from backend.custody.requests import Requests
from backend.custody.restoration import FaceCrop as FaceCrop
from backend.custody.restoration import RetrievedPhoto as RetrievedPhoto
from backend.custody.vault import Vault
from backend.errors import (
    AuditBrokenError,
    AuditError,
    CustodyError,
    KeyShreddedError,
    MasterKeyError,
    RequestMissingError,
    RequestStateError,
)

_BATCH = 200
_ID = re.compile(r"[0-9a-f]{32}")
_CODES = {KeyShreddedError: "shredded", MasterKeyError: "no_master_key"}
_MISSING = "there is no such request"


class Opener(Protocol):
    """The master key, as far as it is needed here: see `unseal`."""

    def unseal(self, record: SealedRecord, key: SubjectKey) -> bytes:
        """The payload that was sealed. Raises `CustodyError`."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a request gave. photos: those of an access are opened one at a time, as they are gone through, and once.
    bit_exact: no forensic mark. left_out: the photos of an access that are not in it."""

    request_id: str
    kind: RequestKind
    photos: Photos
    bit_exact: bool
    left_out: tuple[LeftOut, ...] = ()


class Recovery:
    """Requests for originals, in the vault's database.

    `pseudonym` gives a subject's keyed hash. `heads` know how far the audit log went, and which requests had ended:
    where the log does not lead there, somebody put the database back to an older state, and nothing is approved or
    opened. `voucher_key`: see `vouching`. `may_approve` says whether an account is an approver's at the moment: where
    it is not any more, what it approved before does not count.

    All methods raise `AuditError` when the audit log or a head cannot be written; nothing was opened then.
    """

    def __init__(
        self,
        vault_engine: Engine,
        keyring: Keyring,
        master: Opener,
        *,
        rules: Rules,
        pseudonym: Callable[[SubjectRef], str],
        heads: AuditHeads,
        voucher_key: bytes,
        may_approve: Callable[[str], bool] = lambda _: True,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._engine, self._master, self._rules = vault_engine, master, rules
        self._audit, self._heads, self._requests = AuditLog(vault_engine), heads, Requests(voucher_key)
        self._finder = Finder(Vault(vault_engine), keyring)
        self._pseudonym, self._may_approve, self._new_id = pseudonym, may_approve, new_id

    def request(
        self,
        *,
        project_id: str,
        photo_id: str | None,
        face_indices: Sequence[int],
        requested_by: str,
        reason: str,
        reference: str | None,
        labelstudio_task_id: int | None,
        now: datetime,
        kind: RequestKind = RequestKind.RECOVERY,
        subject_id: str | None = None,
    ) -> RecoveryRequest:
        """Ask for faces of a photo, or for a subject's own face in all its photos.

        Raises `OfficeError` for a request that says too little or too much, `RequestStateError` when no such original
        is kept or consent was withdrawn, `KeyShreddedError`.
        """
        asked = RecoveryRequest(
            request_id=self._new_id(),
            kind=kind,
            project_id=project_id,
            photo_id=photo_id,
            face_indices=tuple(sorted(set(face_indices))),
            subject_id=subject_id,
            requested_by=requested_by,
            reason=reason,
            reference=reference,
            labelstudio_task_id=labelstudio_task_id,
            approvals_needed=self._rules.approvals,
            approved_by=(),
            state=RequestState.OPEN,
            created_at=now,
            expires_at=now,
        )
        opened = lifecycle.opened(asked, rules=self._rules)
        with self._refusals("open", opened.request_id, by=requested_by, now=now):
            subjects = self._finder.subjects(opened)
            with self._writing() as connection:
                self._refuse_withdrawn(connection, subjects)
                self._requests.add(connection, opened)
                audit.append(connection, request_events.opened(opened, self._pseudonym), now=now)
        return opened

    def get(self, request_id: str, *, now: datetime) -> RecoveryRequest:
        """The request, expired if its time is over. Raises `RequestMissingError`, `CustodyUnavailableError`."""
        self._expire(now=now, request_id=request_id)
        with database.reading(self._engine) as connection:
            request = self._requests.get(connection, request_id)
        if request is None:
            raise RequestMissingError(_MISSING)
        return request

    def requests(
        self,
        *,
        now: datetime,
        limit: int,
        state: RequestState | None = None,
        project_id: str | None = None,
        requested_by: str | None = None,
        before: datetime | None = None,
    ) -> list[RecoveryRequest]:
        """Requests, newest first, of those made before the moment `before`. Raises `CustodyUnavailableError`."""
        self._expire(now=now)
        with database.reading(self._engine) as connection:
            return self._requests.listed(
                connection, state=state, project_id=project_id, requested_by=requested_by, before=before, limit=limit
            )

    def approve(self, request_id: str, *, approver: str, now: datetime) -> RecoveryRequest:
        """Approve somebody else's request. Raises `ForbiddenError`, `RequestStateError`, `RequestMissingError`."""

        def step(before: RecoveryRequest) -> RecoveryRequest:
            return lifecycle.approve(before, approver=approver, now=now, rules=self._rules)

        return self._take("approve", request_id, step, by=approver, now=now)

    def refuse(self, request_id: str, *, approver: str, now: datetime) -> RecoveryRequest:
        """Refuse somebody else's request. Raises as `approve` does."""

        def step(before: RecoveryRequest) -> RecoveryRequest:
            return lifecycle.refuse(before, approver=approver, now=now)

        return self._take("refuse", request_id, step, by=approver, now=now)

    def cancel(self, request_id: str, *, by: str, now: datetime) -> RecoveryRequest:
        """Take one's own request back. Raises as `approve` does."""
        return self._take("cancel", request_id, lambda one: lifecycle.cancel(one, by=by, now=now), by=by, now=now)

    def retrieve(self, request_id: str, *, by: str, published: Published, now: datetime) -> Retrieved:
        """The originals that were asked for: once, for whoever asked.

        `published` gives a photo's anonymized file. Raises `ForbiddenError`, `ApprovalRequiredError`,
        `RequestStateError`, `RequestMissingError`, `KeyShreddedError`, `SealBrokenError` and other `CustodyError`s, and
        what `published` raises; no pixel leaves then. What an access has too many photos of to keep is opened twice,
        first to see that all of it is right; going through its photos raises the same.
        """
        self._expire(now=now, request_id=request_id)
        with self._refusals("retrieve", request_id, by=by, now=now):
            with database.reading(self._engine) as connection:
                request = self._known(connection, request_id)
            self._used_up(request, by=by, now=now)  # before anything else is looked at
            found = self._find(request, published, now=now)
            self._use_up(request_id, found.aims, by=by, now=now)
            self._remember_end(request_id, now=now)
            photos, faces = self._opened(request, found, now=now)
            retrieved = Retrieved(request_id, request.kind, photos, not self._rules.forensic_mark, found.left_out)
            self._log(_outcome(retrieved, faces, by), now=now)
        return retrieved

    def expire_due(self, *, now: datetime) -> int:
        """End the requests whose time is over; how many that were."""
        return self._expire(now=now)

    def _take(
        self,
        name: str,
        request_id: str,
        step: Callable[[RecoveryRequest], RecoveryRequest],
        *,
        by: str,
        now: datetime,
    ) -> RecoveryRequest:
        """One step and the event that tells of it."""
        self._expire(now=now, request_id=request_id)
        with self._refusals(name, request_id, by=by, now=now), self._writing() as connection:
            before = self._known(connection, request_id)
            after = step(before)
            if name == "approve":
                self._refuse_older(connection, request_id)
            self._requests.replace(connection, before, after, now=now)
            audit.append(connection, [request_events.stepped(before, after, by)], now=now)
        if after.state not in lifecycle.UNDECIDED:
            self._remember_end(request_id, now=now)
        return after

    def _use_up(self, request_id: str, aims: Sequence[Aim], *, by: str, now: datetime) -> None:
        """The request's end, and what will be opened: on the disk before anything is."""
        with self._writing() as connection:
            before = self._known(connection, request_id)
            after = self._used_up(before, by=by, now=now)
            self._refuse_older(connection, request_id)
            self._refuse_withdrawn(connection, frozenset().union(*(one.subjects for one in aims)))
            self._requests.replace(connection, before, after, now=now)
            intents = [request_events.retrieving(request_id, one.photo_id, one.face_indices, by=by) for one in aims]
            audit.append(connection, intents, now=now)

    def _used_up(self, request: RecoveryRequest, *, by: str, now: datetime) -> RecoveryRequest:
        return lifecycle.retrieve(request, by=by, now=now, rules=self._rules, may_approve=self._may_approve)

    def _find(self, request: RecoveryRequest, published: Published, *, now: datetime) -> Found:
        if request.kind is RequestKind.RECOVERY:
            locked = self._finder.faces(request, published, now=now)
            return Found((locked.aim,), lambda _: locked)
        (subject,) = self._finder.subjects(request)
        return self._finder.own_face(subject, published, now=now)

    def _opened(self, request: RecoveryRequest, found: Found, *, now: datetime) -> tuple[Photos, int]:
        """The photos, and how many faces are in them."""
        request_id, by = request.request_id, request.requested_by

        def again(aim: Aim) -> RetrievedPhoto:
            with self._refusals("retrieve", request_id, by=by, now=now):
                return self._open(found.load(aim), request_id)

        opened = (self._open(found.load(aim), request_id) for aim in found.aims)
        if request.kind is RequestKind.RECOVERY:
            photos = tuple(opened)
            return photos, sum(len(photo.crops) for photo in photos)
        return OneByOne(found.aims, again), sum(len(photo.crops) for photo in opened)

    def _open(self, locked: Locked, request_id: str) -> RetrievedPhoto:
        """From here on there are keys and pixels in memory."""
        try:
            opened = [(record.face_index, self._master.unseal(record, key)) for record, key in locked.records]
        except CustodyError as error:
            code = _CODES.get(type(error), "seal_broken")
            raise RefusedError(code, error) from None
        mark = request_id if self._rules.forensic_mark else None
        return restoration.restore(locked.photo_id, locked.published, opened, complete=locked.complete, mark=mark)

    def _expire(self, *, now: datetime, request_id: str | None = None) -> int:
        with database.reading(self._engine) as connection:
            if not self._requests.due(connection, now=now, request_id=request_id, limit=1):
                return 0
        count = 0
        while True:
            with self._writing() as connection:
                due = self._requests.due(connection, now=now, request_id=request_id, limit=_BATCH)
                for one in due:
                    self._requests.replace(connection, one, lifecycle.expire(one, now=now), now=now)
                audit.append(connection, [request_events.expired(one) for one in due], now=now)
            count += len(due)
            if len(due) < _BATCH:
                return count

    def _refuse_older(self, connection: Connection, request_id: str) -> None:
        """Refuse what an older database, or an older row, brings back."""
        try:
            head, ended = self._heads.last(), self._heads.ended(request_id)
        except CustodyError as error:
            raise RefusedError("log_unknown", error) from None
        if head is not None and not audit.holds(connection, head):
            message = f"the audit log does not lead to its exported head {head.seq}: an older database was put back"
            raise RefusedError("log_older", AuditBrokenError(message))
        if ended or any(audit.find(connection, action, request_id) for action in request_events.ENDINGS):
            told = RequestStateError(f"request {request_id} has ended before, and was put back")
            raise RefusedError("put_back", told)

    def _remember_end(self, request_id: str, *, now: datetime) -> None:
        """Where the databases' writers cannot reach: the request comes back with no older row of it."""
        self._heads.export(self._audit.head, now=now, ended=[request_id])

    def _refuse_withdrawn(self, connection: Connection, subjects: Iterable[SubjectRef]) -> None:
        covering = {ref for subject in subjects for ref in subject.covering}
        pseudonyms = {self._pseudonym(ref): ref.project_id for ref in covering}
        told = RequestStateError("the subject has withdrawn consent, so nothing of them is opened")
        for pseudonym, project_id in pseudonyms.items():
            found = withdrawals.in_force(connection, project_id, pseudonym)
            if found is not None and found.state is WithdrawalState.SHREDDED:
                raise RefusedError("shredded", KeyShreddedError("the subject has withdrawn and their key is destroyed"))
            if found is not None:
                raise RefusedError("withdrawal_pending", told)
        if upholding.holds(connection, pseudonyms):
            raise RefusedError("withdrawal_changed", told)

    @contextmanager
    def _refusals(self, step: str, request_id: str, *, by: str, now: datetime) -> Iterator[None]:
        """Log a refusal before whoever asked is told of it."""
        try:
            yield
        except RefusedError as refused:
            self._log(request_events.refused(step, request_id, reason=refused.code, by=by), now=now)
            raise refused.told from None

    def _known(self, connection: Connection, request_id: str) -> RecoveryRequest:
        request = self._requests.get(connection, request_id)
        if request is not None:
            return request
        missing = RequestMissingError(_MISSING)
        raise RefusedError("missing", missing) if _ID.fullmatch(request_id) else missing  # the log takes ids only

    def _log(self, event: NewEvent, *, now: datetime) -> None:
        with self._writing() as connection:
            audit.append(connection, [event], now=now)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that holds the audit log, and so is the only one that changes requests."""
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            yield connection


def _outcome(retrieved: Retrieved, faces: int, by: str) -> NewEvent:
    return request_events.retrieved(
        retrieved.request_id,
        photos=len(retrieved.photos),
        faces=faces,
        left_out=Counter(one.reason.value for one in retrieved.left_out),
        marked=not retrieved.bit_exact,
        by=by,
    )
