"""Requests for recovery in the vault's database, within the caller's transaction (see `recovery`), vouched for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from backend.custody import database, vouching
from backend.custody.lifecycle import UNDECIDED, RefusedError
from backend.custody.records import RecoveryRequest, RequestKind, RequestState
from backend.custody.tables import approvals, recovery_requests
from backend.errors import RequestStateError


class Requests:
    """The requests; `voucher_key` is what the admin vouches for them with (see `vouching`)."""

    def __init__(self, voucher_key: bytes) -> None:
        self._key = voucher_key

    def add(self, connection: Connection, request: RecoveryRequest) -> None:
        """Note a new one, which nobody has approved."""
        connection.execute(
            recovery_requests.insert().values(
                request_id=request.request_id,
                kind=request.kind,
                project_id=request.project_id,
                photo_id=request.photo_id,
                face_indices=json.dumps(request.face_indices),
                subject_id=request.subject_id,
                requested_by=request.requested_by,
                reason=request.reason,
                reference=request.reference,
                labelstudio_task_id=request.labelstudio_task_id,
                approvals_needed=request.approvals_needed,
                created_at=request.created_at,
                **self._changing(request, vouched=True),
            )
        )

    def get(self, connection: Connection, request_id: str) -> RecoveryRequest | None:
        """The request of this id, None when there is none."""
        found = self._select(connection, recovery_requests.c.request_id == request_id, limit=1)
        return found[0] if found else None

    def replace(
        self, connection: Connection, before: RecoveryRequest, after: RecoveryRequest, *, now: datetime
    ) -> None:
        """Take a request from `before` to `after`; it is vouched for afterwards if it was before. Raises `RefusedError`
        when it is not as in `before` any more."""
        columns = recovery_requests.c
        same = (columns.request_id == before.request_id, columns.state == before.state)
        changed = recovery_requests.update().where(*same).values(self._changing(after, vouched=before.vouched))
        replaced = connection.execute(changed).rowcount == 1
        for account_id in set(after.approved_by) - set(before.approved_by):
            approval = {"request_id": after.request_id, "account_id": account_id, "approved_at": now}
            replaced = database.insert_new(connection, approvals, approval) and replaced
        if not replaced:
            raise RefusedError("changed", RequestStateError(f"request {before.request_id} has changed meanwhile"))

    def listed(
        self,
        connection: Connection,
        *,
        state: RequestState | None,
        project_id: str | None,
        requested_by: str | None,
        before: datetime | None,
        limit: int,
    ) -> list[RecoveryRequest]:
        """Newest first, of those made before the moment `before`."""
        columns = recovery_requests.c
        where: list[ColumnElement[bool]] = []
        if state is not None:
            where.append(columns.state == state)
        if project_id is not None:
            where.append(columns.project_id == project_id)
        if requested_by is not None:
            where.append(columns.requested_by == requested_by)
        if before is not None:
            where.append(columns.created_at < before)
        return self._select(connection, *where, limit=limit)

    def due(
        self, connection: Connection, *, now: datetime, request_id: str | None, limit: int
    ) -> list[RecoveryRequest]:
        """Those whose time is over; of one request, when `request_id` is given."""
        columns = recovery_requests.c
        where = [columns.state.in_(UNDECIDED), columns.expires_at <= now]
        if request_id is not None:
            where.append(columns.request_id == request_id)
        return self._select(connection, *where, limit=limit)

    def _changing(self, request: RecoveryRequest, *, vouched: bool) -> dict[str, Any]:
        """The columns that steps change."""
        return {
            "state": request.state,
            "expires_at": request.expires_at,
            "decided_at": request.decided_at,
            "retrieved_at": request.retrieved_at,
            "voucher": vouching.voucher(self._key, request) if vouched else None,
        }

    def _select(self, connection: Connection, *where: ColumnElement[bool], limit: int) -> list[RecoveryRequest]:
        columns = recovery_requests.c
        newest_first = (columns.created_at.desc(), columns.request_id.desc())
        rows = connection.execute(select(recovery_requests).where(*where).order_by(*newest_first).limit(limit)).all()
        approved_by = _approvals(connection, [row.request_id for row in rows])
        return [self._request(row, tuple(approved_by.get(row.request_id, ()))) for row in rows]

    def _request(self, row: Row[Any], approved_by: tuple[str, ...]) -> RecoveryRequest:
        said = _request(row, approved_by)
        return dataclasses.replace(said, vouched=vouching.is_right(row.voucher, self._key, said))


def _approvals(connection: Connection, request_ids: Sequence[str]) -> dict[str, list[str]]:
    """By request, who approved it, in their order."""
    columns, found = approvals.c, dict[str, list[str]]()
    query = select(columns.request_id, columns.account_id).where(columns.request_id.in_(request_ids))
    for request_id, account_id in connection.execute(query.order_by(columns.approved_at, columns.account_id)):
        found.setdefault(request_id, []).append(account_id)
    return found


def _request(row: Row[Any], approved_by: tuple[str, ...]) -> RecoveryRequest:
    return RecoveryRequest(
        request_id=row.request_id,
        kind=RequestKind(row.kind),
        project_id=row.project_id,
        photo_id=row.photo_id,
        face_indices=tuple(json.loads(row.face_indices)),
        subject_id=row.subject_id,
        requested_by=row.requested_by,
        reason=row.reason,
        reference=row.reference,
        labelstudio_task_id=row.labelstudio_task_id,
        approvals_needed=row.approvals_needed,
        approved_by=approved_by,
        state=RequestState(row.state),
        created_at=row.created_at,
        expires_at=row.expires_at,
        decided_at=row.decided_at,
        retrieved_at=row.retrieved_at,
    )
