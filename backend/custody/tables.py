"""The tables of custody's two databases. They are apart so that destroying a key reaches every copy of it: a backup of
the vault holds no key, and the small database of keys can be kept by rules of its own.

A change adds a step to `Schema.steps` that brings a database of the version before to the tables as they stand here;
a new database gets those at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    inspect,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. SQLite forgets the zone, so that everything goes in as UTC and comes out as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


@dataclass(frozen=True)
class Schema:
    """The tables of one database and the steps that older ones take to get there."""

    metadata: MetaData
    version_table: Table
    steps: tuple[Callable[[Connection], None], ...] = ()

    @property
    def version(self) -> int:
        """The version of the tables as they stand here."""
        return 1 + len(self.steps)


def _version_table(name: str, metadata: MetaData) -> Table:
    return Table(name, metadata, Column("version", Integer, primary_key=True, autoincrement=False))


def _add_requests_and_withdrawals(connection: Connection) -> None:
    _vault.create_all(connection, tables=[recovery_requests, approvals, withdrawals])


def _add_vouchers(connection: Connection) -> None:
    if "voucher" not in {column["name"] for column in inspect(connection).get_columns("recovery_requests")}:
        connection.exec_driver_sql("ALTER TABLE recovery_requests ADD COLUMN voucher VARCHAR(64)")


def _add_retired_master_keys(connection: Connection) -> None:
    _keys.create_all(connection, tables=[retired_master_keys])


_vault, _keys = MetaData(), MetaData()
VAULT = Schema(_vault, _version_table("vault_version", _vault), steps=(_add_requests_and_withdrawals, _add_vouchers))
KEYS = Schema(_keys, _version_table("keyring_version", _keys), steps=(_add_retired_master_keys,))

REMAINDER_INDEX = -1
"""Stands for "no face" in `sealed_records.face_index`: NULL would be unequal to itself and stored twice."""

sealed_records = Table(
    "sealed_records",
    _vault,
    Column("record_id", String(32), primary_key=True),
    Column("project_id", String(32), nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("photo_id", String(32), nullable=False),
    Column("face_index", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("payload_sha256", String(64), nullable=False),
    Column("anonymized_sha256", String(64), nullable=False),
    Column("model_version", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    UniqueConstraint("photo_id", "face_index", "anonymized_sha256"),
    Index("sealed_records_of_subject", "project_id", "subject_id"),
    Index("sealed_records_expiry", "expires_at"),
)

recovery_requests = Table(
    "recovery_requests",
    _vault,
    Column("request_id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("project_id", String(32), nullable=False),
    Column("photo_id", String(32)),
    Column("face_indices", Text, nullable=False),  # a JSON list
    Column("subject_id", Text),  # whose photos, in a subject's access; emptied when the subject is shredded
    Column("requested_by", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("reference", Text),
    Column("labelstudio_task_id", BigInteger),
    Column("approvals_needed", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("retrieved_at", UtcDateTime),
    Column("voucher", String(64)),  # the admin's, for all that the request says and who approved it
    Index("recovery_requests_of_state", "state", "expires_at"),
)

approvals = Table(
    "approvals",
    _vault,
    Column("request_id", String(32), primary_key=True),
    Column("account_id", String(32), primary_key=True),  # nobody counts twice
    Column("approved_at", UtcDateTime, nullable=False),
)

withdrawals = Table(
    "withdrawals",
    _vault,
    Column("withdrawal_id", String(32), primary_key=True),
    Column("project_id", String(32), nullable=False),
    Column("subject_id", Text),  # emptied when the subject is shredded
    Column("pseudonym", String(64), nullable=False),  # the subject's keyed hash, which stays
    Column("requested_by", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index("withdrawals_due", "state", "due_at"),
    Index("withdrawals_of_subject", "project_id", "pseudonym"),
)

audit_events = Table(
    "audit_events",
    _vault,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),  # as it is hashed
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False),  # as it is hashed
    Column("previous_hash", String(64), nullable=False, unique=True),  # a chain does not fork
    Column("hash", String(64), nullable=False),
    Index("audit_events_of_target", "target", "action"),
)

subject_keys = Table(
    "subject_keys",
    _keys,
    Column("project_id", String(32), primary_key=True),
    Column("subject_id", Text, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sealed_private_key", LargeBinary),
    Column("identity_seed", LargeBinary),
    Column("created_at", UtcDateTime, nullable=False),
    Column("shredded_at", UtcDateTime),
    CheckConstraint(
        "(shredded_at IS NULL) = (sealed_private_key IS NOT NULL) "
        "AND (shredded_at IS NULL) = (identity_seed IS NOT NULL)",
        name="shredded_or_whole",
    ),
)

retired_master_keys = Table(
    "retired_master_keys",
    _keys,
    Column("key_id", String(16), primary_key=True),  # no subject key is sealed to these any more
    Column("retired_at", UtcDateTime, nullable=False),
)

_APPEND_ONLY = {
    "sqlite": tuple(
        f"CREATE TRIGGER audit_events_no_{change.lower()} BEFORE {change} ON audit_events "
        "BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END"
        for change in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION audit_events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit_events is append-only'; END $$",
        "CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse()",
    ),
}


@event.listens_for(audit_events, "after_create")
def _make_append_only(_table: Table, connection: Connection, **_: object) -> None:
    """Nothing in this program changes the audit log, and the database refuses it to other programs' mistakes."""
    for statement in _APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)
