from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

import own_redis
import pictures
import pytest
from intake_counter import Counter, open_counter
from PIL import Image as Pillow

from backend.errors import IntakeError
from backend.intake import uploads
from backend.intake.parcels import HandedIn, Limits
from backend.ledger.records import PhotoState

TELLING_NAME = "Ludmilla-Borowski-passport.jpg"


def photo(number: int = 0) -> bytes:
    return pictures.saved(Pillow.new("RGB", (20, 16), (number % 256, number // 256, 77)), "PNG")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[own_redis.OwnRedis]:
    with own_redis.running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def counter(tmp_path: Path, redis: own_redis.OwnRedis) -> Counter:
    redis.flush()
    return open_counter(tmp_path, redis_url=redis.url)


def hand_in(counter: Counter, files: dict[str, bytes], *, total: int | None = None) -> list[uploads.UploadResult]:
    project = counter.desk.ledger.projects()[0]
    handed = [HandedIn(name, data) for name, data in files.items()]
    return counter.desk.hand_in(project.project_id, files=handed, now=counter.clock(), total=total)


def test_a_photo_is_sealed_noted_and_queued(counter: Counter) -> None:
    project, data = counter.project(), photo()

    (result,) = hand_in(counter, {"a.png": data})

    assert result.reason is None
    noted = counter.desk.ledger.photo(result.photo_id)
    assert (noted.state, noted.origin, noted.project_id) == (PhotoState.WAITING, "intake", project.project_id)
    assert noted.source_sha256 == hashlib.sha256(data).hexdigest()
    assert counter.original(noted) == data
    assert counter.desk.jobs.depth() == {"interactive": 1, "bulk": 0}


def test_neither_the_original_nor_its_name_is_anywhere_afterwards(
    counter: Counter, redis: own_redis.OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    counter.project()
    data = photo()

    hand_in(counter, {TELLING_NAME: data, f"x/{TELLING_NAME}.txt": b"no picture"})

    on_disk = counter.all_bytes()
    assert data[:40] not in on_disk
    for place in (on_disk.decode("latin-1"), redis.dump(), caplog.text):
        assert "Borowski" not in place


@pytest.mark.parametrize("name", sorted(pictures.BAD))
def test_what_is_no_picture_is_refused_with_a_reason_and_stops_nothing(counter: Counter, name: str) -> None:
    counter.project()
    make, reason = pictures.BAD[name]

    bad, good = hand_in(counter, {name: make(), "good.png": photo()})

    assert bad.photo_id is None
    assert reason in (bad.reason or "")
    assert good.photo_id is not None
    assert (bad.index, good.index) == (0, 1)


@pytest.mark.parametrize("name", sorted(pictures.GOOD))
def test_every_kind_of_picture_is_taken(counter: Counter, name: str) -> None:
    counter.project()

    (result,) = hand_in(counter, {name: pictures.GOOD[name]()})

    assert result.reason is None


def test_the_list_says_who_is_who(counter: Counter) -> None:
    counter.project()
    rows = b"file,subject_id,consent\na.png,P-1,C-7\n"

    listed, unlisted = hand_in(counter, {"a.png": photo(1), "b.png": photo(2), "who.csv": rows})

    noted = counter.desk.ledger.photo(listed.photo_id)
    assert (noted.subject_id, noted.consent, listed.note) == ("P-1", "C-7", None)
    assert counter.desk.ledger.photo(unlisted.photo_id).subject_id is None
    assert unlisted.note == "the CSV has no row for it"


def test_a_row_that_fits_two_files_takes_neither(counter: Counter) -> None:
    counter.project()
    rows = b"file,subject_id\na.png,P-1\ny/b.png,P-2\n"

    results = hand_in(counter, {"x/a.png": photo(1), "y/a.png": photo(2), "y/b.png": photo(3), "who.csv": rows})

    assert [result.photo_id is None for result in results] == [True, True, False]
    assert "row 2 of the CSV fits more than one file" in (results[0].reason or "")


def test_the_same_photo_twice_is_one_photo_and_leaves_one_blob(counter: Counter) -> None:
    counter.project()

    first, again = hand_in(counter, {"a.png": photo(), "copy of a.png": photo()})

    assert again.photo_id == first.photo_id
    assert again.note == "it was handed in before and is waiting"
    assert sum(path.is_file() for path in (counter.folder / "blobs").rglob("*")) == 1
    assert counter.original(counter.desk.ledger.photo(first.photo_id)) == photo()
    assert counter.desk.jobs.depth()["interactive"] == 1


def test_a_cancelled_photo_may_be_handed_in_again(counter: Counter) -> None:
    project = counter.project()
    (first,) = hand_in(counter, {"a.png": photo()})
    counter.desk.cancel(project.project_id, now=counter.clock())

    (again,) = hand_in(counter, {"a.png": photo()})

    noted = counter.desk.ledger.photo(again.photo_id)
    assert (again.photo_id, noted.state, again.note) == (first.photo_id, PhotoState.WAITING, None)
    assert counter.original(noted) == photo()


@pytest.mark.parametrize(("total", "queue"), [(None, "interactive"), (19, "interactive"), (20, "bulk")])
def test_a_few_photos_overtake_many(counter: Counter, total: int | None, queue: str) -> None:
    counter.project()

    hand_in(counter, {"a.png": photo()}, total=total)

    assert counter.desk.jobs.depth()[queue] == 1


def test_an_archive_counts_by_what_is_in_it(counter: Counter) -> None:
    counter.project()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}.png", photo(number))

    results = hand_in(counter, {"all.zip": buffer.getvalue()})

    assert [result.index for result in results] == list(range(20))
    assert counter.desk.jobs.depth() == {"interactive": 0, "bulk": 20}


def test_while_the_queue_is_away_photos_are_accepted_and_the_ledger_remembers(tmp_path: Path) -> None:
    counter = open_counter(tmp_path)  # nobody listens there
    counter.project()

    results = hand_in(counter, {f"{number}.png": photo(number) for number in range(3)})

    assert all(result.photo_id for result in results)
    counter.clock.forward(minutes=1)
    assert {photo.photo_id for photo in counter.desk.ledger.overdue(now=counter.clock())} == {
        result.photo_id for result in results
    }


def test_a_full_disk_refuses_the_photo_and_notes_nothing(counter: Counter) -> None:
    project = counter.project()
    folder = counter.folder / "blobs"
    folder.write_bytes(b"a file where the folder should be")

    (result,) = hand_in(counter, {"a.png": photo()})

    assert result.reason == "it could not be stored just now; hand it in once more"
    assert counter.desk.ledger.photos(project.project_id) == []


def test_a_project_that_is_off_takes_nothing(counter: Counter) -> None:
    counter.project(on=False)

    with pytest.raises(IntakeError, match="off for this project"):
        hand_in(counter, {"a.png": photo()})


def test_limits_hold(counter: Counter) -> None:
    counter.project()
    small = counter.with_desk(limits=Limits(files=1))

    with pytest.raises(IntakeError, match="more than 1 files"):
        hand_in(small, {"a.png": photo(1), "b.png": photo(2)})
