"""Which of an account's sessions are still good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    version = sa.Column("session_version", sa.Integer(), nullable=False, server_default="0")
    op.add_column("accounts", version)


def downgrade() -> None:
    op.drop_column("accounts", "session_version")
