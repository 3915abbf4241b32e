"""Key pairs as two files: the private half for one process alone, the public half for whoever seals.

A file is a title and a key in base64. A private file's title also names the provider that wrapped the key, unless that
is the file itself.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from backend.custody import seal
from backend.custody.providers.file import FileProvider
from backend.custody.providers.provider import KeyProvider
from backend.errors import MasterKeyError
from g2face_model import atomic_file

MAX_FILE_BYTES = 4096
PLAIN = FileProvider()

_WRAPPED_BY = ", wrapped by "


class Purpose(StrEnum):
    """What a key pair is for. It stands in the files, so that no key can be taken for another."""

    MASTER = "master"
    INBOX = "inbox"


def create(private_path: Path, public_path: Path, *, purpose: Purpose, provider: KeyProvider = PLAIN) -> bytes:
    """Write a new key pair, the private file with mode 0600, and return the public key.

    Raises `MasterKeyError` when either file is there already (a key is never overwritten), cannot be made, or cannot be
    wrapped.
    """
    pair = seal.generate_key_pair()
    content = private_text(pair.private_key, purpose, provider=provider)
    try:
        if public_path.exists():
            raise FileExistsError(None, "File exists")
        private_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # the private half first: a public key whose private half was never written would lock for ever
        atomic_file.create(private_path, content, mode=0o600)
        write_public(public_path, pair.public_key, purpose=purpose)
    except OSError as error:
        raise MasterKeyError(f"the {purpose} key cannot be made: {error.strerror}") from None
    return pair.public_key


def write_public(path: Path, public_key: bytes, *, purpose: Purpose) -> None:
    """Write the public half, whole or not at all. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_file.write(path, _text(_title(purpose, "public"), public_key))


def replace_private(path: Path, content: bytes) -> None:
    """Put a private file's `content` in the place of whatever is there, whole or not at all, with mode 0600; what was
    there is overwritten as far as the file system lets us. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        if path.exists():
            before = stack.enter_context(path.open("r+b"))
            stack.callback(_blank, before)
        atomic_file.write(path, content, mode=0o600)


def destroy(path: Path) -> None:
    """Remove a private file and overwrite its bytes, as far as the file system lets us. Raises `OSError`."""
    with path.open("r+b") as file:
        path.unlink()
        _blank(file)


def clear_leftovers(folder: Path, *, purpose: Purpose) -> None:
    """Destroy half-made private files that a crash has left in a folder. Raises `OSError`."""
    for path in folder.glob(".*.partial"):
        with path.open("rb") as file:
            is_ours = file.read(MAX_FILE_BYTES).startswith(_title(purpose, "private").encode())
        if is_ours:
            destroy(path)


@contextmanager
def alone(private_path: Path) -> Iterator[None]:
    """One process at a time changes private files in this folder; the lock goes with the process that holds it.

    Raises `MasterKeyError` when another has it, or there is no such folder.
    """
    try:
        folder = os.open(private_path.parent, os.O_RDONLY)
    except OSError as error:
        raise MasterKeyError(f"the private key's folder cannot be read: {error.strerror}") from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MasterKeyError("somebody else is changing the key at the moment") from None
        yield
    finally:
        os.close(folder)


def private_text(private_key: bytes, purpose: Purpose, *, provider: KeyProvider) -> bytes:
    """A private file's content. Raises `MasterKeyError` when the provider cannot wrap the key."""
    return _text(_title(purpose, "private", provider.name), provider.wrap(private_key))


def read_public(path: Path, *, purpose: Purpose) -> bytes:
    """The public key in a file. Raises `MasterKeyError` when it cannot be read or holds anything else."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise MasterKeyError(f"the {purpose} public key cannot be read: {error.strerror}") from None
    key = _body(content, _title(purpose, "public"))
    if key is None or len(key) != seal.PUBLIC_KEY_BYTES:
        raise MasterKeyError(f"the file holds no {purpose} public key")
    return key


def read_owned(path: Path, what: str) -> bytes:
    """The content of a file that only its owner can touch, as far as 4096 bytes.

    Raises `MasterKeyError`, about `what`, when the file cannot be read, or others may read or write it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise MasterKeyError(f"{what} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise MasterKeyError(f"others can read {what}: give it mode 0600 (chmod 600)")
    return content


def parse_private(content: bytes, purpose: Purpose, *, provider: KeyProvider) -> bytes:
    """The private key, 96 bytes, in a private file's content.

    Raises `MasterKeyError` when it is no such file, when another provider wrapped it, or this one cannot unwrap it.
    """
    wrapped = _body(content, _title(purpose, "private", provider.name))
    if wrapped is None:
        if (other := wrapped_by(content, purpose)) is not None:
            raise MasterKeyError(f"the {purpose} private key is kept by {other!r}, not by {provider.name!r}")
        raise MasterKeyError(f"the file holds no {purpose} private key")
    key = provider.unwrap(wrapped)
    if len(key) != seal.PRIVATE_KEY_BYTES:
        raise MasterKeyError(f"the file holds no {purpose} private key")
    return key


def wrapped_by(content: bytes, purpose: Purpose) -> str | None:
    """The name of the provider that wrapped a private file's key; None when it is no such file."""
    title, plain = content.partition(b"\n")[0].strip().decode("ascii", "replace"), _title(purpose, "private")
    if title == plain:
        return PLAIN.name
    before, _, name = title.partition(_WRAPPED_BY)
    return name if before == plain and name.isalnum() else None


def _title(purpose: Purpose, half: str, provider: str = PLAIN.name) -> str:
    return f"g2face {purpose} {half} key v1" + ("" if provider == PLAIN.name else _WRAPPED_BY + provider)


def _text(title: str, key: bytes) -> bytes:
    return title.encode() + b"\n" + base64.b64encode(key) + b"\n"


def _body(content: bytes, title: str) -> bytes | None:
    first, _, body = content.partition(b"\n")
    if first.strip() != title.encode():
        return None
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        return None


def _blank(file: BinaryIO) -> None:
    """Overwrite a file that has no name any more."""
    status = os.fstat(file.fileno())
    if status.st_nlink == 0:
        file.write(bytes(status.st_size))
        file.flush()
        os.fsync(file.fileno())
