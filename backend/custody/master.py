"""The master key's public side: everybody may seal to it, and only the admin can open (see `unseal`)."""

from __future__ import annotations

from pathlib import Path

from backend.custody import key_files
from backend.custody.providers.provider import KeyProvider


def create_master_key(private_path: Path, public_path: Path, *, provider: KeyProvider = key_files.PLAIN) -> bytes:
    """Make the master key pair, the private file wrapped and with mode 0600, and return the public key (1216 bytes).

    Raises `MasterKeyError` when either file is there already, cannot be made or cannot be wrapped.
    """
    return key_files.create(private_path, public_path, purpose=key_files.Purpose.MASTER, provider=provider)


def read_public(path: Path) -> bytes:
    """The master public key, 1216 bytes. Raises `MasterKeyError` when the file holds none."""
    return key_files.read_public(path, purpose=key_files.Purpose.MASTER)
