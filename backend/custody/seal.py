"""The PUBLIC side of custody: whoever has a public key can lock, and cannot open again.

Sealing is HPKE (RFC 9180) in its hybrid post-quantum suite: ML-KEM-768 with X25519, HKDF-SHA256, AES-256-GCM. A sealed
value ("sealed_v1") is a header and HPKE's own output. The header names the format, the suite by its registered numbers
and the key that opens it, so that keys can be changed one by one. Header and context are authenticated: a sealed value
opens only as what it was sealed as.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from backend.custody.records import SealedRecord, SubjectKey, SubjectRef
from backend.errors import CustodyError

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
PUBLIC_KEY_BYTES = 1216  # ML-KEM-768's 1184 and X25519's 32
PRIVATE_KEY_BYTES = 96  # the seed of ML-KEM-768's key and X25519's scalar
KEY_ID_BYTES = 8

_MLKEM_PUBLIC_BYTES = 1184
_MAGIC, _VERSION = b"G2FS", 1
_SUITE_NUMBERS = (0x647A, 0x0001, 0x0002)  # KEM, KDF and AEAD in the HPKE registry
_HEADER = struct.Struct(f">4sBHHH{KEY_ID_BYTES}s")
HEADER_BYTES = _HEADER.size
ID_AT = HEADER_BYTES - KEY_ID_BYTES  # where in the header the key's id begins


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both halves of a key; the private one is never shown."""

    public_key: bytes = field(repr=False)
    private_key: bytes = field(repr=False)


def generate_key_pair() -> KeyPair:
    """A new random key pair: 1216 public bytes, 96 private ones."""
    mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return KeyPair(public, mlkem.private_bytes_raw() + x25519.private_bytes_raw())


def key_id(public_key: bytes) -> bytes:
    """8 bytes that name a public key. They lie open in the header of everything that is sealed to it."""
    return hashlib.sha256(b"g2face key id v1" + public_key).digest()[:KEY_ID_BYTES]


def header(public_key: bytes) -> bytes:
    """What a value that is sealed to this key begins with."""
    return _HEADER.pack(_MAGIC, _VERSION, *_SUITE_NUMBERS, key_id(public_key))


def seal(public_key: bytes, plaintext: bytes, *, context: bytes) -> bytes:
    """`plaintext` for the holder of the private key alone, bound to `context`; 1155 bytes longer, different each time.

    Raises `CustodyError` when `public_key` is none.
    """
    head = header(public_key)
    try:
        recipient = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(public_key[_MLKEM_PUBLIC_BYTES:]),
        )
        return head + SUITE.encrypt(plaintext, recipient, head + context)
    except ValueError:
        raise CustodyError("what should be a public key is none") from None


def seal_record(
    key: SubjectKey,
    payload: bytes,
    *,
    record_id: str,
    photo_id: str,
    face_index: int | None,
    anonymized_sha256: str,
    model_version: str,
    now: datetime,
    expires_at: datetime | None,
) -> SealedRecord:
    """The record that keeps `payload` (a recovery payload's bytes) for the subject; nothing but its digest is open."""
    context = record_context(key.ref, photo_id, face_index)
    return SealedRecord(
        record_id=record_id,
        subject=key.ref,
        photo_id=photo_id,
        face_index=face_index,
        sealed=seal(key.public_key, payload, context=context),
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        anonymized_sha256=anonymized_sha256,
        model_version=model_version,
        created_at=now,
        expires_at=expires_at,
    )


def record_context(subject: SubjectRef, photo_id: str, face_index: int | None) -> bytes:
    """What a recovery payload is bound to: whose face, on which photo, which one (None: the remainder)."""
    face = "remainder" if face_index is None else str(face_index)
    return _context("record", subject.project_id, subject.subject_id, photo_id, face)


def subject_key_context(ref: SubjectRef) -> bytes:
    """What a subject's sealed private key is bound to."""
    return _context("subject key", ref.project_id, ref.subject_id)


def inbox_context(project_id: str, source_sha256: str) -> bytes:
    """What an original that waits for the worker is bound to: its project and its own digest."""
    return _context("inbox", project_id, source_sha256)


def _context(kind: str, *parts: str) -> bytes:
    """Different parts give different bytes, wherever one part ends and the next begins: lengths come first."""
    encoded = [part.encode() for part in ("g2face v1", kind, *parts)]
    return b"".join(struct.pack(">I", len(part)) + part for part in encoded)
