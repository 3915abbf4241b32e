"""The worker's own key: it opens originals that wait in the inbox, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

from backend.custody import key_files, seal
from backend.custody.opening import read_private_key
from backend.errors import MasterKeyError, SealBrokenError


def create_inbox_key(private_path: Path, public_path: Path) -> bytes:
    """Make the inbox key pair unless it is there, the private file with mode 0600, and return the public key.

    A public file that is missing or belongs to another key is written anew from the private one. Raises
    `MasterKeyError` when a file cannot be read or made.
    """
    if not private_path.exists():
        return key_files.create(private_path, public_path, purpose=key_files.Purpose.INBOX)
    public_key = read_private_key(private_path, key_files.Purpose.INBOX).public_key
    try:
        key_files.write_public(public_path, public_key, purpose=key_files.Purpose.INBOX)
    except OSError as error:
        raise MasterKeyError(f"the inbox public key cannot be written: {error.strerror}") from None
    return public_key


class InboxKey:
    """The inbox private key, read from a file that only its owner can touch. Its bytes are never shown.

    Raises `MasterKeyError` when the file cannot be read, holds no inbox key, or others may read or write it.
    """

    __slots__ = ("_key",)

    def __init__(self, path: Path) -> None:
        self._key = read_private_key(path, key_files.Purpose.INBOX)

    def open(self, sealed: bytes, *, project_id: str, source_sha256: str) -> bytes:
        """The original file's bytes. Raises `SealBrokenError` when it was changed or is not that project's file."""
        data = self._key.open(sealed, context=seal.inbox_context(project_id, source_sha256))
        if hashlib.sha256(data).hexdigest() != source_sha256:
            raise SealBrokenError("the original is not the file that was handed in")
        return data
