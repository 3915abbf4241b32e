"""Blobs by name, in a folder, in memory and in a bucket of S3; and buckets that originals are read from."""

from __future__ import annotations

import hashlib
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3_server
from fsspec.implementations.memory import MemoryFileSystem

from backend.errors import BlobMissingError, ConfigError, StorageError
from backend.storage import BlobStore, Source, SourceObject

DATA = b"sealed" * 100


@pytest.fixture(params=["file", "memory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    if request.param == "s3":
        bucket: s3_server.Bucket = request.getfixturevalue("bucket")
        yield BlobStore(f"s3://{bucket.name}/blobs")
        return
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


@pytest.fixture
def nobodys_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where no S3 listens."""
    for name, value in {
        **s3_server.ENVIRONMENT,
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    s3_server.forget_connections()
    yield
    s3_server.forget_connections()


def test_blobs_lie_in_the_bucket_under_the_prefix(bucket: s3_server.Bucket) -> None:
    name = BlobStore(f"s3://{bucket.name}/blobs/").put(DATA)
    assert bucket.names() == [f"blobs/{name}"]


def test_what_another_process_does_to_the_bucket_is_seen(bucket: s3_server.Bucket) -> None:
    blobs = BlobStore(f"s3://{bucket.name}/blobs")
    assert not blobs.exists("ab")
    bucket.put({"blobs/ab": b"new"})
    assert blobs.exists("ab")
    assert blobs.get("ab") == b"new"
    bucket.client.delete_object(Bucket=bucket.name, Key="blobs/ab")
    assert not blobs.exists("ab")


@pytest.mark.usefixtures("nobodys_s3")
def test_a_bucket_that_is_away_is_a_storage_error_and_not_an_empty_bucket() -> None:
    blobs, source = BlobStore("s3://telling-name/blobs"), Source("s3://telling-name/ward")
    calls = (blobs.put, lambda _: blobs.get("ab"), lambda _: blobs.exists("ab"), lambda _: list(source.objects()))
    for call in calls:
        with pytest.raises(StorageError) as away:
            call(DATA)
        assert away.value.retryable
        assert "telling-name" not in str(away.value)
        assert away.value.__suppress_context__
    assert source.read([SourceObject("a.png", 4)], at_most=10) == [None]


@pytest.mark.usefixtures("nobodys_s3")
def test_a_bucket_without_anybody_s_leave_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(StorageError, match="does not let this server read it"):
        list(Source("s3://telling-name").objects())


def test_a_source_lists_what_lies_under_its_prefix_and_nothing_else(bucket: s3_server.Bucket) -> None:
    bucket.put(
        {
            "ward/": b"",
            "ward/monday/": b"",
            "ward/monday/ä b+c?d.png": b"12345",
            "ward/empty": b"",
            "ward-private/x.png": b"x",
            "other.png": b"x",
        }
    )

    objects = list(Source(f"s3://{bucket.name}/ward/").objects())

    assert objects == [SourceObject("empty", 0), SourceObject("monday/ä b+c?d.png", 5)]
    assert len(list(Source(f"s3://{bucket.name}").objects())) == 4
    assert list(Source(f"s3://{bucket.name}/nothing").objects()) == []


def test_a_source_of_many_pages_is_listed_to_its_end(bucket: s3_server.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put({f"ward/{number:03}.png": b"x" for number in range(25)})
    source = Source(f"s3://{bucket.name}/ward")
    whole = source._filesystem.call_s3
    pages = []

    def small_pages(method: str, **wanted: object) -> object:
        pages.append(wanted["StartAfter"])
        return whole(method, MaxKeys=10, **wanted)

    monkeypatch.setattr(source._filesystem, "call_s3", small_pages)
    listing = source.objects()
    assert next(listing).name == "000.png"
    assert pages == [""], "no page is asked for before it is needed"
    assert [entry.name for entry in listing] == [f"{number:03}.png" for number in range(1, 25)]
    assert pages == ["", "ward/009.png", "ward/019.png"]


def test_what_is_read_is_no_more_than_asked_for_and_one_that_is_gone_stops_nothing(bucket: s3_server.Bucket) -> None:
    bucket.put({"ward/a": b"12345", "ward/b": b"", "ward/c": b"123"})
    source = Source(f"s3://{bucket.name}/ward")
    objects = list(source.objects())
    bucket.client.delete_object(Bucket=bucket.name, Key="ward/c")

    assert source.read(objects, at_most=4) == [b"1234", b"", None]
    assert source.read([], at_most=4) == []
