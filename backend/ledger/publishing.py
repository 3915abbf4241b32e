"""Handing ready photos over: one publisher per project at a time, and what Label Studio said."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_, update

from backend.errors import ClaimLostError
from backend.ledger import rows
from backend.ledger.book import Book
from backend.ledger.database import writing
from backend.ledger.records import PhotoState
from backend.ledger.tables import ProjectRow


class Publishing(Book):
    """The lease of a project's publisher, and what becomes of photos that it hands over."""

    def begin_publishing(self, project_id: str, *, now: datetime, lease_s: float) -> str | None:
        """Become the project's only publisher for `lease_s`: the lease's token, None while another one is at it."""
        token = secrets.token_hex(16)
        with writing(self.engine) as connection:
            taken = connection.execute(
                update(ProjectRow)
                .where(
                    ProjectRow.project_id == project_id,
                    or_(ProjectRow.publishing_until.is_(None), ProjectRow.publishing_until <= now),
                )
                .values(publishing_until=now + timedelta(seconds=lease_s), publishing_token=token)
            )
            return token if taken.rowcount == 1 else None

    def keep_publishing(self, project_id: str, token: str, *, now: datetime, lease_s: float) -> None:
        """Hold the lease for another `lease_s` from now. Raises `ClaimLostError` once another publisher has it."""
        if not self._lease(project_id, token, publishing_until=now + timedelta(seconds=lease_s)):
            raise ClaimLostError(f"project {project_id} is published by another worker by now")

    def end_publishing(self, project_id: str, token: str) -> None:
        """Let the next publisher in, unless it is there already."""
        self._lease(project_id, token, publishing_until=None, publishing_token=None)

    def published(self, task_ids: Mapping[str, int], *, now: datetime) -> list[str]:
        """Label Studio has these photos: by photo id, the task. Returns the sealed originals that may now be deleted.

        Their names leave the photos and are kept in `discarded_blobs` until `forget_blobs`. Photos that are published
        already stay as they are.
        """
        with writing(self.engine) as connection:
            names = rows.discard_sources(connection, task_ids.keys(), {PhotoState.READY}, now=now)
            for photo_id, task_id in task_ids.items():
                rows.move(
                    connection,
                    photo_id,
                    {PhotoState.READY},
                    state=PhotoState.PUBLISHED,
                    labelstudio_task_id=task_id,
                    source_address=None,
                    reason=None,
                    updated_at=now,
                )
            return names

    def refuse_publishing(self, photo_ids: Collection[str], *, reason: str, now: datetime) -> None:
        """Label Studio will not have these ready photos; a person has to look at them."""
        with writing(self.engine) as connection:
            for photo_id in photo_ids:
                rows.move(
                    connection, photo_id, {PhotoState.READY}, state=PhotoState.FAILED, reason=reason, updated_at=now
                )

    def _lease(self, project_id: str, token: str, **values: Any) -> bool:
        mine = and_(ProjectRow.project_id == project_id, ProjectRow.publishing_token == token)
        with writing(self.engine) as connection:
            return connection.execute(update(ProjectRow).where(mine).values(**values)).rowcount == 1
