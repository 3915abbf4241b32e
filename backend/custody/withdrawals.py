"""Withdrawals of consent in the vault's database, within the caller's transaction (see `retention`)."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from backend.custody.records import SubjectRef, Withdrawal, WithdrawalState
from backend.custody.tables import recovery_requests, sealed_records, withdrawals
from backend.errors import CustodyError, RequestMissingError


def add(connection: Connection, withdrawal: Withdrawal) -> None:
    """Note a new one."""
    connection.execute(
        withdrawals.insert().values(
            withdrawal_id=withdrawal.withdrawal_id,
            project_id=withdrawal.project_id,
            subject_id=withdrawal.subject_id,
            pseudonym=withdrawal.pseudonym,
            requested_by=withdrawal.requested_by,
            state=withdrawal.state,
            created_at=withdrawal.created_at,
            due_at=withdrawal.due_at,
        )
    )


def put(connection: Connection, withdrawal: Withdrawal) -> None:
    """Note one in the place of whatever is there under its id."""
    connection.execute(withdrawals.delete().where(withdrawals.c.withdrawal_id == withdrawal.withdrawal_id))
    add(connection, withdrawal)


def get(connection: Connection, withdrawal_id: str) -> Withdrawal:
    """The withdrawal of this id. Raises `RequestMissingError`."""
    row = connection.execute(select(withdrawals).where(withdrawals.c.withdrawal_id == withdrawal_id)).first()
    if row is None:
        raise RequestMissingError("there is no such withdrawal")
    return _withdrawal(row)


def in_force(connection: Connection, project_id: str, pseudonym: str) -> Withdrawal | None:
    """The subject's withdrawal that was not taken back, None when there is none. The subject's originals are nobody's
    to open from then on, whatever keys an old backup brings back."""
    columns = withdrawals.c
    where = (columns.project_id == project_id, columns.pseudonym == pseudonym)
    found = _select(connection, *where, columns.state != WithdrawalState.CANCELLED, limit=1)
    return found[0] if found else None


def listed(
    connection: Connection, *, project_id: str | None, state: WithdrawalState | None, before: str | None, limit: int
) -> tuple[Withdrawal, ...]:
    """Newest first, from the one behind `before`."""
    columns = withdrawals.c
    where: list[ColumnElement[bool]] = []
    if project_id is not None:
        where.append(columns.project_id == project_id)
    if state is not None:
        where.append(columns.state == state)
    if before is not None:
        last = get(connection, before)
        same_moment = (columns.created_at == last.created_at) & (columns.withdrawal_id < before)
        where.append((columns.created_at < last.created_at) | same_moment)
    return _select(connection, *where, limit=limit)


def due(connection: Connection, *, now: datetime, after: str, limit: int) -> tuple[Withdrawal, ...]:
    """Those to be carried out, by their ids from the one behind `after`."""
    columns = withdrawals.c
    where = (columns.state == WithdrawalState.PENDING, columns.due_at <= now, columns.withdrawal_id > after)
    query = select(withdrawals).where(*where).order_by(columns.withdrawal_id).limit(limit)
    return tuple(_withdrawal(row) for row in connection.execute(query))


def subjects(connection: Connection) -> frozenset[SubjectRef]:
    """Whoever is named by one, in whatever state; what is nobody's name is left out."""
    columns, found = withdrawals.c, set[SubjectRef]()
    for row in connection.execute(select(columns.project_id, columns.subject_id)):
        with suppress(CustodyError):
            found.add(SubjectRef(row.project_id, row.subject_id or ""))
    return frozenset(found)


def over(connection: Connection, *, now: datetime) -> frozenset[str]:
    """The pseudonyms of those who are shredded or due to be."""
    columns = withdrawals.c
    due = (columns.state == WithdrawalState.PENDING) & (columns.due_at <= now)
    query = select(columns.pseudonym).where(due | (columns.state == WithdrawalState.SHREDDED))
    return frozenset(connection.scalars(query))


def pseudonyms(connection: Connection, state: WithdrawalState) -> dict[str, str]:
    """By the subject's pseudonym, the withdrawals in this state."""
    columns = withdrawals.c
    query = select(columns.pseudonym, columns.withdrawal_id).where(columns.state == state)
    return {row.pseudonym: row.withdrawal_id for row in connection.execute(query)}


def end(connection: Connection, withdrawal_id: str, state: WithdrawalState, *, now: datetime) -> bool:
    """Take a pending one to its last state; whether it was pending. A shredded subject's id goes."""
    columns = withdrawals.c
    values: dict[str, Any] = {"state": state, "ended_at": now}
    if state is WithdrawalState.SHREDDED:
        values["subject_id"] = None
    where = (columns.withdrawal_id == withdrawal_id, columns.state == WithdrawalState.PENDING)
    return connection.execute(withdrawals.update().where(*where).values(values)).rowcount == 1


def forget(connection: Connection, ref: SubjectRef) -> int:
    """Delete the subject's records, and its id wherever the vault's database has it; how many records that were."""
    records, requests = sealed_records.c, recovery_requests.c
    theirs = (requests.project_id == ref.project_id, requests.subject_id == ref.subject_id)
    connection.execute(recovery_requests.update().where(*theirs).values(subject_id=None))
    mine = (records.project_id == ref.project_id, records.subject_id == ref.subject_id)
    return connection.execute(sealed_records.delete().where(*mine)).rowcount


def subjects_with_records(
    connection: Connection, *, project_id: str | None = None, after: SubjectRef | None = None, limit: int
) -> tuple[SubjectRef, ...]:
    """Whose records there are, in a fixed order, from the one behind `after`."""
    columns = sealed_records.c
    query = select(columns.project_id, columns.subject_id).distinct()
    if project_id is not None:
        query = query.where(columns.project_id == project_id)
    if after is not None:
        later = (columns.project_id == after.project_id) & (columns.subject_id > after.subject_id)
        query = query.where((columns.project_id > after.project_id) | later)
    rows = connection.execute(query.order_by(columns.project_id, columns.subject_id).limit(limit))
    return tuple(SubjectRef(row.project_id, row.subject_id) for row in rows)


def _select(connection: Connection, *where: ColumnElement[bool], limit: int) -> tuple[Withdrawal, ...]:
    columns = withdrawals.c
    newest_first = (columns.created_at.desc(), columns.withdrawal_id.desc())
    query = select(withdrawals).where(*where).order_by(*newest_first).limit(limit)
    return tuple(_withdrawal(row) for row in connection.execute(query))


def _withdrawal(row: Row[Any]) -> Withdrawal:
    return Withdrawal(
        withdrawal_id=row.withdrawal_id,
        project_id=row.project_id,
        subject_id=row.subject_id,
        pseudonym=row.pseudonym,
        requested_by=row.requested_by,
        state=WithdrawalState(row.state),
        created_at=row.created_at,
        due_at=row.due_at,
        ended_at=row.ended_at,
    )
