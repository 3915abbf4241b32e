"""What was retrieved leaves as a file that is named by ids alone."""

from __future__ import annotations

import io
import zipfile

import pytest

from backend.admin import downloads
from backend.custody.recovery import Retrieved, RetrievedPhoto

REQUEST, ONE, OTHER = "a1" * 16, "b2" * 16, "c3" * 16


def photo(photo_id: str, png: bytes) -> RetrievedPhoto:
    return RetrievedPhoto(photo_id, png, (), complete=False)


@pytest.mark.parametrize(("bit_exact", "said"), [(True, "true"), (False, "false")])
def test_one_photo_is_a_png(bit_exact: bool, said: str) -> None:
    answer = downloads.attachment(Retrieved(REQUEST, (photo(ONE, b"pixels"),), bit_exact))
    assert (answer.data, answer.mimetype) == (b"pixels", "image/png")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a1a1a1a1-b2b2b2b2.png"'
    assert (answer.headers["X-Bit-Exact"], answer.headers["X-Left-Out"]) == (said, "0")


@pytest.mark.parametrize("photos", [(), (photo(ONE, b"first"), photo(OTHER, b"second"))])
def test_several_are_an_archive(photos: tuple[RetrievedPhoto, ...]) -> None:
    answer = downloads.attachment(Retrieved(REQUEST, photos, True, left_out=3))
    assert (answer.mimetype, answer.headers["X-Left-Out"]) == ("application/zip", "3")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a1a1a1a1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"{one.photo_id}.png": one.png for one in photos
        }
