"""The frozen values of custody. What is secret or large stays out of their repr, and so out of every log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from backend import unclaimed
from backend.errors import CustodyError

SEED_BYTES = 32
MAX_SUBJECT_CHARACTERS = 200

_HEX32 = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Detail = Mapping[str, "str | int | float | bool"]
"""What an event says beyond its target: ids and numbers only, never a name, a path or an address."""


@dataclass(frozen=True, slots=True)
class SubjectRef:
    """One person within one project. `subject_id` may be somebody's name, so that it is never shown.

    Raises `CustodyError` for an empty or overlong subject, or one with control characters.
    """

    project_id: str
    subject_id: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _HEX32.fullmatch(self.project_id):
            raise CustodyError("a project id has 32 hexadecimal digits")
        if not 0 < len(self.subject_id) <= MAX_SUBJECT_CHARACTERS or not self.subject_id.isprintable():
            raise CustodyError(f"a subject id has 1 to {MAX_SUBJECT_CHARACTERS} printable characters")

    @property
    def covering(self) -> tuple[SubjectRef, ...]:
        """Whose withdrawal is theirs as well: their own and, for a face that nobody claimed, that of everybody whom
        nobody claimed on its photo."""
        photo_id = unclaimed.photo_of(self.subject_id)
        if photo_id is None or self.subject_id == unclaimed.everybody(photo_id):
            return (self,)
        return (self, SubjectRef(self.project_id, unclaimed.everybody(photo_id)))


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A subject's key pair and the seed of the subject's new face.

    `public_key` seals the subject's records; `sealed_private_key` is the other half, sealed to the master key;
    `identity_seed` has 32 bytes. Shredding empties the last two and sets `shredded_at`.
    """

    ref: SubjectRef
    public_key: bytes = field(repr=False)
    sealed_private_key: bytes = field(repr=False)
    identity_seed: bytes = field(repr=False)
    created_at: datetime
    shredded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """One face's recovery payload, sealed to its subject; `face_index` None is the remainder of a lossy file.

    `payload_sha256` is the digest of the payload before it was sealed, `anonymized_sha256` that of the anonymized image
    it belongs to (both 64 hexadecimal digits). Raises `CustodyError` for ids that are none.
    """

    record_id: str
    subject: SubjectRef
    photo_id: str
    face_index: int | None
    sealed: bytes = field(repr=False)
    payload_sha256: str
    anonymized_sha256: str
    model_version: str
    created_at: datetime
    expires_at: datetime | None

    def __post_init__(self) -> None:
        if not _HEX32.fullmatch(self.record_id) or not _HEX32.fullmatch(self.photo_id):
            raise CustodyError("a record id and a photo id have 32 hexadecimal digits")
        if not _SHA256.fullmatch(self.payload_sha256) or not _SHA256.fullmatch(self.anonymized_sha256):
            raise CustodyError("a sha256 has 64 hexadecimal digits")
        if self.face_index is not None and self.face_index < 0:
            raise CustodyError("a face index is not negative")


class RequestKind(StrEnum):
    """What is asked for."""

    RECOVERY = "recovery"  # faces of one photo
    ACCESS = "access"  # a subject's copy of their own photos


class RequestState(StrEnum):
    """Where a request is on its way. The first two can still change."""

    OPEN = "open"  # waits for approvals
    APPROVED = "approved"  # can be retrieved, once, until it expires
    REFUSED = "refused"
    CANCELLED = "cancelled"  # by whoever asked
    RETRIEVED = "retrieved"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class RecoveryRequest:
    """Somebody's wish to see originals, and what became of it.

    A recovery names a photo and its faces; an access names a subject. `reason` and `reference` (of the dispute) are
    their words and stay out of the audit log. `expires_at`: until it is approved, the end of deciding; then, the end of
    retrieving. `vouched`: the admin has made it what it is (see `vouching`).
    """

    request_id: str
    kind: RequestKind
    project_id: str
    photo_id: str | None
    face_indices: tuple[int, ...]
    subject_id: str | None = field(repr=False)
    requested_by: str
    reason: str = field(repr=False)
    reference: str | None = field(repr=False)
    labelstudio_task_id: int | None
    approvals_needed: int
    approved_by: tuple[str, ...]
    state: RequestState
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None = None
    retrieved_at: datetime | None = None
    vouched: bool = False


class WithdrawalState(StrEnum):
    """Where a withdrawal of consent is."""

    PENDING = "pending"  # can be taken back until it is due; nothing of the subject is opened meanwhile
    CANCELLED = "cancelled"
    SHREDDED = "shredded"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A subject's consent taken back. `pseudonym` is the subject's keyed hash; `subject_id` is gone once shredded."""

    withdrawal_id: str
    project_id: str
    subject_id: str | None = field(repr=False)
    pseudonym: str
    requested_by: str
    state: WithdrawalState
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What somebody did or is about to do, before the audit log gives it its place and time."""

    actor: str
    action: str
    target: str
    detail: Detail = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One link of the audit log. `hash` covers all other fields; `previous_hash` is the hash of the event before."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    detail: Detail
    previous_hash: str
    hash: str
