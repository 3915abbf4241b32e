"""Projects, policies, photos, discarded blobs, accounts and tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("on", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("email", name=op.f("uq_accounts_email")),
    )
    op.create_table(
        "discarded_blobs",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("discarded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_discarded_blobs")),
    )
    op.create_table(
        "projects",
        sa.Column("project_id", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("labelstudio_id", sa.Integer(), nullable=False),
        sa.Column("on", sa.Boolean(), nullable=False),
        sa.Column("adopts", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("publishing_until", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_projects")),
        sa.UniqueConstraint("labelstudio_id", name=op.f("uq_projects_labelstudio_id")),
    )
    op.create_table(
        "photos",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("photo_id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=32), nullable=False),
        sa.Column("request", sa.String(length=160), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("source_blob", sa.String(), nullable=True),
        sa.Column("labelstudio_task_id", sa.BigInteger(), nullable=True),
        sa.Column("source_address", sa.String(), nullable=True),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("consent", sa.String(), nullable=True),
        sa.Column("policy_revision", sa.Integer(), nullable=False),
        sa.Column("image_key", sa.String(length=128), nullable=True),
        sa.Column("image_sha256", sa.String(length=64), nullable=True),
        sa.Column("image_format", sa.String(length=16), nullable=True),
        sa.Column("width_px", sa.Integer(), nullable=True),
        sa.Column("height_px", sa.Integer(), nullable=True),
        sa.Column("faces", sa.JSON(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_until", sa.DateTime(), nullable=True),
        sa.Column("ready_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_photos_project_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_photos")),
        sa.UniqueConstraint("image_key", name=op.f("uq_photos_image_key")),
        sa.UniqueConstraint("photo_id", name=op.f("uq_photos_photo_id")),
        sa.UniqueConstraint("project_id", "request", name=op.f("uq_photos_project_id_request")),
    )
    op.create_index(
        op.f("ix_photos_project_id_labelstudio_task_id"), "photos", ["project_id", "labelstudio_task_id"], unique=False
    )
    op.create_index(op.f("ix_photos_project_id_state_seq"), "photos", ["project_id", "state", "seq"], unique=False)
    op.create_index(op.f("ix_photos_state_updated_at"), "photos", ["state", "updated_at"], unique=False)
    op.create_table(
        "policies",
        sa.Column("project_id", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("recovery", sa.String(), nullable=False),
        sa.Column("pseudonym", sa.String(), nullable=False),
        sa.Column("strictness", sa.String(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.Column("suggest_expressions", sa.Boolean(), nullable=False),
        sa.Column("output_format", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_policies_project_id")),
        sa.PrimaryKeyConstraint("project_id", "revision", name=op.f("pk_policies")),
    )
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_tokens_account_id")),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_tokens_token_sha256")),
    )


def downgrade() -> None:
    op.drop_table("tokens")
    op.drop_table("policies")
    op.drop_table("photos")
    op.drop_table("projects")
    op.drop_table("discarded_blobs")
    op.drop_table("accounts")
