"""What may be read in S3, and what is found there: real HTTP, a real bucket."""

from __future__ import annotations

import io
import zipfile

import pytest
from s3_server import Bucket

from backend.errors import IntakeError
from backend.intake.parcels import HandedIn, Limits, Spoiled
from backend.intake.prefixes import Prefix, permitted
from backend.storage import Source

ALLOWED = ("s3://photos/ward", "s3://whole-bucket")


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("s3://photos/ward", "s3://photos/ward"),
        (" s3://photos/ward/ ", "s3://photos/ward"),
        ("s3://photos/ward/2024-03/a b", "s3://photos/ward/2024-03/a b"),
        ("s3://whole-bucket", "s3://whole-bucket"),
        ("s3://whole-bucket/x", "s3://whole-bucket/x"),
    ],
)
def test_what_lies_under_an_allowed_prefix_may_be_read(address: str, meant: str) -> None:
    assert permitted(address, ALLOWED) == meant


@pytest.mark.parametrize(
    "address",
    [
        *("", "photos/ward", "s3://", "s3:///ward", "/etc", "file:///etc", "https://photos/ward"),
        *("s3://photos", "s3://photos/", "s3://photos/war", "s3://photos/ward-private", "s3://photos/other"),
        *("s3://photos/ward/../other", "s3://photos/ward/./x", "s3://photos/ward//x", "s3://photos/ward/a\nb"),
        *("s3://whole-bucket2", "s3://whole-bucket2/x", "S3://photos/ward", "s3://user@photos/ward"),
        *("simplecache::s3://photos/ward", "s3://photos::file:///etc"),
    ],
)
def test_nothing_else_may(address: str) -> None:
    with pytest.raises(IntakeError):
        permitted(address, ALLOWED)


def test_where_nothing_is_allowed_nothing_may_be_read() -> None:
    with pytest.raises(IntakeError, match="no prefix is allowed"):
        permitted("s3://photos/ward", ())


def test_a_refusal_says_what_is_allowed() -> None:
    with pytest.raises(IntakeError, match="s3://photos/ward, s3://whole-bucket"):
        permitted("s3://secret/x", ALLOWED)


def prefix(bucket: Bucket, **limits: int) -> Prefix:
    return Prefix(Source(f"s3://{bucket.name}/ward"), Limits(**limits))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.png", b"pixels")
    return buffer.getvalue()


def test_a_survey_counts_photos_and_finds_rows_that_fit_more_than_one(bucket: Bucket) -> None:
    bucket.put({f"ward/{day}/{number}.png": b"x" for day in ("monday", "tuesday") for number in range(3)})
    rows = "file,subject_id\n0.png,P-0\nmonday/1.png,P-1\n"
    bucket.put({"ward/who.csv": rows.encode(), "ward/.DS_Store": b"litter", "ward/thumbs.db": b"litter"})

    survey = prefix(bucket).survey()

    assert survey.total == 6
    assert survey.manifest is not None
    assert survey.ambiguous == {2}, "0.png is in two folders, monday/1.png in one"


def test_a_survey_without_a_list(bucket: Bucket) -> None:
    assert (prefix(bucket).survey().total, prefix(bucket).survey().manifest) == (0, None)


@pytest.mark.parametrize(
    ("lists", "complaint"),
    [
        ({"a.csv": b"file\n", "b/B.CSV": b"file\n"}, "more than one CSV"),
        ({"a.csv": b"name\nx"}, "a column named file"),
        ({"a.csv": b"file\n" + b"x" * 2**24}, "larger than 16 MB"),
    ],
)
def test_an_unfit_list_is_told_before_anything_is_taken(
    bucket: Bucket, lists: dict[str, bytes], complaint: str
) -> None:
    bucket.put({f"ward/{name}": data for name, data in lists.items()})
    with pytest.raises(IntakeError, match=complaint):
        prefix(bucket).survey()


def test_photos_come_in_parts_with_what_cannot_be_taken_told(bucket: Bucket) -> None:
    bucket.put({f"ward/{number:02}.png": bytes([number]) for number in range(23)})
    large, archive = b"x" * (2**20 + 1), zipped()
    bucket.put({"ward/23.png": large, "ward/24.zip": archive, "ward/25.png": archive, "ward/26.png": b""})

    first, second = prefix(bucket, file_bytes=2**20).parts()

    assert first == [HandedIn(f"{number:02}.png", bytes([number])) for number in range(20)]
    assert second[:3] == [HandedIn(f"{number:02}.png", bytes([number])) for number in range(20, 23)]
    told = {item.name: item.reason for item in second[3:] if isinstance(item, Spoiled)}
    assert set(told) == {"23.png", "24.zip", "25.png"}
    assert told["23.png"] == "it is larger than 1 MB"
    assert told["24.zip"] == told["25.png"]
    assert "an archive in S3 is not opened" in told["24.zip"]
    assert second[6] == HandedIn("26.png", b"")


def test_a_part_is_no_larger_than_memory_allows(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.intake.prefixes.PART_BYTES", 100)
    sizes = [60, 60, 30, 200, 10]
    bucket.put({f"ward/{number}.png": b"x" * size for number, size in enumerate(sizes)})

    parts = [[len(item.data) for item in part if isinstance(item, HandedIn)] for part in prefix(bucket).parts()]

    assert parts == [[60], [60, 30], [200], [10]]


def test_a_photo_that_grew_since_it_was_listed_is_not_taken(bucket: Bucket) -> None:
    bucket.put({"ward/a.png": b"small", "ward/b.png": b"small"})
    found = prefix(bucket, file_bytes=2**20)
    listed = list(found.source.objects())
    bucket.put({"ward/a.png": b"x" * (2**20 + 1)})
    bucket.client.delete_object(Bucket=bucket.name, Key="ward/b.png")

    grown, gone = found._fetched(listed)

    assert grown == Spoiled("a.png", "it is larger than 1 MB")
    assert gone == Spoiled("b.png", "it could not be read from S3; hand it in once more")
