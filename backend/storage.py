"""Blobs by name: sealed originals on their way in, anonymized images on their way out; and buckets that originals are
read from. The only door to fsspec.

A blob's name is lower-case hex, digits, dashes and slashes, never a word, so that no file name of a person gets there.
Access to S3 comes the way of AWS's own library: its variables and files, AWS_ENDPOINT_URL_S3 among them, or the
machine's role.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        self._errors = _errors(filesystem)
        # A bucket shows an object wholly or not at all, and only once it is safe; a folder has to be made to.
        self._is_folder = "file" in _protocols(filesystem)

    def put(self, data: bytes, *, name: str | None = None) -> str:
        """Store `data` under `name`, replacing what is there, or under its sha256 in hex. Returns the name.

        Either all of it is there afterwards or nothing changed. Raises `StorageError`.
        """
        name = hashlib.sha256(data).hexdigest() if name is None else name
        path = self._path(name)
        with self._translated():
            if self._is_folder:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                atomic_file.write(Path(path), data, mode=0o600)
            else:
                self._filesystem.pipe_file(path, data)
        return name

    def get(self, name: str) -> bytes:
        """The bytes under `name`. Raises `BlobMissingError` or `StorageError`."""
        path = self._path(name)
        with self._translated():
            data: bytes = self._filesystem.cat_file(path)
            return data

    def delete(self, name: str) -> None:
        """Remove `name`; one that is not there is fine. Raises `StorageError`."""
        path = self._path(name)
        with self._translated(), contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(path)

    def exists(self, name: str) -> bool:
        """Whether there is a blob under `name`. Raises `StorageError`."""
        path = self._path(name)
        # Not `isfile`, which takes a storage that is away for one without the blob.
        with self._translated(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return bool(self._filesystem.info(path)["type"] == "file")
        return False

    def _translated(self) -> AbstractContextManager[None]:
        return _translated(self._errors)

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise StorageError("a blob's name is hex, digits, dashes and slashes")
        return f"{self._root}/{name}"


@dataclass(frozen=True, slots=True)
class SourceObject:
    """What lies in a bucket. name: below the source's prefix, without a leading slash. size: in bytes, as listed."""

    name: str
    size: int


class Source:
    """All that lies under a prefix of a bucket, to be read and never changed."""

    def __init__(self, address: str) -> None:
        """`address`: s3://bucket or s3://bucket/prefix; the prefix is a folder, not the beginning of a name.

        Raises `ConfigError` when s3fs is not installed. Nothing is read yet.
        """
        self._bucket, _, prefix = address.removeprefix("s3://").rstrip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        try:
            # By name: an address may hold instructions for fsspec, and this one comes from a person.
            self._filesystem = fsspec.filesystem("s3", use_listings_cache=False)
        except ImportError:
            raise ConfigError("reading from S3 needs s3fs, the extra named s3") from None
        self._errors = _errors(self._filesystem)

    def objects(self) -> Iterator[SourceObject]:
        """Everything under the prefix in the order of its names, listed as it is asked for. Raises `StorageError`."""
        last, more = "", True
        while more:
            page = self._page(last)
            found, more = page.get("Contents", []), page.get("IsTruncated", False)
            for entry in found:
                last = str(entry["Key"])
                if not last.endswith("/"):  # what consoles make to show a folder
                    yield SourceObject(last.removeprefix(self._prefix), int(entry["Size"]))

    def _page(self, after: str) -> dict[str, Any]:
        # Not by a continuation token: hours may pass until the next page is asked for.
        wanted = {"Bucket": self._bucket, "Prefix": self._prefix, "StartAfter": after}
        try:
            page: dict[str, Any] = self._filesystem.call_s3("list_objects_v2", **wanted)
        except self._errors:
            raise StorageError("S3 is away, has no such bucket, or does not let this server read it") from None
        return page

    def read(self, objects: Sequence[SourceObject], *, at_most: int) -> list[bytes | None]:
        """Their contents, all fetched at once, of each no more than so many bytes; None for one that cannot be read."""
        wanted = [entry for entry in objects if entry.size]  # of nothing there is no range to ask for
        paths = [f"{self._bucket}/{self._prefix}{entry.name}" for entry in wanted]
        said = self._filesystem.cat_ranges(paths, 0, at_most, on_error="return") if paths else []
        contents = {
            entry.name: data if isinstance(data, bytes) else None for entry, data in zip(wanted, said, strict=True)
        }
        return [contents.get(entry.name, b"") for entry in objects]


def _protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _errors(filesystem: fsspec.AbstractFileSystem) -> tuple[type[Exception], ...]:
    """What it raises when something cannot be read or written."""
    if "s3" not in _protocols(filesystem):
        return (OSError,)
    from aiohttp import ClientError as BodyError  # both come with s3fs, which not everybody has
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    return OSError, BotoCoreError, ClientError, BodyError


@contextmanager
def _translated(errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Their errors carry paths, addresses and bucket names; ours do not."""
    try:
        yield
    except FileNotFoundError:
        raise BlobMissingError("there is no such blob") from None
    except errors:
        raise StorageError("a blob could not be read or written") from None
