"""The end of originals: consent that is withdrawn, records that have expired, keys that an old backup brings back.

Withdrawing takes effect at once, as nothing of the subject is opened any more; the key is destroyed by the first sweep
after the days of grace.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from backend.custody import audit, database, expiry, receipts, shredding, upholding, withdrawals
from backend.custody.audit import AuditLog, Head
from backend.custody.heads import AuditHeads
from backend.custody.keyring import Keyring
from backend.custody.records import AuditEvent, Detail, NewEvent, SubjectRef, Withdrawal, WithdrawalState
from backend.custody.shredding import Forget, Shredding
from backend.custody.signing import SigningKey
from backend.errors import AuditError, RequestStateError

SWEEPER = "sweep"
"""The audit log's name for a sweep that nobody in particular asked for."""

_BATCH = 200
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did, in numbers.

    shredded: withdrawals carried out. shredded_again: subjects whose keys or records had come back. expired: records
    deleted because their time was over. failed: subjects who could not be shredded and whom the next sweep will try
    again. restored: withdrawals that somebody had changed in the database and that are again as the log tells. clean:
    no deleted bytes are left in the logs beside the databases. head: what was exported. problem: why no head was
    exported, or not delivered.
    """

    shredded: int = 0
    shredded_again: int = 0
    expired: int = 0
    failed: int = 0
    restored: int = 0
    clean: bool = True
    head: Head | None = None
    problem: str | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is left for anybody to look at."""
        return self.failed == self.restored == 0 and self.clean and self.problem is None


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
        self._shredding = Shredding(vault_engine, keyring, pseudonym=pseudonym)

    def withdraw(self, ref: SubjectRef, *, requested_by: str, now: datetime) -> Withdrawal:
        """Withdraw a subject's consent: nothing of theirs is opened from now on, and the sweep after the grace shreds
        them. The same withdrawal for everybody who asks twice. Raises `AuditError` when it could not be audited."""
        return self.withdraw_all([ref], requested_by=requested_by, now=now)[0]

    def withdraw_project(
        self, project_id: str, *, requested_by: str, now: datetime, subject_ids: Iterable[str] = ()
    ) -> tuple[Withdrawal, ...]:
        """Withdraw everybody in a project who has a key or a record, and `subject_ids`, whom the ledger knew before
        this was called; whoever covers others (see `SubjectRef.covering`) does so whenever these are sealed.

        Raises `AuditError`; what was withdrawn by then stays so.
        """
        named = {SubjectRef(project_id, subject_id) for subject_id in subject_ids}
        live = {ref for ref in self._shredding.live() if ref.project_id == project_id}
        known = {ref for ref in live.union(self._shredding.recorded(project_id)) if named.isdisjoint(ref.covering)}
        refs = sorted(named | known, key=lambda ref: ref.subject_id)
        return self._withdraw_many(refs, requested_by=requested_by, now=now, grace=self._grace)

    def _withdraw_many(
        self, refs: Sequence[SubjectRef], *, requested_by: str, now: datetime, grace: timedelta
    ) -> tuple[Withdrawal, ...]:
        batches = (refs[start : start + _BATCH] for start in range(0, len(refs), _BATCH))
        made = [self._withdraw(batch, requested_by=requested_by, now=now, grace=grace) for batch in batches]
        return tuple(withdrawal for batch in made for withdrawal in batch)

    def withdraw_all(self, refs: Iterable[SubjectRef], *, requested_by: str, now: datetime) -> tuple[Withdrawal, ...]:
        """Withdraw these subjects in one transaction. Raises `AuditError`."""
        return self._withdraw(refs, requested_by=requested_by, now=now, grace=self._grace)

    def _withdraw(
        self, refs: Iterable[SubjectRef], *, requested_by: str, now: datetime, grace: timedelta
    ) -> tuple[Withdrawal, ...]:
        made = []
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            for ref in refs:
                fresh = self._fresh(ref, requested_by, now=now, grace=grace)
                there = withdrawals.in_force(connection, ref.project_id, fresh.pseudonym)
                if there is None:
                    withdrawals.add(connection, fresh)
                    told = shredding.event(fresh, requested_by, upholding.WITHDRAWN, {"grace_s": grace // _SECOND})
                    audit.append(connection, [told], now=now)
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
            begun = audit.find(connection, shredding.BEGUN, withdrawal_id) is not None
            refusal = _refusal(there, begun=begun, now=now)
            action = upholding.CANCELLED if refusal is None else "subject.withdrawal_cancel_refused"
            audit.append(
                connection, [shredding.event(there, by, action, {"state": refusal} if refusal else {})], now=now
            )
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
        self, *, now: datetime, forget: Forget = lambda _: None, actor: str = SWEEPER, accept_log: bool = False
    ) -> SweepReport:
        """Carry out what is due, then export the audit log's head. `forget` makes the ledger forget a subject.

        `accept_log`: go on with a log that does not lead to the head that was exported last, as after an old backup was
        restored. That this was done is logged for good, and shows in every check against the older heads.

        What cannot be done leaves the rest to be done and is counted. Raises `AuditError` when nothing can be audited,
        for then nothing is shredded, and `CustodyUnavailableError`.
        """
        restored = self._uphold(now=now, actor=actor)
        # one by one, so that whomever the withdrawal of a whole photo covers has a receipt of their own
        self._withdraw_many(self._shredding.covered(now=now), requested_by=actor, now=now, grace=timedelta())
        shredded, failed = self._shredding.due(now=now, forget=forget, actor=actor)
        again, failed_again = self._shredding.again(remembered=self._remembered(), now=now, forget=forget, actor=actor)
        expired = expiry.delete(self._engine, actor=actor, now=now)
        clean = all([database.forget_deleted(self._engine), self._keyring.forget_deleted()])
        head, problem = self._export(now=now, actor=actor, accept_log=accept_log)
        return SweepReport(shredded, again, expired, failed + failed_again, restored, clean, head, problem)

    def _uphold(self, *, now: datetime, actor: str) -> int:
        """Let withdrawals be as the log tells of them; how many were not. One of somebody of whom nothing is here is
        left until there is."""
        with database.reading(self._engine) as connection:
            changed = upholding.changed(connection, self._pseudonym)
            named = withdrawals.subjects(connection) if changed else frozenset()
        known = {*named, *self._shredding.live(), *self._shredding.recorded()} if changed else set()
        refs = {self._pseudonym(ref): ref for ref in known}
        found = [(event, refs[name]) for event in changed if (name := str(event.detail["pseudonym"])) in refs]
        if found:
            self._restore(found, now=now, actor=actor)
        return len(found)

    def _restore(self, found: Iterable[tuple[AuditEvent, SubjectRef]], *, now: datetime, actor: str) -> None:
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            for event, ref in found:
                told = upholding.as_told(event, ref)
                withdrawals.put(connection, told)
                audit.append(connection, [shredding.event(told, actor, upholding.RESTORED, {})], now=now)

    def _export(self, *, now: datetime, actor: str, accept_log: bool) -> tuple[Head | None, str | None]:
        """The head that was exported and why not, or why it was not delivered: a log that does not lead to the head
        before is not signed as if it did."""
        shredded: set[str] = set()
        try:
            end = self._verified(self._start(now=now, actor=actor, accept_log=accept_log), shredded)
            # what was added meanwhile is verified in its turn
            head = self._heads.export(lambda: self._verified(end, shredded), now=now, shredded=shredded)
        except AuditError as error:
            return None, str(error)
        try:
            self._heads.deliver()
        except AuditError as error:
            return head, str(error)
        return head, None

    def _verified(self, start: Head, shredded: set[str]) -> Head:
        return audit.verify(_noting(self._log.events(after=start.seq), shredded), start=start)

    def _start(self, *, now: datetime, actor: str, accept_log: bool) -> Head:
        """From where on the log is to be verified. Raises `AuditError` when it does not lead to the last head."""
        last = self._heads.last() or audit.START
        if self._log.holds(last):
            return self._heads.swept() or audit.START
        if not accept_log:
            raise AuditError(f"the audit log does not lead to the head at event {last.seq} that was exported")
        detail: Detail = {"seq": last.seq, "hash": last.hash}
        self._log.append([NewEvent(actor, "audit.log_accepted", actor, detail)], now=now)
        return audit.START

    def _remembered(self) -> frozenset[str]:
        try:
            return self._heads.shredded()
        except AuditError:  # the export tells of it
            return frozenset()

    def _fresh(self, ref: SubjectRef, requested_by: str, *, now: datetime, grace: timedelta) -> Withdrawal:
        return Withdrawal(
            withdrawal_id=self._new_id(),
            project_id=ref.project_id,
            subject_id=ref.subject_id,
            pseudonym=self._pseudonym(ref),
            requested_by=requested_by,
            state=WithdrawalState.PENDING,
            created_at=now,
            due_at=now + grace,
        )


def _refusal(withdrawal: Withdrawal, *, begun: bool, now: datetime) -> str | None:
    if withdrawal.state is not WithdrawalState.PENDING:
        return withdrawal.state
    return "due" if begun or now >= withdrawal.due_at else None


def _noting(events: Iterable[AuditEvent], shredded: set[str]) -> Iterator[AuditEvent]:
    """The events, and on the way the pseudonyms of those who were shredded."""
    for event in events:
        if event.action == receipts.SHREDDED:
            shredded.add(str(event.detail["pseudonym"]))
        yield event
