"""Subjects who withdrew their consent: the ledger forgets who they are, and what of theirs was not anonymized yet."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, literal, select, update

from backend import unclaimed
from backend.ledger import pilots, rows
from backend.ledger.book import Book
from backend.ledger.database import forget_deleted, reading, writing
from backend.ledger.records import PhotoState
from backend.ledger.tables import PhotoRow

_UNFINISHED: Final = {PhotoState.WAITING, PhotoState.WORKING, PhotoState.FAILED}


class Forgetting(Book):
    """What the ledger does of a withdrawal. Doing it again changes nothing."""

    def subjects(self, project_id: str) -> set[str]:
        """Whoever a project's photos are of; and for each photo everybody on it whom nobody claimed, known by now or
        not."""
        photos = select(PhotoRow.photo_id, PhotoRow.subject_id).where(PhotoRow.project_id == project_id)
        with reading(self.engine) as connection:
            found = connection.execute(photos).all()
        return {unclaimed.everybody(row.photo_id) for row in found} | {row.subject_id for row in found} - {None}

    def forget_subject(self, project_id: str, subject_id: str, *, now: datetime) -> list[str]:
        """Forget whose photos a subject's are, and their consent; names of sealed originals, for the caller to delete.

        Photos of theirs that are not anonymized yet are cancelled, and so is one of which they are, or may be, a face
        that nobody claimed. Sealed originals that publishing has not discarded yet are discarded; anonymized pictures
        and what is known of their landmarks stay. A worker that has such a photo at the moment loses its claim. Pilots
        that one of their photos is in go, with their reports.
        """
        with writing(self.engine) as connection:
            names = [
                *_discard(connection, _photos_with(project_id, subject_id), now=now),
                *_forget(
                    connection, and_(PhotoRow.project_id == project_id, PhotoRow.subject_id == subject_id), now=now
                ),
            ]
        forget_deleted(self.engine)
        return names


def _photos_with(project_id: str, subject_id: str) -> ColumnElement[bool]:
    photo_id = unclaimed.photo_of(subject_id)
    return and_(PhotoRow.project_id == project_id, PhotoRow.photo_id == literal(photo_id))


def _forget(connection: Connection, condition: ColumnElement[bool], *, now: datetime) -> list[str]:
    names = _discard(connection, condition, now=now)
    # What makes two hand-ins one photo holds a digest of the subject's id, which anybody can compute from a name.
    nobody = {"subject_id": None, "consent": None, "request": literal("forgotten:").concat(PhotoRow.photo_id)}
    connection.execute(update(PhotoRow).where(condition).values(nobody))
    return names


def _discard(connection: Connection, condition: ColumnElement[bool], *, now: datetime) -> list[str]:
    photo_ids = list(connection.scalars(select(PhotoRow.photo_id).where(condition).with_for_update()))
    if not photo_ids:
        return []
    names = rows.discard_sources(connection, photo_ids, set(PhotoState), now=now)
    names += pilots.discard_with(connection, photo_ids, now=now)
    unfinished = and_(PhotoRow.photo_id.in_(photo_ids), PhotoRow.state.in_(_UNFINISHED))
    cancelled = {"state": PhotoState.CANCELLED, "source_address": None, "claimed_until": None, "reason": None}
    connection.execute(update(PhotoRow).where(unfinished).values(cancelled | {"updated_at": now}))
    return names
