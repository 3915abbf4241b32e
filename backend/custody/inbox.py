"""Originals on arrival: sealed to the worker's own key before anything is stored. Opened in `inbox_opening`."""

from __future__ import annotations

from pathlib import Path

from backend.custody import key_files, seal


def read_public(path: Path) -> bytes:
    """The inbox public key, 1216 bytes. Raises `MasterKeyError` when the file holds none."""
    return key_files.read_public(path, purpose=key_files.Purpose.INBOX)


def seal_original(public_key: bytes, data: bytes, *, project_id: str, source_sha256: str) -> bytes:
    """The original file `data`, readable for the worker alone and only as that project's file of that digest.

    Raises `CustodyError` when `public_key` is none.
    """
    return seal.seal(public_key, data, context=seal.inbox_context(project_id, source_sha256))
