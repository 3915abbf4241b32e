"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `path`, replacing what was there, with permissions `mode` (less the process's umask).

    The bytes go to a hidden neighbour, are flushed to the disk and then take the name in one step: a full disk, a crash
    or a power cut leaves the old file or none, never half of the new one. Raises `OSError` and leaves nothing behind.
    """
    with _partial(path, data, mode) as partial:
        os.replace(partial, path)
    _flush_folder(path.parent)


def create(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """The same where nothing is yet: raises `FileExistsError` when something is, which stays as it is."""
    with _partial(path, data, mode) as partial:
        os.link(partial, path)  # unlike a rename, never replaces
        partial.unlink()
    _flush_folder(path.parent)


@contextlib.contextmanager
def _partial(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield partial
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _flush_folder(folder: Path) -> None:
    """Make the new name itself outlive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
