"""Signed documents: receipts and heads of the audit log, which anybody with the public half can check, offline.

A document is signed (Ed25519) as JSON with sorted keys, no spaces and ASCII only. Both key files are PEM, so that other
people's tools can check a signature, too.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from backend.errors import MasterKeyError, SignatureError
from g2face_model import atomic_file

_MAX_FILE_BYTES = 4096
_FIELDS = {"document", "signature", "signed_by"}


class SigningKey:
    """The key that signs, in a file that only its owner can touch; `public` is its other half, 32 bytes.

    Raises `MasterKeyError` when the file cannot be read, holds no such key, or others may read or write it.
    """

    __slots__ = ("_key", "public")

    def __init__(self, path: Path) -> None:
        self._key = _read_private(path)
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def ensure(cls, path: Path) -> SigningKey:
        """The key in `path`, made there with mode 0600 when there is none; of two processes at once, both get the first
        one's. The public half lies beside it, as `.pub`. Raises `MasterKeyError`."""
        try:
            if not path.exists():
                _create(path)
            key = cls(path)
            if not _holds(public_path(path), key.public):
                atomic_file.write(public_path(path), _public_pem(key.public))
        except OSError as error:
            raise MasterKeyError(f"the signing key cannot be made: {error.strerror}") from None
        return key

    def sign(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The document, its signature (base64) and the id of the key that signed it."""
        signature = base64.b64encode(self._key.sign(canonical(document))).decode()
        return {"document": dict(document), "signature": signature, "signed_by": key_id(self.public)}


def verify(signed: object, public: bytes) -> dict[str, Any]:
    """The document that `sign` was given. Raises `SignatureError` when it was changed or signed by another key."""
    if not isinstance(signed, dict) or set(signed) != _FIELDS or not isinstance(signed["document"], dict):
        raise SignatureError("this is no signed document")
    document: dict[str, Any] = signed["document"]
    if signed["signed_by"] != key_id(public):
        raise SignatureError("the document was signed by another key")
    try:
        signature = base64.b64decode(signed["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, canonical(document))
    except (InvalidSignature, binascii.Error, TypeError, ValueError, RecursionError):
        raise SignatureError("the document was changed after it was signed") from None
    return document


def canonical(document: Mapping[str, Any]) -> bytes:
    """The bytes that are signed."""
    return json.dumps(dict(document), sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def key_id(public: bytes) -> str:
    """16 hexadecimal digits that name a public key."""
    return hashlib.sha256(b"g2face signing key id v1" + public).hexdigest()[:16]


def public_path(path: Path) -> Path:
    """Where the public half of the key in `path` lies."""
    return path.with_suffix(".pub")


def read_public(path: Path) -> bytes:
    """The public key in a file, 32 bytes. Raises `MasterKeyError` when it cannot be read or holds anything else."""
    try:
        key = load_pem_public_key(_read(path))
    except OSError as error:
        raise MasterKeyError(f"the signing public key cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise MasterKeyError("the file holds no signing public key")
    return key.public_bytes_raw()


def _create(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = path.with_name(f".{secrets.token_hex(8)}.key")
    try:
        atomic_file.write(own, pem, mode=0o600)
        with contextlib.suppress(FileExistsError):
            os.link(own, path)  # unlike a rename, never replaces
    finally:
        own.unlink(missing_ok=True)


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = _read(path)
    except OSError as error:
        raise MasterKeyError(f"the signing key cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise MasterKeyError("others can read the signing key: give it mode 0600 (chmod 600)")
    try:
        key = load_pem_private_key(content, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise MasterKeyError("the file holds no signing key")
    return key


def _holds(path: Path, public: bytes) -> bool:
    try:
        return read_public(path) == public
    except MasterKeyError:
        return False


def _public_pem(public: bytes) -> bytes:
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_FILE_BYTES)
