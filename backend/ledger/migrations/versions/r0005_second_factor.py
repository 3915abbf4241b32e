"""A second factor for an account, who it is at an OpenID provider, and what the admin vouches for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INDEX = "ix_accounts_openid_issuer_openid_subject"


def upgrade() -> None:
    for column in (
        sa.Column("enrolment", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("enrolled", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("last_step", sa.Integer(), nullable=True),
        sa.Column("wrong_codes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("openid_issuer", sa.String(), nullable=True),
        sa.Column("openid_subject", sa.String(), nullable=True),
        sa.Column("voucher", sa.String(64), nullable=True),
    ):
        op.add_column("accounts", column)
    op.add_column("tokens", sa.Column("voucher", sa.String(64), nullable=True))
    op.create_index(_INDEX, "accounts", ["openid_issuer", "openid_subject"], unique=True)


def downgrade() -> None:
    op.drop_index(_INDEX, "accounts")
    op.drop_column("tokens", "voucher")
    for name in ("voucher", "openid_subject", "openid_issuer", "wrong_codes", "last_step", "enrolled", "enrolment"):
        op.drop_column("accounts", name)
