"""Made-up photos, subjects and records for tests of custody. Nobody is behind them."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

from backend.custody import seal
from backend.custody.records import NewEvent, SealedRecord, SubjectKey, SubjectRef
from backend.custody.seal import KeyPair

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
PROJECT = "a" * 32
PHOTO = "b" * 32
ANONYMIZED = hashlib.sha256(b"anonymized").hexdigest()
SUBJECT = SubjectRef(PROJECT, "Ada Example")
SEALED = NewEvent("worker", "photo.sealed", PHOTO, {"faces": 2, "anonymized_sha256": ANONYMIZED})


def subject_key(master: KeyPair, ref: SubjectRef = SUBJECT) -> tuple[SubjectKey, KeyPair]:
    """A subject's key as the keyring would make it, and the pair it was made of."""
    pair = seal.generate_key_pair()
    sealed = seal.seal(master.public_key, pair.private_key, context=seal.subject_key_context(ref))
    return SubjectKey(ref, pair.public_key, sealed, bytes(32), NOW), pair


def record(
    key: SubjectKey,
    payload: bytes = b"pixels",
    *,
    face_index: int | None = 0,
    photo_id: str = PHOTO,
    anonymized_sha256: str = ANONYMIZED,
    expires_at: datetime | None = None,
) -> SealedRecord:
    """A payload sealed for the subject, as the worker does it."""
    return seal.seal_record(
        key,
        payload,
        record_id=secrets.token_hex(16),
        photo_id=photo_id,
        face_index=face_index,
        anonymized_sha256=anonymized_sha256,
        model_version="g2face-1",
        now=NOW,
        expires_at=expires_at,
    )
