"""A subject's photos are found without reading all of a project's."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEX = "ix_photos_project_id_subject_id"


def upgrade() -> None:
    op.create_index(_INDEX, "photos", ["project_id", "subject_id"])


def downgrade() -> None:
    op.drop_index(_INDEX, "photos")
