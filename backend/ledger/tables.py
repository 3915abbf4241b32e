"""The ledger's tables, accounts included. Changing one takes a migration; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, ForeignKey, Index, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

Id = String(32)
Digest = String(64)


class UtcDateTime(TypeDecorator[datetime]):
    """UTC in the database, aware in Python; a naive datetime is refused, for nobody knows when it is."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Constraints have names, so that migrations can speak of them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime()}


class ProjectRow(Base):
    __tablename__ = "projects"

    project_id: Mapped[str] = mapped_column(Id, primary_key=True)
    title: Mapped[str]
    labelstudio_id: Mapped[int] = mapped_column(unique=True)
    on: Mapped[bool]
    adopts: Mapped[bool]
    revision: Mapped[int]  # of the current policy
    publishing_until: Mapped[datetime | None]  # one publisher at a time, or a photo would be imported twice
    publishing_token: Mapped[str | None] = mapped_column(Id)  # the present publisher's
    refusal: Mapped[str | None]  # Label Studio's, of the whole project
    refused_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class PolicyRow(Base):
    __tablename__ = "policies"

    project_id: Mapped[str] = mapped_column(Id, ForeignKey("projects.project_id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    recovery: Mapped[str]
    pseudonym: Mapped[str]
    strictness: Mapped[str]
    retention_days: Mapped[int | None]
    suggest_expressions: Mapped[bool]
    output_format: Mapped[str]
    created_at: Mapped[datetime]


class PhotoRow(Base):
    __tablename__ = "photos"
    __table_args__ = (
        UniqueConstraint("project_id", "request"),
        Index(None, "project_id", "state", "seq"),
        Index(None, "state", "updated_at"),
        Index(None, "project_id", "labelstudio_task_id"),
        Index(None, "project_id", "subject_id"),
    )

    seq: Mapped[int] = mapped_column(primary_key=True)  # first come, first served
    photo_id: Mapped[str] = mapped_column(Id, unique=True)
    project_id: Mapped[str] = mapped_column(Id, ForeignKey("projects.project_id"))
    request: Mapped[str] = mapped_column(String(160))  # what makes two hand-ins one photo
    state: Mapped[str] = mapped_column(String(16))
    origin: Mapped[str] = mapped_column(String(16))
    source_sha256: Mapped[str] = mapped_column(Digest)
    source_blob: Mapped[str | None]
    labelstudio_task_id: Mapped[int | None] = mapped_column(BigInteger)
    source_address: Mapped[str | None]
    subject_id: Mapped[str | None]
    consent: Mapped[str | None]
    policy_revision: Mapped[int]
    image_key: Mapped[str | None] = mapped_column(String(128), unique=True)
    image_sha256: Mapped[str | None] = mapped_column(Digest)
    image_format: Mapped[str | None] = mapped_column(String(16))
    width_px: Mapped[int | None]
    height_px: Mapped[int | None]
    faces: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    model_version: Mapped[str | None]
    reason: Mapped[str | None]
    attempts: Mapped[int]
    claimed_until: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    work_seconds: Mapped[float | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class PilotRow(Base):
    __tablename__ = "pilots"
    __table_args__ = (Index(None, "project_id", "asked_at"), Index(None, "under_way", unique=True))

    pilot_id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(Id, ForeignKey("projects.project_id"))
    under_way: Mapped[str | None] = mapped_column(Id)  # the project, until it has ended: one at a time
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None]
    approved: Mapped[int]
    measured: Mapped[int]
    reports: Mapped[dict[str, str]] = mapped_column(JSON)  # by language, the blob
    attempts: Mapped[int]  # counts the claims
    claimed_until: Mapped[datetime | None]
    next_at: Mapped[datetime]  # when a worker should look again
    asked_at: Mapped[datetime]
    requested_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    measuring_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class PilotPhotoRow(Base):
    __tablename__ = "pilot_photos"
    __table_args__ = (Index(None, "photo_id"),)

    pilot_id: Mapped[str] = mapped_column(Id, ForeignKey("pilots.pilot_id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    photo_id: Mapped[str] = mapped_column(Id, ForeignKey("photos.photo_id"))
    request_id: Mapped[str | None] = mapped_column(Id)  # the admin's


class DiscardedBlobRow(Base):
    """Sealed originals that nothing needs any more, written down in the step that stopped needing them: a crash before
    the storage has deleted one does not keep it for ever."""

    __tablename__ = "discarded_blobs"

    name: Mapped[str] = mapped_column(primary_key=True)
    discarded_at: Mapped[datetime]


class AccountRow(Base):
    __tablename__ = "accounts"
    __table_args__ = (Index(None, "openid_issuer", "openid_subject", unique=True),)

    account_id: Mapped[str] = mapped_column(Id, primary_key=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)
    password_hash: Mapped[str]
    must_change: Mapped[bool]  # the password was made by us and shown once
    roles: Mapped[list[str]] = mapped_column(JSON)
    on: Mapped[bool]
    session_version: Mapped[int]  # counts what ends all sessions
    failures: Mapped[int]  # in a row
    locked_until: Mapped[datetime | None]
    enrolment: Mapped[int]  # counts the second factors that were set up, or begun to be
    enrolled: Mapped[bool]  # the last one holds
    last_step: Mapped[int | None]  # of the last one-time code: it and older ones are used up
    wrong_codes: Mapped[int]  # in a row
    openid_issuer: Mapped[str | None]
    openid_subject: Mapped[str | None]
    voucher: Mapped[str | None] = mapped_column(Digest)  # the admin's, for what the account may do there
    created_at: Mapped[datetime]


class TokenRow(Base):
    __tablename__ = "tokens"

    token_id: Mapped[str] = mapped_column(Id, primary_key=True)
    account_id: Mapped[str] = mapped_column(Id, ForeignKey("accounts.account_id"))
    token_sha256: Mapped[str] = mapped_column(Digest, unique=True)
    scope: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime | None]
    voucher: Mapped[str | None] = mapped_column(Digest)
    created_at: Mapped[datetime]
