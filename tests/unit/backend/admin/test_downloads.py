"""What was retrieved leaves as a file that is named by ids alone."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator

import pytest

from backend.admin import downloads
from backend.custody.locked import LeftOut, Reason
from backend.custody.records import RequestKind
from backend.custody.recovery import Retrieved, RetrievedPhoto
from backend.errors import SealBrokenError

REQUEST, ONE, OTHER = "a1" * 16, "b2" * 16, "c3" * 16


def photo(photo_id: str, png: bytes) -> RetrievedPhoto:
    return RetrievedPhoto(photo_id, png, (), complete=False)


def copy(*photos: RetrievedPhoto) -> Retrieved:
    return Retrieved(REQUEST, RequestKind.ACCESS, photos, True, left_out=(LeftOut("d4" * 16, Reason.EXPIRED),))


@pytest.mark.parametrize(("bit_exact", "said"), [(True, "true"), (False, "false")])
def test_a_disputed_photo_is_a_png(bit_exact: bool, said: str) -> None:
    answer = downloads.attachment(Retrieved(REQUEST, RequestKind.RECOVERY, (photo(ONE, b"pixels"),), bit_exact))
    assert (answer.data, answer.mimetype) == (b"pixels", "image/png")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a1a1a1a1-b2b2b2b2.png"'
    assert (answer.headers["X-Bit-Exact"], answer.headers["X-Left-Out"]) == (said, "0")


@pytest.mark.parametrize("photos", [(photo(ONE, b"only"),), (photo(ONE, b"first"), photo(OTHER, b"second"))])
def test_a_copy_is_an_archive_that_says_what_is_not_in_it(photos: tuple[RetrievedPhoto, ...]) -> None:
    answer = downloads.attachment(copy(*photos))
    assert (answer.mimetype, answer.headers["X-Left-Out"]) == ("application/zip", "1")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a1a1a1a1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    told = json.loads(files.pop("contents.json"))
    assert (told["request_id"], told["photos"], told["bit_exact"]) == (REQUEST, len(photos), True)
    assert told["left_out"] == [{"photo_id": "d4" * 16, "reason": "expired"}]
    assert set(told["reasons"]) == set(Reason)
    assert files == {f"{one.photo_id}.png": one.png for one in photos}


class Breaking:
    """Two photos, of which the second does not open any more. taken: how many have been asked for."""

    taken = 0

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[RetrievedPhoto]:
        for png in (b"first", None):
            self.taken += 1
            if png is None:
                raise SealBrokenError("the second does not open")
            yield photo(ONE, png)


def test_photos_are_opened_when_the_ones_before_have_left() -> None:
    photos = Breaking()
    parts = downloads.content(Retrieved(REQUEST, RequestKind.ACCESS, photos, True))
    assert photos.taken == 0
    assert b"first" in next(parts)
    assert photos.taken == 1


def test_an_archive_that_broke_off_cannot_be_read() -> None:
    came = list[bytes]()
    with pytest.raises(SealBrokenError):
        came.extend(downloads.content(Retrieved(REQUEST, RequestKind.ACCESS, Breaking(), True)))
    assert came
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(came)))
