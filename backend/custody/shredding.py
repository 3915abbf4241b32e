"""Shredding a subject, step by step: audit the intent, destroy the key, forget the subject, audit the outcome.

Whoever dies in between leaves a withdrawal that is still pending, and the next sweep does every step again; none does
harm a second time, and each is audited once. What a backup from before brings back is shredded once more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime

from sqlalchemy import Engine

from backend.custody import audit, database, receipts, seal, withdrawals
from backend.custody.audit import AuditLog
from backend.custody.keyring import Keyring
from backend.custody.records import Detail, NewEvent, SubjectRef, Withdrawal, WithdrawalState
from backend.errors import AuditError, BackendError

Forget = Callable[[SubjectRef], None]
"""Makes the rooms outside of custody forget a subject. Raises `BackendError` when it cannot now."""

BEGUN = "subject.shredding"
"""The event before anything is destroyed; its target is the withdrawal."""

_BEGUN_AGAIN = "subject.shredding_again"
_AGAIN = "subject.shredded_again"
_BATCH = 200


class Shredding:
    """Shreds subjects in the vault's database and the keys'; `pseudonym` is a subject's keyed hash."""

    def __init__(self, vault_engine: Engine, keyring: Keyring, *, pseudonym: Callable[[SubjectRef], str]) -> None:
        self._engine, self._keyring, self._log = vault_engine, keyring, AuditLog(vault_engine)
        self._pseudonym = pseudonym

    def due(self, *, now: datetime, forget: Forget, actor: str) -> tuple[int, int]:
        """Carry out the withdrawals that are due: how many were, and how many could not be and stay pending.

        Raises `AuditError` when nothing can be audited, for then nothing is shredded.
        """
        shredded = failed = 0
        for withdrawal in self._due(now=now):
            try:
                shredded += self._shred(withdrawal, now=now, forget=forget, actor=actor)
            except AuditError:
                raise
            except BackendError:
                failed += 1
        return shredded, failed

    def again(self, *, remembered: Collection[str], now: datetime, forget: Forget, actor: str) -> tuple[int, int]:
        """A backup from before the shredding brings keys or records back, and so does a worker that was slower than the
        sweep: they go once more. `remembered`: pseudonyms of those who were shredded, whatever the databases know.

        How many subjects that were, and how many could not be. Raises `AuditError`.
        """
        with database.reading(self._engine) as connection:
            gone = withdrawals.pseudonyms(connection, WithdrawalState.SHREDDED)
            pending = withdrawals.pseudonyms(connection, WithdrawalState.PENDING)  # the next sweep's
        returned = {ref for ref in self._returned({*gone, *remembered}) if self._pseudonym(ref) not in pending}
        failed = 0
        for ref in sorted(returned, key=_in_order):
            try:
                self._clear(ref, gone.get(self._pseudonym(ref)), now=now, forget=forget, actor=actor)
            except AuditError:
                raise
            except BackendError:
                failed += 1
        return len(returned) - failed, failed

    def live(self) -> Iterator[SubjectRef]:
        """Everybody who has a key."""
        for master_key_id in self._keyring.census():
            if master_key_id is None:
                continue
            after: SubjectRef | None = None
            while batch := self._keyring.subjects(sealed_to=master_key_id, after=after):
                yield from (key.ref for key in batch)
                after = batch[-1].ref

    def covered(self, *, now: datetime) -> list[SubjectRef]:
        """Whoever has a key or a record and no withdrawal but that of all unclaimed faces of their photo, which is due
        or carried out: a worker may have sealed them at any time."""
        with database.reading(self._engine) as connection:
            over = withdrawals.over(connection, now=now)
            pending = withdrawals.pseudonyms(connection, WithdrawalState.PENDING)
        known, own = {*self.live(), *self.recorded()} if over else set(), {*over, *pending}
        found = (ref for ref in known if self._is_in(over, ref.covering[1:]) and not self._is_in(own, [ref]))
        return sorted(found, key=_in_order)

    def recorded(self, project_id: str | None = None) -> Iterator[SubjectRef]:
        """Everybody who has a record."""
        after: SubjectRef | None = None
        while batch := self._recorded_batch(project_id, after):
            yield from batch
            after = batch[-1]

    def _returned(self, gone: Collection[str]) -> Iterator[SubjectRef]:
        """Who is shredded, by a withdrawal or by what is left of their key, and has a key or a record."""
        shredded = set(self._keyring.shredded())
        if gone or shredded:
            both = itertools.chain(self.live(), self.recorded())
            yield from (ref for ref in both if not shredded.isdisjoint(ref.covering) or self._is_in(gone, ref.covering))

    def _is_in(self, pseudonyms: Collection[str], refs: Iterable[SubjectRef]) -> bool:
        return any(self._pseudonym(ref) in pseudonyms for ref in refs)

    def _shred(self, withdrawal: Withdrawal, *, now: datetime, forget: Forget, actor: str) -> bool:
        """Whether it was this sweep that came to the end of it."""
        ref = SubjectRef(withdrawal.project_id, withdrawal.subject_id or "")
        if not self._begin(withdrawal, ref, now=now, actor=actor):
            return False
        self._keyring.shred(ref, now=now)
        forget(ref)
        return self._finish(withdrawal, ref, now=now, actor=actor)

    def _begin(self, withdrawal: Withdrawal, ref: SubjectRef, *, now: datetime, actor: str) -> bool:
        """Audit the intent, once, with the id of the key that is going to be destroyed; whether it still is to be."""
        key_id = self._key_id(ref)
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            if withdrawals.get(connection, withdrawal.withdrawal_id).state is not WithdrawalState.PENDING:
                return False
            if audit.find(connection, BEGUN, withdrawal.withdrawal_id) is None:
                audit.append(connection, [event(withdrawal, actor, BEGUN, key_id)], now=now)
        return True

    def _finish(self, withdrawal: Withdrawal, ref: SubjectRef, *, now: datetime, actor: str) -> bool:
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            if not withdrawals.end(connection, withdrawal.withdrawal_id, WithdrawalState.SHREDDED, now=now):
                return False
            records = withdrawals.forget(connection, ref)
            begun = audit.find(connection, BEGUN, withdrawal.withdrawal_id)
            key_id = {} if begun is None else {k: v for k, v in begun.detail.items() if k == "key_id"}
            outcome = event(withdrawal, actor, receipts.SHREDDED, {"records": records} | key_id)
            audit.append(connection, [outcome], now=now)
        return True

    def _clear(self, ref: SubjectRef, withdrawal_id: str | None, *, now: datetime, forget: Forget, actor: str) -> None:
        target = withdrawal_id or self._pseudonym(ref)
        detail = {"project_id": ref.project_id, "pseudonym": self._pseudonym(ref)} | self._key_id(ref)
        self._log.append([NewEvent(actor, _BEGUN_AGAIN, target, detail)], now=now)
        self._keyring.shred(ref, now=now)
        forget(ref)
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            records = withdrawals.forget(connection, ref)
            audit.append(connection, [NewEvent(actor, _AGAIN, target, {**detail, "records": records})], now=now)

    def _key_id(self, ref: SubjectRef) -> dict[str, str]:
        key = self._keyring.left(ref)
        return {} if key is None else {"key_id": seal.key_id(key.public_key).hex()}

    def _due(self, *, now: datetime) -> Iterator[Withdrawal]:
        after = ""
        while batch := self._due_batch(after, now=now):
            yield from batch
            after = batch[-1].withdrawal_id

    def _due_batch(self, after: str, *, now: datetime) -> tuple[Withdrawal, ...]:
        with database.reading(self._engine) as connection:
            return withdrawals.due(connection, now=now, after=after, limit=_BATCH)

    def _recorded_batch(self, project_id: str | None, after: SubjectRef | None) -> tuple[SubjectRef, ...]:
        with database.reading(self._engine) as connection:
            return withdrawals.subjects_with_records(connection, project_id=project_id, after=after, limit=_BATCH)


def _in_order(ref: SubjectRef) -> tuple[str, str]:
    return ref.project_id, ref.subject_id


def event(withdrawal: Withdrawal, actor: str, action: str, detail: Detail) -> NewEvent:
    """What the audit log is told of a withdrawal."""
    subject = {"project_id": withdrawal.project_id, "pseudonym": withdrawal.pseudonym}
    return NewEvent(actor, action, withdrawal.withdrawal_id, subject | dict(detail))
