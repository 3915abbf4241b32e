"""Alembic runs this. The connection is handed over by `backend.ledger.database.upgrade`, in its transaction."""

from __future__ import annotations

from alembic import context

from backend.ledger.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
