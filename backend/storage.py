"""Blobs by name: sealed originals on their way in, anonymized images on their way out. The only door to fsspec.

A name is lower-case hex, digits, dashes and slashes, never a word, so that no file name of a person can get here.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec  # type: ignore[import-untyped]

from backend.errors import BlobMissingError, ConfigError, StorageError
from g2face_model import atomic_file

_NAME = re.compile(r"[a-f0-9-]+(/[a-f0-9-]+)*")


class BlobStore:
    """A folder (`file:///srv/blobs`), a bucket (`s3://bucket/prefix`, with s3fs installed) or, in tests, `memory://`."""

    def __init__(self, url: str) -> None:
        """Raises `ConfigError` when no such kind of storage is installed. Nothing is read or written yet."""
        try:
            filesystem, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError):
            raise ConfigError("storage_url names a kind of storage that is not installed") from None
        self._filesystem, self._root = filesystem, root.rstrip("/")
        # A bucket shows an object wholly or not at all, and only once it is safe; a folder has to be made to.
        self._is_folder = "file" in _protocols(filesystem)

    def put(self, data: bytes, *, name: str | None = None) -> str:
        """Store `data` under `name`, replacing what is there, or under its sha256 in hex. Returns the name.

        Either all of it is there afterwards or nothing changed. Raises `StorageError`.
        """
        name = hashlib.sha256(data).hexdigest() if name is None else name
        path = self._path(name)
        with _translated():
            if self._is_folder:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                atomic_file.write(Path(path), data, mode=0o600)
            else:
                self._filesystem.pipe_file(path, data)
        return name

    def get(self, name: str) -> bytes:
        """The bytes under `name`. Raises `BlobMissingError` or `StorageError`."""
        path = self._path(name)
        with _translated():
            data: bytes = self._filesystem.cat_file(path)
            return data

    def delete(self, name: str) -> None:
        """Remove `name`; one that is not there is fine. Raises `StorageError`."""
        path = self._path(name)
        with _translated(), contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(path)

    def exists(self, name: str) -> bool:
        """Whether there is a blob under `name`. Raises `StorageError`."""
        path = self._path(name)
        with _translated():
            return bool(self._filesystem.isfile(path))

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise StorageError("a blob's name is hex, digits, dashes and slashes")
        return f"{self._root}/{name}"


def _protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


@contextmanager
def _translated() -> Iterator[None]:
    """The system's errors carry paths and bucket names; ours do not."""
    try:
        yield
    except FileNotFoundError:
        raise BlobMissingError("there is no such blob") from None
    except OSError:
        raise StorageError("a blob could not be read or written") from None
