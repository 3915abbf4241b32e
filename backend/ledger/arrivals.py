"""Photos coming in: the same one twice is one."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, or_
from sqlalchemy.exc import IntegrityError

from backend import unclaimed
from backend.errors import LedgerError
from backend.ledger import rows
from backend.ledger.book import Book
from backend.ledger.database import reading, writing
from backend.ledger.records import Origin, Photo, PhotoState
from backend.ledger.tables import PhotoRow


class Arrivals(Book):
    """What managers hand in and what is taken over from Label Studio."""

    def add_photo(
        self,
        project_id: str,
        *,
        origin: Origin,
        source_sha256: str,
        now: datetime,
        source_blob: str | None = None,
        labelstudio_task_id: int | None = None,
        source_address: str | None = None,
        subject_id: str | None = None,
        consent: str | None = None,
    ) -> tuple[Photo, bool]:
        """Hand in a photo: (the photo, whether there is work to do that was not there before).

        The same bytes of the same subject, or the same task of Label Studio, are the photo that is there already; then
        `source_blob` belongs to nobody and is the caller's to delete. A cancelled photo comes back to life instead.
        """
        if not (subject_id or "").isprintable() or not (consent or "").isprintable():
            raise LedgerError("the subject's id and the consent are single lines of text")
        if unclaimed.photo_of(subject_id or "") is not None:
            raise LedgerError("this subject's id stands for an unclaimed face of a photo")
        request = _request(origin, source_sha256, subject_id, labelstudio_task_id)
        handed_in: dict[str, Any] = {
            "source_sha256": source_sha256,
            "source_blob": source_blob,
            "source_address": source_address,
            "consent": consent,
            "state": PhotoState.WAITING,
            "reason": None,
            "attempts": 0,
            "updated_at": now,
        }
        identity = {"project_id": project_id, "request": request, "origin": origin, "subject_id": subject_id}
        try:
            with writing(self.engine) as connection:
                handed_in["policy_revision"] = rows.project(connection, project_id).policy.revision
                there = _same(connection, project_id, request, labelstudio_task_id)
                if there is None:
                    photo_id = self._new_id()
                    row = handed_in | identity | {"labelstudio_task_id": labelstudio_task_id, "created_at": now}
                    connection.execute(insert(PhotoRow).values(**row, photo_id=photo_id, faces=[]))
                    return rows.photo(connection, photo_id), True
                revived = rows.move(connection, there.photo_id, {PhotoState.CANCELLED}, **handed_in)
                return rows.photo(connection, there.photo_id), revived
        except IntegrityError:  # another process handed it in at the same moment
            with reading(self.engine) as connection:
                there = _same(connection, project_id, request, labelstudio_task_id)
            if there is None:
                raise LedgerError("a photo was handed in twice at once and is gone") from None
            return there, False


def _request(origin: Origin, source_sha256: str, subject_id: str | None, labelstudio_task_id: int | None) -> str:
    """What makes two hand-ins one photo."""
    if origin == "adoption":
        if labelstudio_task_id is None:
            raise LedgerError("an adopted photo comes with its Label Studio task")
        return f"task:{labelstudio_task_id}"
    subject = "" if subject_id is None else hashlib.sha256(subject_id.encode()).hexdigest()
    return f"intake:{source_sha256}:{subject}"


def _same(connection: Connection, project_id: str, request: str, labelstudio_task_id: int | None) -> Photo | None:
    same = PhotoRow.request == request
    if labelstudio_task_id is not None:
        same = or_(same, PhotoRow.labelstudio_task_id == labelstudio_task_id)
    row = connection.execute(rows.PHOTOS.where(PhotoRow.project_id == project_id, same).order_by(PhotoRow.seq)).first()
    return None if row is None else rows.to_photo(row)
