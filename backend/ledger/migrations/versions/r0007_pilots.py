"""Pilots, and how long a photo took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("photos", sa.Column("work_seconds", sa.Double(), nullable=True))
    op.create_table(
        "pilots",
        sa.Column("pilot_id", sa.String(32), nullable=False),
        sa.Column("project_id", sa.String(32), nullable=False),
        sa.Column("under_way", sa.String(32), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("approved", sa.Integer(), nullable=False),
        sa.Column("measured", sa.Integer(), nullable=False),
        sa.Column("reports", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_until", sa.DateTime(), nullable=True),
        sa.Column("next_at", sa.DateTime(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("requested_at", sa.DateTime(), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("measuring_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("pilot_id", name=op.f("pk_pilots")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_pilots_project_id")),
    )
    op.create_index("ix_pilots_project_id_asked_at", "pilots", ["project_id", "asked_at"])
    op.create_index("ix_pilots_under_way", "pilots", ["under_way"], unique=True)
    op.create_table(
        "pilot_photos",
        sa.Column("pilot_id", sa.String(32), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("photo_id", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("pilot_id", "place", name=op.f("pk_pilot_photos")),
        sa.ForeignKeyConstraint(["pilot_id"], ["pilots.pilot_id"], name=op.f("fk_pilot_photos_pilot_id")),
        sa.ForeignKeyConstraint(["photo_id"], ["photos.photo_id"], name=op.f("fk_pilot_photos_photo_id")),
    )
    op.create_index("ix_pilot_photos_photo_id", "pilot_photos", ["photo_id"])


def downgrade() -> None:
    op.drop_table("pilot_photos")
    op.drop_table("pilots")
    op.drop_column("photos", "work_seconds")
