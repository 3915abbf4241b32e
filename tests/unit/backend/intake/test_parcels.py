from __future__ import annotations

import io
import struct
import zipfile

import pytest

from backend.errors import IntakeError
from backend.intake.parcels import HandedIn, Limits, Spoiled, manifest_of, photo_names, unpacked


def zipped(entries: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_files_and_what_archives_hold_come_out_in_order() -> None:
    parcel = [HandedIn("a.jpg", b"A"), HandedIn("more.zip", zipped({"x/b.jpg": b"B", "c.png": b"C"}))]

    assert list(unpacked(parcel)) == [HandedIn("a.jpg", b"A"), HandedIn("x/b.jpg", b"B"), HandedIn("c.png", b"C")]
    assert list(photo_names(parcel)) == ["a.jpg", "x/b.jpg", "c.png"]


def test_the_content_says_what_an_archive_is_not_the_name() -> None:
    assert list(unpacked([HandedIn("holiday.jpg", zipped({"b.jpg": b"B"}))])) == [HandedIn("b.jpg", b"B")]
    assert list(unpacked([HandedIn("a.zip", b"no archive")])) == [HandedIn("a.zip", b"no archive")]


def test_lists_and_the_litter_of_file_systems_are_left_out() -> None:
    litter = {
        "__MACOSX/._a.jpg": b"?",
        ".DS_Store": b"?",
        "x/Thumbs.db": b"?",
        "subjects.csv": b"file\n",
        "a.jpg": b"A",
    }

    assert list(unpacked([HandedIn("more.zip", zipped(litter))])) == [HandedIn("a.jpg", b"A")]
    assert list(unpacked([HandedIn(name, data) for name, data in litter.items()])) == [HandedIn("a.jpg", b"A")]


def test_the_list_is_found_beside_the_photos_and_within_an_archive() -> None:
    rows = b"file,subject_id\na.jpg,P-1\n"

    for parcel in ([HandedIn("list.CSV", rows)], [HandedIn("more.zip", zipped({"x/list.csv": rows}))]):
        manifest = manifest_of(parcel)
        assert manifest is not None
        assert manifest.row_of("x/a.jpg").subject_id == "P-1"
    assert manifest_of([HandedIn("a.jpg", b"A")]) is None


def test_two_lists_are_refused_because_one_would_be_ignored() -> None:
    with pytest.raises(IntakeError, match="more than one CSV"):
        manifest_of([HandedIn("a.csv", b"file\n"), HandedIn("b.csv", b"file\n")])


def test_a_bomb_is_stopped_before_it_is_unpacked() -> None:
    bomb = HandedIn("bomb.zip", zipped({f"{i}.jpg": bytes(2**20) for i in range(8)}))
    assert len(bomb.data) < 20_000

    with pytest.raises(IntakeError, match="unpack to more than 4 MB"):
        list(unpacked([bomb], Limits(unpacked_bytes=4 * 2**20)))


def test_one_entry_that_is_too_large_spoils_itself_alone_whatever_its_header_says() -> None:
    data = bytearray(zipped({"huge.jpg": bytes(2**20), "a.jpg": b"A"}))
    central = data.index(b"PK\x01\x02")
    struct.pack_into("<L", data, central + 24, 5)  # the directory claims five bytes

    found = list(unpacked([HandedIn("x.zip", bytes(data))], Limits(file_bytes=1000)))

    assert isinstance(found[0], Spoiled)
    assert found[1] == HandedIn("a.jpg", b"A")


def test_too_many_files_are_refused() -> None:
    with pytest.raises(IntakeError, match="more than 3 files"):
        list(unpacked([HandedIn("x.zip", zipped({f"{i}.jpg": b"" for i in range(4)}))], Limits(files=3)))


def test_archives_within_archives_stay_shut() -> None:
    inner = zipped({"a.jpg": b"A"})

    (found,) = unpacked([HandedIn("x.zip", zipped({"inner.zip": inner}))])

    assert found == Spoiled("inner.zip", "an archive within an archive is not opened")


@pytest.mark.parametrize("cut", [5, 40, 200])
def test_a_damaged_archive_is_an_answer_not_an_accident(cut: int) -> None:
    whole = zipped({"a.jpg": bytes(range(256)) * 4, "b.jpg": b"B"}, method=zipfile.ZIP_STORED)

    (found,) = unpacked([HandedIn("x.zip", whole[:-cut])])

    assert found == Spoiled("x.zip", "the archive is damaged or cut short")


def test_an_entry_whose_checksum_is_wrong_spoils_itself_alone() -> None:
    data = bytearray(zipped({"a.jpg": b"A" * 100, "b.jpg": b"B"}, method=zipfile.ZIP_STORED))
    data[data.index(b"A" * 100)] ^= 1

    assert list(unpacked([HandedIn("x.zip", bytes(data))])) == [
        Spoiled("a.jpg", "it is damaged in its archive"),
        HandedIn("b.jpg", b"B"),
    ]


def test_an_encrypted_entry_is_named_as_such() -> None:
    data = bytearray(zipped({"a.jpg": b"A"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1

    assert list(unpacked([HandedIn("x.zip", bytes(data))])) == [Spoiled("a.jpg", "it is encrypted in its archive")]
