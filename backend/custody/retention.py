"""The end of originals: consent that is withdrawn, records that have expired, keys that an old backup brings back.

Withdrawing takes effect at once, as nothing of the subject is opened any more; the key is destroyed by the first sweep
after the days of grace. A sweep may die at any line: the next one does what is left, and every step is audited once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from backend.custody import audit, database, expiry, receipts, seal, withdrawals
from backend.custody.audit import AuditLog, Head
from backend.custody.heads import AuditHeads
from backend.custody.keyring import Keyring
from backend.custody.records import Detail, NewEvent, SubjectRef, Withdrawal, WithdrawalState
from backend.custody.signing import SigningKey
from backend.errors import AuditError, BackendError, KeyShreddedError, RequestStateError

SWEEPER = "sweep"
"""The audit log's name for a sweep that nobody in particular asked for."""

_BEGUN = "subject.shredding"
_AGAIN = "subject.shredded_again"
_BATCH = 200


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did, in numbers.

    shredded: withdrawals carried out. shredded_again: subjects whose keys or records had come back. expired: records
    deleted because their time was over. failed: withdrawals that could not be carried out and that the next sweep will
    try again. clean: no deleted bytes are left in the logs beside the databases. head: what was exported. problem: why
    no head was exported, or not delivered.
    """

    shredded: int = 0
    shredded_again: int = 0
    expired: int = 0
    failed: int = 0
    clean: bool = True
    head: Head | None = None
    problem: str | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is left for anybody to look at."""
        return self.failed == 0 and self.clean and self.problem is None


class Retention:
    """Withdrawals and sweeps over the vault and the keys. `grace` lies between a withdrawal and its shredding;
    `pseudonym` is the subject's keyed hash (see `pseudonyms`)."""

    def __init__(
        self,
        vault_engine: Engine,
        keyring: Keyring,
        *,
        grace: timedelta,
        pseudonym: Callable[[SubjectRef], str],
        signing_key: SigningKey,
        heads: AuditHeads,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._engine, self._keyring, self._log = vault_engine, keyring, AuditLog(vault_engine)
        self._grace, self._pseudonym, self._new_id = grace, pseudonym, new_id
        self._signing_key, self._heads = signing_key, heads

    def withdraw(self, ref: SubjectRef, *, requested_by: str, now: datetime) -> Withdrawal:
        """Withdraw a subject's consent: nothing of theirs is opened from now on, and the sweep after the grace shreds
        them. The same withdrawal for everybody who asks twice. Raises `AuditError` when it could not be audited."""
        return self.withdraw_all([ref], requested_by=requested_by, now=now)[0]

    def withdraw_project(
        self, project_id: str, *, requested_by: str, now: datetime, subject_ids: Iterable[str] = ()
    ) -> tuple[Withdrawal, ...]:
        """Withdraw everybody in a project who has a key or a record, and `subject_ids`, whom only the ledger knows.

        Raises `AuditError`; what was withdrawn by then stays so.
        """
        named = {SubjectRef(project_id, subject_id) for subject_id in subject_ids}
        known = {ref for ref in self._live() if ref.project_id == project_id} | set(self._recorded(project_id))
        refs = sorted(named | known, key=lambda ref: ref.subject_id)
        batches = (refs[start : start + _BATCH] for start in range(0, len(refs), _BATCH))
        made = [self.withdraw_all(batch, requested_by=requested_by, now=now) for batch in batches]
        return tuple(withdrawal for batch in made for withdrawal in batch)

    def withdraw_all(self, refs: Iterable[SubjectRef], *, requested_by: str, now: datetime) -> tuple[Withdrawal, ...]:
        """Withdraw these subjects in one transaction. Raises `AuditError`."""
        made = []
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            for ref in refs:
                fresh = self._fresh(ref, requested_by, now=now)
                there = withdrawals.in_force(connection, ref.project_id, fresh.pseudonym)
                if there is None:
                    withdrawals.add(connection, fresh)
                    grace = {"grace_s": int(self._grace.total_seconds())}
                    audit.append(connection, [_event(fresh, requested_by, "subject.withdrawn", grace)], now=now)
                made.append(there or fresh)
        return tuple(made)

    def cancel(self, withdrawal_id: str, *, by: str, now: datetime) -> Withdrawal:
        """Take a withdrawal back before it is due.

        Raises `RequestStateError` when it is due, was taken back or carried out, which is audited, too;
        `RequestMissingError`, `AuditError`.
        """
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            there = withdrawals.get(connection, withdrawal_id)
            refusal = _refusal(there, now=now)
            action = "subject.withdrawal_cancelled" if refusal is None else "subject.withdrawal_cancel_refused"
            audit.append(connection, [_event(there, by, action, {"state": refusal} if refusal else {})], now=now)
            if refusal is None:
                withdrawals.end(connection, withdrawal_id, WithdrawalState.CANCELLED, now=now)
        if refusal is not None:
            raise RequestStateError(f"the withdrawal cannot be taken back: it is {refusal}")
        return self.get(withdrawal_id)

    def get(self, withdrawal_id: str) -> Withdrawal:
        """The withdrawal of this id. Raises `RequestMissingError`, `CustodyUnavailableError`."""
        with database.reading(self._engine) as connection:
            return withdrawals.get(connection, withdrawal_id)

    def withdrawals(
        self,
        *,
        project_id: str | None = None,
        state: WithdrawalState | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> tuple[Withdrawal, ...]:
        """Newest first, from the one behind the withdrawal `before`. Raises `CustodyUnavailableError`."""
        with database.reading(self._engine) as connection:
            return withdrawals.listed(connection, project_id=project_id, state=state, before=before, limit=limit)

    def receipt(self, withdrawal_id: str) -> dict[str, Any]:
        """The signed receipt of a withdrawal that was carried out (see `receipts`).

        Raises `RequestStateError` when it was not, `RequestMissingError`; `AuditError` when the log has no word of it.
        """
        withdrawal = self.get(withdrawal_id)
        if withdrawal.state is not WithdrawalState.SHREDDED:
            raise RequestStateError(f"there is no receipt yet: the withdrawal is {withdrawal.state}")
        event = self._log.find(receipts.SHREDDED, withdrawal_id)
        if event is None:
            raise AuditError("the audit log does not tell of this withdrawal")
        return receipts.issue(withdrawal, event, self._signing_key)

    def sweep(
        self, *, now: datetime, forget: Callable[[SubjectRef], None] = lambda _: None, actor: str = SWEEPER
    ) -> SweepReport:
        """Carry out what is due, then export the audit log's head. `forget` makes the ledger forget a subject.

        What cannot be done leaves the rest to be done and is counted. Raises `AuditError` when nothing can be audited,
        for then nothing is shredded, and `CustodyUnavailableError`.
        """
        shredded, failed = self._shred_due(now=now, forget=forget, actor=actor)
        again = self._shred_again(now=now, forget=forget, actor=actor)
        expired = expiry.delete(self._engine, actor=actor, now=now)
        clean = all([database.forget_deleted(self._engine), self._keyring.forget_deleted()])
        head, problem = self._export(now=now)
        return SweepReport(shredded, again, expired, failed, clean, head, problem)

    def _shred_due(self, *, now: datetime, forget: Callable[[SubjectRef], None], actor: str) -> tuple[int, int]:
        shredded = failed = 0
        for withdrawal in self._due(now=now):
            try:
                shredded += self._shred(withdrawal, now=now, forget=forget, actor=actor)
            except AuditError:
                raise
            except BackendError:
                failed += 1
        return shredded, failed

    def _shred(
        self, withdrawal: Withdrawal, *, now: datetime, forget: Callable[[SubjectRef], None], actor: str
    ) -> bool:
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
            if audit.find(connection, _BEGUN, withdrawal.withdrawal_id) is None:
                audit.append(connection, [_event(withdrawal, actor, _BEGUN, key_id)], now=now)
        return True

    def _finish(self, withdrawal: Withdrawal, ref: SubjectRef, *, now: datetime, actor: str) -> bool:
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            if not withdrawals.end(connection, withdrawal.withdrawal_id, WithdrawalState.SHREDDED, now=now):
                return False
            records = withdrawals.forget(connection, ref)
            begun = audit.find(connection, _BEGUN, withdrawal.withdrawal_id)
            key_id = {} if begun is None else {k: v for k, v in begun.detail.items() if k == "key_id"}
            event = _event(withdrawal, actor, receipts.SHREDDED, {"records": records} | key_id)
            audit.append(connection, [event], now=now)
        return True

    def _shred_again(self, *, now: datetime, forget: Callable[[SubjectRef], None], actor: str) -> int:
        """A backup from before the shredding brings keys or records back, and so does a worker that was slower than the
        sweep: they go once more."""
        with database.reading(self._engine) as connection:
            gone = withdrawals.shredded(connection)
        tombstones = set(self._keyring.shredded())
        returned = {ref for ref in self._live() if self._pseudonym(ref) in gone} if gone else set()
        returned |= {ref for ref in self._recorded() if ref in tombstones or self._pseudonym(ref) in gone}
        for ref in sorted(returned, key=lambda ref: (ref.project_id, ref.subject_id)):
            self._clear(ref, gone.get(self._pseudonym(ref)), now=now, actor=actor)
            forget(ref)
        return len(returned)

    def _clear(self, ref: SubjectRef, withdrawal_id: str | None, *, now: datetime, actor: str) -> None:
        target = withdrawal_id or self._pseudonym(ref)
        detail = {"project_id": ref.project_id, "pseudonym": self._pseudonym(ref)} | self._key_id(ref)
        self._log.append([NewEvent(actor, "subject.shredding_again", target, detail)], now=now)
        self._keyring.shred(ref, now=now)
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            records = withdrawals.forget(connection, ref)
            audit.append(connection, [NewEvent(actor, _AGAIN, target, {**detail, "records": records})], now=now)

    def _export(self, *, now: datetime) -> tuple[Head | None, str | None]:
        """The head that was exported and why not, or why it was not delivered: a log that does not lead to the head
        before is not signed as if it did."""
        try:
            last = self._heads.last() or audit.START
            if not self._log.holds(last):
                raise AuditError(f"the audit log does not lead to the head at event {last.seq} that was exported")
            head = audit.verify(self._log.events(after=last.seq), start=last)
        except AuditError as error:
            return None, str(error)
        try:
            self._heads.export(head, now=now)
        except AuditError as error:
            return head, str(error)
        return head, None

    def _key_id(self, ref: SubjectRef) -> dict[str, str]:
        try:
            key = self._keyring.get(ref)
        except KeyShreddedError:
            return {}
        return {} if key is None else {"key_id": seal.key_id(key.public_key).hex()}

    def _fresh(self, ref: SubjectRef, requested_by: str, *, now: datetime) -> Withdrawal:
        return Withdrawal(
            withdrawal_id=self._new_id(),
            project_id=ref.project_id,
            subject_id=ref.subject_id,
            pseudonym=self._pseudonym(ref),
            requested_by=requested_by,
            state=WithdrawalState.PENDING,
            created_at=now,
            due_at=now + self._grace,
        )

    def _due(self, *, now: datetime) -> Iterator[Withdrawal]:
        after = ""
        while batch := self._due_batch(after, now=now):
            yield from batch
            after = batch[-1].withdrawal_id

    def _due_batch(self, after: str, *, now: datetime) -> tuple[Withdrawal, ...]:
        with database.reading(self._engine) as connection:
            return withdrawals.due(connection, now=now, after=after, limit=_BATCH)

    def _live(self) -> Iterator[SubjectRef]:
        """Everybody who has a key."""
        for master_key_id in self._keyring.census():
            if master_key_id is None:
                continue
            after: SubjectRef | None = None
            while batch := self._keyring.subjects(sealed_to=master_key_id, after=after):
                yield from (key.ref for key in batch)
                after = batch[-1].ref

    def _recorded(self, project_id: str | None = None) -> Iterator[SubjectRef]:
        """Everybody who has a record."""
        after: SubjectRef | None = None
        while batch := self._recorded_batch(project_id, after):
            yield from batch
            after = batch[-1]

    def _recorded_batch(self, project_id: str | None, after: SubjectRef | None) -> tuple[SubjectRef, ...]:
        with database.reading(self._engine) as connection:
            return withdrawals.subjects_with_records(connection, project_id=project_id, after=after, limit=_BATCH)


def _refusal(withdrawal: Withdrawal, *, now: datetime) -> str | None:
    if withdrawal.state is not WithdrawalState.PENDING:
        return withdrawal.state
    return "due" if now >= withdrawal.due_at else None


def _event(withdrawal: Withdrawal, actor: str, action: str, detail: Detail) -> NewEvent:
    subject = {"project_id": withdrawal.project_id, "pseudonym": withdrawal.pseudonym}
    return NewEvent(actor, action, withdrawal.withdrawal_id, subject | dict(detail))
