"""Keys and sealed payload files of the command line; beside `hidden_payload` the only user of the cryptography library.

One key file holds 32 random bytes. HKDF (RFC 5869) derives from it one key that seals payloads with AES-256-GCM, one
for payloads that are hidden in faces, and one that derives the seeds of the new faces and the ids of their records, so
that none of them tells anything about the others.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from g2face_model import atomic_file
from g2face_model.errors import RecoveryError
from g2face_model.hidden_payload import ID_BYTES, HiddenKey
from g2face_model.recovery import RecoveryPayload, image_sha256
from g2face_model.types import Image

SUFFIX = ".g2face"
"""A payload file lies beside its picture and adds this to the picture's name."""
KEY_BYTES = 32
SEED_BYTES = 32

_VERSION = 1
_HEADER = struct.Struct(">4sB8s32s12s")  # magic, version, key id, digest of the anonymized image, nonce
_MAGIC = b"G2FP"
_TAG_BYTES = 16


class Key:
    """What a key file can do: seal, unseal and derive seeds. `hidden` is its key for payloads hidden in faces. Its
    bytes are never shown."""

    __slots__ = ("_identifier", "_payload_key", "_seed_key", "hidden")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise RecoveryError(f"a key has {KEY_BYTES} bytes")
        self._payload_key = _derive(secret, b"g2face payloads v1", KEY_BYTES)
        self._seed_key = _derive(secret, b"g2face seeds v1", KEY_BYTES)
        self._identifier = _derive(secret, b"g2face key id v1", 8)
        self.hidden = HiddenKey(_derive(secret, b"g2face hidden payloads v1", KEY_BYTES))

    def seed(self, original_sha256: bytes, face_index: int) -> bytes:
        """32 bytes that decide the new face: the same for the same key, photograph (`image_sha256` of its decoded
        pixels) and face; unpredictable without the key."""
        return hmac.digest(self._seed_key, original_sha256 + struct.pack(">I", face_index), "sha256")

    def record_id(self, original_sha256: bytes, face_index: int) -> bytes:
        """16 bytes that name the record of a face: the same for the same key, photograph and face, and nothing without
        the key."""
        face = b"record" + original_sha256 + struct.pack(">I", face_index)
        return hmac.digest(self._seed_key, face, "sha256")[:ID_BYTES]

    def seal(self, payloads: Sequence[RecoveryPayload]) -> bytes:
        """The payloads of one anonymized image, encrypted and bound to it. Raises `RecoveryError` for none or a mix."""
        images = {payload.published_sha256 for payload in payloads}
        if len(images) != 1:
            raise RecoveryError("a payload file holds the payloads of one image")
        nonce = secrets.token_bytes(12)
        header = _HEADER.pack(_MAGIC, _VERSION, self._identifier, images.pop(), nonce)
        return header + AESGCM(self._payload_key).encrypt(nonce, _join(payloads), header)

    def unseal(self, data: bytes, published: Image) -> tuple[RecoveryPayload, ...]:
        """The payloads that `seal` encrypted for the image `published`.

        Raises `RecoveryError` when `data` is no payload file or was changed, when it was sealed with another key, or
        when it belongs to another image; the message says which.
        """
        if len(data) < _HEADER.size + _TAG_BYTES:
            raise RecoveryError("the payload file is cut short")
        magic, version, identifier, published_sha256, nonce = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise RecoveryError("not a payload file of a version this program reads")
        if not hmac.compare_digest(identifier, self._identifier):
            raise RecoveryError("the payload file was sealed with another key")
        if published_sha256 != image_sha256(published):
            raise RecoveryError("the payload file belongs to another image")
        try:
            plain = AESGCM(self._payload_key).decrypt(nonce, data[_HEADER.size :], data[: _HEADER.size])
        except InvalidTag as error:
            raise RecoveryError("the payload file has been changed") from error
        return _split(plain)


def new_seed() -> bytes:
    """A random seed, for faces that nothing shall lead back from."""
    return secrets.token_bytes(SEED_BYTES)


def new_key() -> Key:
    """A random key that lives in memory only."""
    return Key(secrets.token_bytes(KEY_BYTES))


def create_key_file(path: Path) -> Key:
    """A new random key, written in base64 to a file that only its owner can read.

    Raises `RecoveryError` when the file cannot be made, or is there already: a key is never overwritten."""
    secret = secrets.token_bytes(KEY_BYTES)
    try:
        atomic_file.create(path, base64.b64encode(secret) + b"\n", mode=0o600)
    except OSError as error:
        raise RecoveryError(f"the key file cannot be made: {error.strerror}") from error
    return Key(secret)


def read_key_file(path: Path) -> Key:
    """The key in a file of 32 raw bytes or their base64.

    Raises `RecoveryError` when the file cannot be read, holds anything else, or others than its owner may read or
    write it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4 * KEY_BYTES)
    except OSError as error:
        raise RecoveryError(f"the key file cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise RecoveryError("others can read the key file: give it mode 0600 (chmod 600)")
    if len(content) == KEY_BYTES:
        return Key(content)
    try:
        return Key(base64.b64decode(content.strip(), validate=True))
    except (binascii.Error, RecoveryError) as error:
        raise RecoveryError(f"the key file holds neither {KEY_BYTES} bytes nor their base64") from error


def _derive(secret: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(secret)


def _join(payloads: Sequence[RecoveryPayload]) -> bytes:
    packed = [payload.to_bytes() for payload in payloads]
    return b"".join(struct.pack(">I", len(one)) + one for one in packed)


def _split(plain: bytes) -> tuple[RecoveryPayload, ...]:
    payloads, position = [], 0
    while position < len(plain):
        length = int.from_bytes(plain[position : position + 4])
        payloads.append(RecoveryPayload.from_bytes(plain[position + 4 : position + 4 + length]))
        position += 4 + length
    return tuple(payloads)
