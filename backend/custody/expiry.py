"""Records whose time is over: deleted together with the audit events that say so."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from backend.custody import audit, database
from backend.custody.records import NewEvent
from backend.custody.tables import sealed_records
from backend.errors import AuditError

_BATCH = 500


def delete(engine: Engine, *, actor: str, now: datetime) -> int:
    """Delete the vault's records that expired by `now`, with one event per photo; how many records that were.

    Raises `AuditError` when it could not be audited; what was deleted by then was.
    """
    deleted = 0
    while True:
        with database.writing(engine, failure=AuditError) as connection:
            audit.hold(connection)
            batch = _delete(connection, actor=actor, now=now)
        deleted += batch
        if batch < _BATCH:
            return deleted


def _delete(connection: Connection, *, actor: str, now: datetime) -> int:
    columns = sealed_records.c
    query = select(columns.record_id, columns.project_id, columns.photo_id).where(columns.expires_at <= now)
    rows = connection.execute(query.order_by(columns.expires_at, columns.record_id).limit(_BATCH)).all()
    if rows:
        connection.execute(sealed_records.delete().where(columns.record_id.in_([row.record_id for row in rows])))
    photos = Counter((row.project_id, row.photo_id) for row in rows)
    events = [
        NewEvent(actor, "records.expired", photo_id, {"project_id": project_id, "records": count})
        for (project_id, photo_id), count in sorted(photos.items())
    ]
    audit.append(connection, events, now=now)
    return len(rows)
