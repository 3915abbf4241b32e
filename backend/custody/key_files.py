"""Key pairs as two files: the private half for one process alone, the public half for whoever seals."""

from __future__ import annotations

import base64
import binascii
import os
from enum import StrEnum
from pathlib import Path

from backend.custody import seal
from backend.errors import MasterKeyError
from g2face_model import atomic_file

MAX_FILE_BYTES = 4096


class Purpose(StrEnum):
    """What a key pair is for. It stands in the files, so that no key can be taken for another."""

    MASTER = "master"
    INBOX = "inbox"


def create(private_path: Path, public_path: Path, *, purpose: Purpose) -> bytes:
    """Write a new key pair, the private file with mode 0600, and return the public key.

    Raises `MasterKeyError` when either file is there already (a key is never overwritten) or cannot be made.
    """
    pair = seal.generate_key_pair()
    try:
        if public_path.exists():
            raise FileExistsError(None, "File exists")
        private_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # the private half first: a public key whose private half was never written would lock for ever
        _write_private(private_path, _text(pair.private_key, purpose, half="private"))
        write_public(public_path, pair.public_key, purpose=purpose)
    except OSError as error:
        raise MasterKeyError(f"the {purpose} key cannot be made: {error.strerror}") from None
    return pair.public_key


def write_public(path: Path, public_key: bytes, *, purpose: Purpose) -> None:
    """Write the public half, whole or not at all. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_file.write(path, _text(public_key, purpose, half="public"))


def read_public(path: Path, *, purpose: Purpose) -> bytes:
    """The public key in a file. Raises `MasterKeyError` when it cannot be read or holds anything else."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise MasterKeyError(f"the {purpose} public key cannot be read: {error.strerror}") from None
    return parse(content, purpose, half="public", size=seal.PUBLIC_KEY_BYTES)


def parse(content: bytes, purpose: Purpose, *, half: str, size: int) -> bytes:
    """The `size` key bytes in a key file's content. Raises `MasterKeyError` when it is no such file."""
    title, _, body = content.partition(b"\n")
    try:
        key = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        key = b""
    if title.strip() != _title(purpose, half) or len(key) != size:
        raise MasterKeyError(f"the file holds no {purpose} {half} key")
    return key


def _title(purpose: Purpose, half: str) -> bytes:
    return f"g2face {purpose} {half} key v1".encode()


def _text(key: bytes, purpose: Purpose, *, half: str) -> bytes:
    return _title(purpose, half) + b"\n" + base64.b64encode(key) + b"\n"


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink()
            raise
