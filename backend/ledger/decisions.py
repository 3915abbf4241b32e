"""What a person decides: another try, the end of what has not begun. Also what may be deleted by then."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, delete, select, update

from backend.errors import LedgerError
from backend.ledger import rows
from backend.ledger.book import Book
from backend.ledger.database import reading, writing
from backend.ledger.records import Photo, PhotoState
from backend.ledger.tables import DiscardedBlobRow, PhotoRow


class Decisions(Book):
    """Retrying, cancelling, and sealed originals on their way out."""

    def retry(self, photo_id: str, *, now: datetime) -> Photo:
        """Try a failed photo again, under the project's current policy. Raises `LedgerError` if it has not failed."""
        with writing(self.engine) as connection:
            photo = rows.photo(connection, photo_id)
            moved = rows.move(
                connection,
                photo_id,
                {PhotoState.FAILED},
                state=PhotoState.WAITING,
                policy_revision=rows.project(connection, photo.project_id).policy.revision,
                attempts=0,
                reason=None,
                updated_at=now,
            )
            if not moved:
                raise LedgerError(f"photo {photo_id} has not failed")
            return rows.photo(connection, photo_id)

    def cancel(self, project_id: str, *, now: datetime) -> int:
        """Cancel what no worker has taken up yet and what has failed; how many photos that were.

        Their sealed originals are discarded.
        """
        states = {PhotoState.WAITING, PhotoState.FAILED}
        with writing(self.engine) as connection:
            rows.project(connection, project_id)
            condition = and_(PhotoRow.project_id == project_id, PhotoRow.state.in_(states))
            photo_ids = list(connection.scalars(select(PhotoRow.photo_id).where(condition).with_for_update()))
            rows.discard_sources(connection, photo_ids, states, now=now)
            values = {"state": PhotoState.CANCELLED, "source_address": None, "updated_at": now}
            return connection.execute(update(PhotoRow).where(condition).values(**values)).rowcount

    def forget_source(self, photo_id: str, *, now: datetime) -> str | None:
        """Discard a photo's sealed original and its former address; the blob's name, for the caller to delete."""
        with writing(self.engine) as connection:
            photo = rows.photo(connection, photo_id)
            names = rows.discard_sources(connection, [photo_id], set(PhotoState), now=now)
            connection.execute(update(PhotoRow).where(PhotoRow.photo_id == photo_id).values(source_address=None))
            return names[0] if names else photo.source_blob

    def discarded_blobs(self, *, limit: int = 1000) -> list[str]:
        """Names of sealed originals that nothing needs any more and that may still lie in storage."""
        with reading(self.engine) as connection:
            oldest = select(DiscardedBlobRow.name).order_by(DiscardedBlobRow.discarded_at).limit(limit)
            return list(connection.scalars(oldest))

    def forget_blobs(self, names: Collection[str]) -> None:
        """These are deleted from storage."""
        with writing(self.engine) as connection:
            connection.execute(delete(DiscardedBlobRow).where(DiscardedBlobRow.name.in_(names)))
