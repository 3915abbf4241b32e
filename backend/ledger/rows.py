"""Rows as records, and a photo's row from one state to the next; all within the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from backend.errors import LedgerError
from backend.ledger.records import FaceNote, Photo, PhotoState, Policy, Project
from backend.ledger.tables import DiscardedBlobRow, PhotoRow, PolicyRow, ProjectRow

PHOTOS: Final = select(PhotoRow.__table__)


def project(connection: Connection, project_id: str) -> Project:
    """The project with its current policy. Raises `LedgerError` if there is none."""
    of_id = select(ProjectRow.__table__).where(ProjectRow.project_id == project_id)
    row = connection.execute(of_id).one_or_none()
    if row is None:
        raise LedgerError(f"there is no project {project_id}")
    return to_project(connection, row)


def to_project(connection: Connection, row: Row[Any]) -> Project:
    """A row of `projects`, its current policy looked up."""
    return Project(
        project_id=row.project_id,
        title=row.title,
        labelstudio_id=row.labelstudio_id,
        on=row.on,
        adopts=row.adopts,
        created_at=row.created_at,
        policy=policy(connection, row.project_id, row.revision),
        refusal=row.refusal,
        refused_at=row.refused_at,
    )


def policy(connection: Connection, project_id: str, revision: int) -> Policy:
    """One revision. Raises `LedgerError` if there is none."""
    of_revision = and_(PolicyRow.project_id == project_id, PolicyRow.revision == revision)
    row = connection.execute(select(PolicyRow.__table__).where(of_revision)).one_or_none()
    if row is None:
        raise LedgerError(f"project {project_id} has no policy revision {revision}")
    return Policy(**row._mapping)


def photo(connection: Connection, photo_id: str) -> Photo:
    """The photo of this id. Raises `LedgerError` if there is none."""
    row = connection.execute(PHOTOS.where(PhotoRow.photo_id == photo_id)).one_or_none()
    if row is None:
        raise LedgerError(f"there is no photo {photo_id}")
    return to_photo(row)


def to_photo(row: Row[Any]) -> Photo:
    """A row of `PHOTOS`."""
    known = {field.name: getattr(row, field.name) for field in fields(Photo)}
    known["state"] = PhotoState(row.state)
    known["faces"] = tuple(FaceNote.from_json(face) for face in row.faces)
    return Photo(**known)


def move(
    connection: Connection, photo_id: str, states: set[PhotoState], *, attempt: int | None = None, **values: Any
) -> bool:
    """Change a photo only if it is in one of `states`, and in claim number `attempt`; whether it was."""
    conditions: list[ColumnElement[bool]] = [PhotoRow.photo_id == photo_id, PhotoRow.state.in_(states)]
    if attempt is not None:
        conditions.append(PhotoRow.attempts == attempt)
    return connection.execute(update(PhotoRow).where(*conditions).values(**values)).rowcount == 1


def discard_sources(
    connection: Connection, photo_ids: Collection[str], states: set[PhotoState], *, now: datetime
) -> list[str]:
    """Move the names of sealed originals from these photos to the discarded ones; those names."""
    condition = and_(PhotoRow.photo_id.in_(photo_ids), PhotoRow.state.in_(states), PhotoRow.source_blob.is_not(None))
    names = [name for name in connection.scalars(select(PhotoRow.source_blob).where(condition)) if name is not None]
    if names:
        connection.execute(insert(DiscardedBlobRow), [{"name": name, "discarded_at": now} for name in names])
        connection.execute(update(PhotoRow).where(condition).values(source_blob=None))
    return names
