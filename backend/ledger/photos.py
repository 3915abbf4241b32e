"""Photos looked up and counted; nothing here changes one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select

from backend.ledger import rows
from backend.ledger.book import Book
from backend.ledger.database import reading
from backend.ledger.records import Photo, PhotoState, Progress
from backend.ledger.tables import PhotoRow, ProjectRow

_OVERDUE_AFTER = timedelta(seconds=30)  # longer than a healthy queue takes to hand a photo on
_RATE_WINDOW = timedelta(minutes=10)


class Photos(Book):
    """Where photos are on their way."""

    def photo(self, photo_id: str) -> Photo:
        """The photo of this id."""
        with reading(self.engine) as connection:
            return rows.photo(connection, photo_id)

    def photos(
        self, project_id: str, *, state: PhotoState | None = None, after: str | None = None, limit: int = 100
    ) -> list[Photo]:
        """A page of a project's photos, oldest first: those behind the photo `after`, at most `limit`."""
        conditions: list[ColumnElement[bool]] = [PhotoRow.project_id == project_id]
        if state is not None:
            conditions.append(PhotoRow.state == state)
        if after is not None:
            conditions.append(PhotoRow.seq > select(PhotoRow.seq).where(PhotoRow.photo_id == after).scalar_subquery())
        return self._photos(*conditions, limit=limit)

    def failures(self, project_id: str, *, limit: int = 1000) -> list[Photo]:
        """The photos that a person has to look at, with reasons, oldest first."""
        return self.photos(project_id, state=PhotoState.FAILED, limit=limit)

    def photo_of_image(self, image_key: str) -> Photo | None:
        """The photo that Label Studio knows by `image_key`."""
        found = self._photos(PhotoRow.image_key == image_key, limit=1)
        return found[0] if found else None

    def photos_of_images(self, image_keys: Collection[str]) -> dict[str, Photo]:
        """By image key, those that are there."""
        found = self._photos(PhotoRow.image_key.in_(image_keys), limit=len(image_keys))
        return {photo.image_key: photo for photo in found if photo.image_key is not None}

    def photos_of_tasks(self, labelstudio_project_id: int, task_ids: Collection[int]) -> dict[int, Photo]:
        """By the id of the Label Studio task, those that are there."""
        found = self._photos(
            PhotoRow.labelstudio_task_id.in_(task_ids),
            PhotoRow.project_id.in_(
                select(ProjectRow.project_id).where(ProjectRow.labelstudio_id == labelstudio_project_id)
            ),
            limit=None,
        )
        return {photo.labelstudio_task_id: photo for photo in found if photo.labelstudio_task_id is not None}

    def count_of_subject(self, project_id: str, subject_id: str) -> int:
        """How many photos of a subject there are, whatever became of them."""
        theirs = PhotoRow.project_id == project_id, PhotoRow.subject_id == subject_id
        with reading(self.engine) as connection:
            return connection.scalar(select(func.count()).select_from(PhotoRow).where(*theirs)) or 0

    def ready_photos(self, project_id: str, limit: int = 50) -> list[Photo]:
        """Photos that are locked and stored and that Label Studio does not have yet, oldest first."""
        return self.photos(project_id, state=PhotoState.READY, limit=limit)

    def overdue(self, *, now: datetime, limit: int = 1000) -> list[Photo]:
        """Photos of projects that are on which should have moved on by now, oldest first.

        Waiting or ready for 30 s and more, or in the hands of a worker whose lease has lapsed.
        """
        stale = now - _OVERDUE_AFTER
        return self._photos(
            PhotoRow.project_id.in_(select(ProjectRow.project_id).where(ProjectRow.on)),
            or_(
                and_(PhotoRow.state.in_((PhotoState.WAITING, PhotoState.READY)), PhotoRow.updated_at <= stale),
                and_(PhotoRow.state == PhotoState.WORKING, PhotoRow.claimed_until <= now),
            ),
            limit=limit,
        )

    def progress(self, project_id: str, *, now: datetime) -> Progress:
        """Counts per state; the rate is that of the last ten minutes and unknown before two photos are done."""
        with reading(self.engine) as connection:
            rows.project(connection, project_id)
            mine = PhotoRow.project_id == project_id
            counted = connection.execute(select(PhotoRow.state, func.count()).where(mine).group_by(PhotoRow.state))
            counts = {PhotoState(state): number for state, number in counted}
            recent = and_(mine, PhotoRow.ready_at > now - _RATE_WINDOW)
            done, first_at = connection.execute(select(func.count(), func.min(PhotoRow.ready_at)).where(recent)).one()
        seconds = 0.0 if first_at is None else (now - first_at).total_seconds()
        rate = (done - 1) * 60.0 / seconds if done >= 2 and seconds > 0 else None
        left = counts.get(PhotoState.WAITING, 0) + counts.get(PhotoState.WORKING, 0)
        return Progress(
            **{state.value: counts.get(state, 0) for state in PhotoState},
            rate_per_minute=rate,
            seconds_left=0.0 if left == 0 else (None if rate is None else left * 60.0 / rate),
        )

    def _photos(self, *conditions: ColumnElement[bool], limit: int | None) -> list[Photo]:
        with reading(self.engine) as connection:
            found = connection.execute(rows.PHOTOS.where(*conditions).order_by(PhotoRow.seq).limit(limit))
            return [rows.to_photo(row) for row in found]
