"""A worker's steps: a photo is claimed for a while, kept, and made ready, put back or given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_, select, update

from backend.errors import ClaimLostError
from backend.ledger import rows
from backend.ledger.book import Book
from backend.ledger.database import writing
from backend.ledger.records import FaceNote, OutputFormat, Photo, PhotoState
from backend.ledger.tables import PhotoRow, ProjectRow


class Claims(Book):
    """What a worker does to a photo that is in its hands; once it is not, `ClaimLostError` says so."""

    def claim(self, photo_id: str, *, revision: int, now: datetime, lease_s: float) -> Photo | None:
        """Take up a photo for `lease_s`; None when it is not to be had: somebody has it, it is done or cancelled, its
        revision is another one or its project is off."""
        free = or_(
            PhotoRow.state == PhotoState.WAITING,
            and_(PhotoRow.state == PhotoState.WORKING, PhotoRow.claimed_until <= now),
        )
        with writing(self.engine) as connection:
            taken = connection.execute(
                update(PhotoRow)
                .where(
                    PhotoRow.photo_id == photo_id,
                    PhotoRow.policy_revision == revision,
                    free,
                    PhotoRow.project_id.in_(select(ProjectRow.project_id).where(ProjectRow.on)),
                )
                .values(
                    state=PhotoState.WORKING,
                    attempts=PhotoRow.attempts + 1,
                    claimed_until=now + timedelta(seconds=lease_s),
                    updated_at=now,
                )
            )
            return rows.photo(connection, photo_id) if taken.rowcount == 1 else None

    def extend(self, photo_id: str, *, now: datetime, lease_s: float, attempt: int | None = None) -> None:
        """Keep a claim for another `lease_s` from now. `attempt` is the claim's `Photo.attempts`: with it, a claim that
        another worker has taken over since is noticed."""
        self._step(photo_id, attempt, claimed_until=now + timedelta(seconds=lease_s), updated_at=now)

    def ready(
        self,
        photo_id: str,
        *,
        image_key: str,
        image_sha256: str,
        image_format: OutputFormat,
        width_px: int,
        height_px: int,
        faces: Sequence[FaceNote],
        model_version: str,
        now: datetime,
        source_sha256: str | None = None,
        work_seconds: float | None = None,
        attempt: int | None = None,
    ) -> None:
        """Everything is locked and the image stored under its sha256. `source_sha256` corrects an adopted photo's."""
        values: dict[str, Any] = {} if source_sha256 is None else {"source_sha256": source_sha256}
        self._step(
            photo_id,
            attempt,
            state=PhotoState.READY,
            image_key=image_key,
            image_sha256=image_sha256,
            image_format=image_format,
            width_px=width_px,
            height_px=height_px,
            faces=[face.to_json() for face in faces],
            model_version=model_version,
            reason=None,
            claimed_until=None,
            ready_at=now,
            work_seconds=work_seconds,
            updated_at=now,
            **values,
        )

    def postpone(self, photo_id: str, *, reason: str, now: datetime, attempt: int | None = None) -> None:
        """Put a claimed photo back, to be tried again."""
        self._step(photo_id, attempt, state=PhotoState.WAITING, reason=reason, claimed_until=None, updated_at=now)

    def fail(self, photo_id: str, *, reason: str, now: datetime, attempt: int | None = None) -> None:
        """Give a claimed photo up until a person looks at it. Its sealed original stays, for another try."""
        self._step(photo_id, attempt, state=PhotoState.FAILED, reason=reason, claimed_until=None, updated_at=now)

    def _step(self, photo_id: str, attempt: int | None, **values: Any) -> None:
        with writing(self.engine) as connection:
            if not rows.move(connection, photo_id, {PhotoState.WORKING}, attempt=attempt, **values):
                rows.photo(connection, photo_id)
                raise ClaimLostError(f"photo {photo_id} is no longer in this worker's hands")
