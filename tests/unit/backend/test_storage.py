"""Blobs by name, in a folder and in memory."""

from __future__ import annotations

import hashlib
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from backend.errors import BlobMissingError, ConfigError, StorageError
from backend.storage import BlobStore

DATA = b"sealed" * 100


@pytest.fixture(params=["file", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    yield BlobStore(f"file://{tmp_path}/blobs" if request.param == "file" else "memory://blobs")
    MemoryFileSystem.store.clear()


def test_what_is_put_is_got(blobs: BlobStore) -> None:
    name = blobs.put(DATA)
    assert name == hashlib.sha256(DATA).hexdigest()
    assert blobs.get(name) == DATA
    assert blobs.exists(name)
    assert blobs.put(DATA) == name


def test_a_name_can_be_given_and_is_replaced(blobs: BlobStore) -> None:
    assert blobs.put(b"one", name="ab/cd-12") == "ab/cd-12"
    blobs.put(b"two", name="ab/cd-12")
    assert blobs.get("ab/cd-12") == b"two"
    blobs.put(b"", name="e0")
    assert blobs.get("e0") == b""


def test_what_is_deleted_is_gone(blobs: BlobStore) -> None:
    name = blobs.put(DATA)
    blobs.delete(name)
    blobs.delete(name)
    assert not blobs.exists(name)
    with pytest.raises(BlobMissingError) as missing:
        blobs.get(name)
    assert not missing.value.retryable


@pytest.mark.parametrize(
    "name", ["", "../x", "/etc", "a/../b", "a//b", "jane.png", "Jane", "a b", "a\n", "-/", "..", "x"]
)
def test_names_are_hex_and_nothing_else(blobs: BlobStore, name: str) -> None:
    for call in (blobs.get, blobs.delete, blobs.exists, lambda name: blobs.put(b"x", name=name)):
        with pytest.raises(StorageError):
            call(name)


def test_folders_are_private(tmp_path: Path) -> None:
    blobs = BlobStore(f"file://{tmp_path}/blobs")
    name = blobs.put(DATA)
    assert stat.S_IMODE((tmp_path / "blobs" / name).stat().st_mode) == 0o600


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    blobs = BlobStore(f"file://{tmp_path}/blobs")
    blobs.put(b"old", name="ab")
    # A limit on file sizes fails a write midway just as a full disk does.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(StorageError) as full:
            blobs.put(os.urandom(100_000), name="ab")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.value.retryable
    assert str(tmp_path) not in str(full.value)
    assert full.value.__cause__ is None
    assert blobs.get("ab") == b"old"
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == ["ab"], "nothing half-written stays"


def test_a_folder_that_cannot_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blobs = BlobStore(f"file://{tmp_path}/file")
    with pytest.raises(StorageError):
        blobs.put(DATA)
    with pytest.raises(StorageError):
        blobs.get("ab")
    assert not blobs.exists("ab")


def test_a_storage_that_is_not_installed_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="storage_url") as refused:
        BlobStore("gopher://s3cret/x")
    assert "s3cret" not in str(refused.value)
