"""Whose a publishing lease is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("publishing_token", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("projects", "publishing_token")
