"""Subjects who withdrew their consent: the ledger forgets who they are, and what of theirs was not anonymized yet."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, literal, select, update

from backend.ledger import rows
from backend.ledger.book import Book
from backend.ledger.database import forget_deleted, reading, writing
from backend.ledger.records import PhotoState
from backend.ledger.tables import PhotoRow

_NAMELESS = re.compile(r"([0-9a-f]{32})-(?:\d+|remainder)")  # a face that nobody claimed: its photo and its number
_UNFINISHED: Final = {PhotoState.WAITING, PhotoState.WORKING, PhotoState.FAILED}


class Forgetting(Book):
    """What the ledger does of a withdrawal. Doing it again changes nothing."""

    def subjects(self, project_id: str) -> set[str]:
        """Whoever a project's photos are of; of one that nobody claimed and that is not anonymized yet, its largest
        face."""
        mine = PhotoRow.project_id == project_id
        named = select(PhotoRow.subject_id).where(mine, PhotoRow.subject_id.is_not(None)).distinct()
        unclaimed = and_(mine, PhotoRow.subject_id.is_(None), PhotoRow.state.in_(_UNFINISHED))
        with reading(self.engine) as connection:
            nameless = {f"{photo_id}-0" for photo_id in connection.scalars(select(PhotoRow.photo_id).where(unclaimed))}
            return nameless | {subject_id for subject_id in connection.scalars(named) if subject_id is not None}

    def forget_subject(self, project_id: str, subject_id: str, *, now: datetime) -> list[str]:
        """Forget whose photos a subject's are, and their consent; names of sealed originals, for the caller to delete.

        Photos of theirs that are not anonymized yet are cancelled, and so is one in which they are a face that nobody
        claimed. Sealed originals that publishing has not discarded yet are discarded; anonymized pictures and what is
        known of their landmarks stay. A worker that has such a photo at the moment loses its claim.
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
    nameless = _NAMELESS.fullmatch(subject_id)
    photo_id = literal(None) if nameless is None else literal(nameless[1])
    return and_(PhotoRow.project_id == project_id, PhotoRow.photo_id == photo_id)


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
    unfinished = and_(PhotoRow.photo_id.in_(photo_ids), PhotoRow.state.in_(_UNFINISHED))
    cancelled = {"state": PhotoState.CANCELLED, "source_address": None, "claimed_until": None, "reason": None}
    connection.execute(update(PhotoRow).where(unfinished).values(cancelled | {"updated_at": now}))
    return names
