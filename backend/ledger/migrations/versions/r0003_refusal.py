"""What Label Studio said when it would not take anything for a project."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("refusal", sa.String(), nullable=True))
    op.add_column("projects", sa.Column("refused_at", sa.DateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("projects", "refused_at")
    op.drop_column("projects", "refusal")
