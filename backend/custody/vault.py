"""Sealed records, and the promise that a record and what the audit log says of it are stored together or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, select

from backend.custody import audit, database
from backend.custody.records import NewEvent, SealedRecord, SubjectRef
from backend.custody.tables import REMAINDER_INDEX, sealed_records
from backend.errors import AuditError, CustodyError

SEALED = "photo.sealed"
"""The action by which the audit log tells of a photo's records. Its detail has their `digests`."""

_DIGEST = "sealed_"


def digests(records: Iterable[SealedRecord]) -> dict[str, str]:
    """What the audit log keeps of records: by face, the SHA-256 of what was sealed.

    Whoever has a subject's public key can seal to it; what the worker did not seal is known by this.
    """
    return {_place(one.face_index): hashlib.sha256(one.sealed).hexdigest() for one in records}


class Vault:
    """The vault's database (see `database.open_vault`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def store(self, records: Sequence[SealedRecord], events: Sequence[NewEvent], *, now: datetime) -> bool:
        """Store records and audit events in one transaction, on the disk when this returns; whether anything was new.

        A record whose photo, face and anonymized image are stored already is left as it is, and so is an event whose
        action, target and detail are: doing it again, after a crash or in two workers at once, changes nothing. When
        there are records and none is new, no event is.

        Raises `AuditError` when nothing could be stored, `CustodyError` for a record that is stored for somebody else.
        """
        with database.writing(self._engine, failure=AuditError) as connection:
            audit.hold(connection)
            new = [record for record in records if _insert(connection, record)]
            if records and not new:
                return False
            unlogged = [event for event in events if not audit.is_logged(connection, event)]
            audit.append(connection, unlogged, now=now)
            return bool(new or unlogged)

    def records_of_photo(self, photo_id: str) -> tuple[SealedRecord, ...]:
        """A photo's records, oldest first, then by face; the remainder first. Raises `CustodyUnavailableError`."""
        return self._records(sealed_records.c.photo_id == photo_id)

    def photos_of_subject(self, ref: SubjectRef) -> tuple[str, ...]:
        """The ids, sorted, of the photos in which a subject's face is sealed. Raises `CustodyUnavailableError`."""
        columns = sealed_records.c
        query = select(columns.photo_id).distinct().where(*_of(ref), columns.face_index != REMAINDER_INDEX)
        with database.reading(self._engine) as connection:
            return tuple(sorted(connection.scalars(query)))

    def records_of_subject(self, ref: SubjectRef, photo_id: str) -> tuple[SealedRecord, ...]:
        """A subject's records in one photo, oldest first, then by face. Raises `CustodyUnavailableError`."""
        return self._records(sealed_records.c.photo_id == photo_id, *_of(ref))

    def logged_digests(self, photo_id: str) -> frozenset[tuple[str, object]]:
        """All that the audit log keeps of a photo's records (see `digests`). Raises `CustodyUnavailableError`."""
        with database.reading(self._engine) as connection:
            events = audit.find_all(connection, SEALED, photo_id)
        return frozenset(item for event in events for item in event.detail.items() if item[0].startswith(_DIGEST))

    def is_gone(self, photo_id: str, face_index: int) -> bool:
        """Whether the log tells that a face was sealed of which there is no record, whosever. Raises
        `CustodyUnavailableError`."""
        there = {record.face_index for record in self.records_of_photo(photo_id)}
        return face_index not in there and _place(face_index) in dict(self.logged_digests(photo_id))

    def _records(self, *where: ColumnElement[bool]) -> tuple[SealedRecord, ...]:
        columns = sealed_records.c
        query = select(sealed_records).where(*where).order_by(columns.created_at, columns.face_index)
        with database.reading(self._engine) as connection:
            return tuple(_record(row) for row in connection.execute(query))


def _of(ref: SubjectRef) -> tuple[ColumnElement[bool], ...]:
    columns = sealed_records.c
    return columns.project_id == ref.project_id, columns.subject_id == ref.subject_id


def _place(face_index: int | None) -> str:
    return _DIGEST + ("remainder" if face_index is None else str(face_index))


def _insert(connection: Connection, record: SealedRecord) -> bool:
    if database.insert_new(connection, sealed_records, _values(record)):
        return True
    columns = sealed_records.c
    query = select(columns.project_id, columns.subject_id).where(
        columns.photo_id == record.photo_id,
        columns.face_index == _index(record),
        columns.anonymized_sha256 == record.anonymized_sha256,
    )
    owner = connection.execute(query).first()
    if owner is None or tuple(owner) != (record.subject.project_id, record.subject.subject_id):
        raise CustodyError(f"photo {record.photo_id} has a record of the same place that is somebody else's")
    return False


def _index(record: SealedRecord) -> int:
    return REMAINDER_INDEX if record.face_index is None else record.face_index


def _values(record: SealedRecord) -> dict[str, object]:
    return {
        "record_id": record.record_id,
        "project_id": record.subject.project_id,
        "subject_id": record.subject.subject_id,
        "photo_id": record.photo_id,
        "face_index": _index(record),
        "sealed": record.sealed,
        "payload_sha256": record.payload_sha256,
        "anonymized_sha256": record.anonymized_sha256,
        "model_version": record.model_version,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    }


def _record(row: Row[Any]) -> SealedRecord:
    return SealedRecord(
        record_id=row.record_id,
        subject=SubjectRef(row.project_id, row.subject_id),
        photo_id=row.photo_id,
        face_index=None if row.face_index == REMAINDER_INDEX else row.face_index,
        sealed=row.sealed,
        payload_sha256=row.payload_sha256,
        anonymized_sha256=row.anonymized_sha256,
        model_version=row.model_version,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
