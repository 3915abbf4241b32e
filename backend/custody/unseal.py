"""The PRIVATE side of custody, for the admin's process alone: the master key opens subject keys, those open records."""

from __future__ import annotations

import hashlib
from pathlib import Path

from backend.custody import key_files, seal
from backend.custody.opening import PrivateKey, read_private_key
from backend.custody.records import SealedRecord, SubjectKey
from backend.errors import KeyShreddedError, MasterKeyError, SealBrokenError


class MasterKey:
    """The master private key, read from a file that only its owner can touch. Its bytes are never shown.

    Raises `MasterKeyError` when the file cannot be read, holds no master key, or others may read or write it.
    """

    __slots__ = ("_key",)

    def __init__(self, path: Path) -> None:
        self._key = read_private_key(path, key_files.Purpose.MASTER)

    @property
    def public_key(self) -> bytes:
        """The public half, 1216 bytes."""
        return self._key.public_key

    def write_public(self, path: Path) -> None:
        """Write the public file anew, as after a crash between the two files. Raises `MasterKeyError`."""
        try:
            key_files.write_public(path, self.public_key, purpose=key_files.Purpose.MASTER)
        except OSError as error:
            raise MasterKeyError(f"the master public key cannot be written: {error.strerror}") from None

    def subject_key(self, key: SubjectKey) -> PrivateKey:
        """The subject's private key. Raises `KeyShreddedError`, or `SealBrokenError` when it is not this subject's."""
        if key.shredded_at is not None:
            raise KeyShreddedError("the subject's key has been shredded")
        opened = PrivateKey(self._key.open(key.sealed_private_key, context=seal.subject_key_context(key.ref)))
        if opened.public_key != key.public_key:
            raise SealBrokenError("the subject's two keys do not belong together")
        return opened

    def unseal(self, record: SealedRecord, key: SubjectKey) -> bytes:
        """The recovery payload that `seal_record` was given.

        Raises `SealBrokenError` when the record was changed or is not this subject's, `KeyShreddedError` when the
        subject's key is gone.
        """
        context = seal.record_context(key.ref, record.photo_id, record.face_index)
        payload = self.subject_key(key).open(record.sealed, context=context)
        if hashlib.sha256(payload).hexdigest() != record.payload_sha256:
            raise SealBrokenError(f"record {record.record_id} does not hold the payload it names")
        return payload
