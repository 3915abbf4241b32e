"""Withdrawals hold as the audit log tells of them: whoever can write to the database takes none back, puts none off and
makes none somebody else's, unless they rewrite the log as well, which its heads show."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta

from sqlalchemy import Connection

from backend.custody import audit, receipts, withdrawals
from backend.custody.records import AuditEvent, SubjectRef, Withdrawal, WithdrawalState
from backend.errors import CustodyError

WITHDRAWN, CANCELLED = "subject.withdrawn", "subject.withdrawal_cancelled"
RESTORED = "subject.withdrawal_restored"
"""The event that tells of a withdrawal which is again as it was made; its target is the withdrawal."""

_EXACT = timedelta(seconds=1)  # grace is told in whole seconds


def holds(connection: Connection, pseudonyms: Collection[str]) -> bool:
    """Whether one of these subjects has withdrawn, by the log's word, and did not take it back."""
    told = audit.targets(connection, WITHDRAWN, naming=pseudonyms)
    return any(audit.find(connection, CANCELLED, one) is None for one in told)


def changed(connection: Connection, pseudonym: Callable[[SubjectRef], str]) -> list[AuditEvent]:
    """What the log tells of withdrawals that are not over and, in the database, not what they were made as."""
    over = {*audit.targets(connection, CANCELLED), *audit.targets(connection, receipts.SHREDDED)}
    told = (audit.find(connection, WITHDRAWN, one) for one in audit.targets(connection, WITHDRAWN) if one not in over)
    return [event for event in told if event is not None and not _is_as_told(connection, event, pseudonym)]


def as_told(event: AuditEvent, ref: SubjectRef) -> Withdrawal:
    """The withdrawal as it was made; `ref` is whose pseudonym the event holds."""
    return Withdrawal(
        withdrawal_id=event.target,
        project_id=ref.project_id,
        subject_id=ref.subject_id,
        pseudonym=str(event.detail["pseudonym"]),
        requested_by=event.actor,
        state=WithdrawalState.PENDING,
        created_at=event.at,
        due_at=event.at + timedelta(seconds=float(event.detail["grace_s"])),
    )


def _is_as_told(connection: Connection, event: AuditEvent, pseudonym: Callable[[SubjectRef], str]) -> bool:
    try:
        there = withdrawals.get(connection, event.target)
        ref = SubjectRef(there.project_id, there.subject_id or "")
    except CustodyError:  # no row, or one of nobody
        return False
    told = as_told(event, ref)
    same = told.pseudonym == there.pseudonym == pseudonym(ref) and there.state is told.state
    return same and abs(there.due_at - told.due_at) < _EXACT
