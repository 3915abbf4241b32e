"""Photos collected from S3: a real bucket over HTTP, a real ledger, a real store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pictures
import pytest
import s3_server
from intake_counter import Counter, open_counter
from PIL import Image as Pillow
from s3_server import Bucket

from backend.errors import IntakeError, LedgerError
from backend.intake import collecting
from backend.intake.collecting import Collecting, Collection
from backend.ledger.records import PhotoState
from backend.storage import BlobStore


def photo(number: int) -> bytes:
    return pictures.saved(Pillow.new("RGB", (20, 16), (number % 256, number // 256, 77)), "PNG")


@pytest.fixture
def counter(tmp_path: Path, bucket: Bucket) -> Counter:
    return open_counter(tmp_path / "data").with_desk(s3_prefixes=(f"s3://{bucket.name}/ward",))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)


def over(collecting: Collecting, project_id: str) -> Collection:
    """The project's collection once it is over."""

    def ended() -> bool:
        found = collecting.of(project_id)
        return found is not None and not found.under_way

    eventually(ended)
    found = collecting.of(project_id)
    assert found is not None
    return found


class HeldStore(BlobStore):
    """A store that puts nothing away until it is let go, and tells when it is asked to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked, self.let_go = threading.Event(), threading.Event()

    def put(self, data: bytes, *, name: str | None = None) -> str:
        self.asked.set()
        assert self.let_go.wait(30)
        return super().put(data, name=name)


@pytest.fixture
def held(counter: Counter) -> tuple[Counter, HeldStore]:
    store = HeldStore((counter.folder / "blobs").as_uri())
    return counter.with_desk(blobs=store), store


def test_all_photos_under_a_prefix_arrive_and_who_is_in_them(counter: Counter, bucket: Bucket) -> None:
    project = counter.project()
    bucket.put({f"ward/monday/{number:02}.png": photo(number) for number in range(45)})
    rows = "\n".join(f"monday/{number:02}.png,P-{number},C-{number}" for number in range(44))
    bucket.put({"ward/who.csv": f"file,subject_id,consent\n{rows}".encode()})
    bucket.put({"ward/notes.txt": b"no picture", "other/x.png": photo(99), "ward/.hidden.png": b"litter"})

    with Collecting(counter.desk, counter.clock) as collector:
        begun = collector.start(project.project_id, address=f"s3://{bucket.name}/ward/")
        ended = over(collector, project.project_id)

    assert (begun.state, begun.total) == ("running", None)
    assert (ended.state, ended.total, ended.accepted, ended.refused) == ("done", 46, 45, 1)
    assert ended.ended_at == counter.clock()
    noted = counter.desk.ledger.photos(project.project_id)
    assert {(one.subject_id, one.consent) for one in noted} == {
        *((f"P-{number}", f"C-{number}") for number in range(44)),
        (None, None),
    }
    assert {counter.original(one) for one in noted} == {photo(number) for number in range(45)}
    told = {result.name: result.reason or result.note for result in ended.told}
    assert told.keys() == {"monday/44.png", "notes.txt"}
    assert told["monday/44.png"] == "the CSV has no row for it"
    assert "not a picture" in told["notes.txt"]
    assert [result.index for result in ended.told] == [45, 44], "what was refused comes first"


def test_nothing_of_where_they_lay_is_in_a_log_or_on_the_disk(
    counter: Counter, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger="backend")
    project = counter.project()
    bucket.put({"ward/Ludmilla-Borowski.png": photo(1), "ward/Borowski.txt": b"text", "ward/Borowski.zip": b"PK"})

    with Collecting(counter.desk, counter.clock) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        assert over(collector, project.project_id).accepted == 1

    for place in (counter.all_bytes().decode("latin-1"), caplog.text):
        assert "Borowski" not in place
        assert bucket.name not in place


def test_a_row_that_fits_photos_of_different_parts_is_refused(counter: Counter, bucket: Bucket) -> None:
    project = counter.project()
    bucket.put({f"ward/a/{number:02}.png": photo(number) for number in range(25)})
    bucket.put({"ward/b/00.png": photo(99), "ward/who.csv": b"file,subject_id\n00.png,P-1\n24.png,P-2\n"})

    with Collecting(counter.desk, counter.clock) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        ended = over(collector, project.project_id)

    assert (ended.accepted, ended.refused) == (24, 2)
    refused = {result.name: result.reason for result in ended.told if result.reason}
    assert refused.keys() == {"a/00.png", "b/00.png"}
    assert all("row 2 of the CSV fits more than one file" in (reason or "") for reason in refused.values())
    subjects = [one.subject_id for one in counter.desk.ledger.photos(project.project_id)]
    assert sorted(filter(None, subjects)) == ["P-2"]


def test_what_was_collected_before_is_recognised(counter: Counter, bucket: Bucket) -> None:
    project = counter.project()
    bucket.put({f"ward/{number}.png": photo(number) for number in range(3)})
    with Collecting(counter.desk, counter.clock) as collector:
        for _ in range(2):
            collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
            ended = over(collector, project.project_id)

    assert (ended.accepted, len(ended.told)) == (3, 3)
    assert {result.note for result in ended.told} == {"it was handed in before and is waiting"}
    assert counter.desk.ledger.progress(project.project_id, now=counter.clock()).total == 3


def test_a_collection_is_stopped_and_another_begun(held: tuple[Counter, HeldStore], bucket: Bucket) -> None:
    counter, store = held
    project = counter.project()
    bucket.put({f"ward/{number:02}.png": photo(number) for number in range(45)})
    with Collecting(counter.desk, counter.clock) as collector:
        first = collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        assert store.asked.wait(30)
        with pytest.raises(IntakeError, match="for this project already"):
            collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        stopped = collector.stop(project.project_id)
        assert (stopped.state, stopped.total) == ("stopped", 45)
        second = collector.start(project.project_id, address=f"s3://{bucket.name}/ward/nothing")
        store.let_go.set()
        assert over(collector, project.project_id).problem == "there is no photo under this address"

    # The first one ended after the photos that it had in hand, and told nothing to the second.
    assert len(counter.desk.ledger.photos(project.project_id)) == 20
    found = collector.of(project.project_id)
    assert found is not None
    assert (found.collection_id, found.accepted) == (second.collection_id, 0)
    assert first.collection_id != second.collection_id


def test_the_end_of_the_process_ends_what_is_under_way(held: tuple[Counter, HeldStore], bucket: Bucket) -> None:
    counter, store = held
    project = counter.project()
    bucket.put({f"ward/{number:02}.png": photo(number) for number in range(45)})
    with Collecting(counter.desk, counter.clock) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        assert store.asked.wait(30)
        threading.Timer(0.1, store.let_go.set).start()

    found = collector.of(project.project_id)
    assert found is not None
    assert (found.state, found.accepted) == ("stopped", 20)


def test_only_so_many_at_once(held: tuple[Counter, HeldStore], bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST_AT_ONCE", 2)
    counter, store = held
    projects = [counter.project(labelstudio_id=number) for number in range(3)]
    bucket.put({"ward/a.png": photo(1)})
    address = f"s3://{bucket.name}/ward"
    with Collecting(counter.desk, counter.clock) as collector:
        for project in projects[:2]:
            collector.start(project.project_id, address=address)
        with pytest.raises(IntakeError, match="for 2 projects; wait"):
            collector.start(projects[2].project_id, address=address)
        store.let_go.set()
        for project in projects[:2]:
            assert over(collector, project.project_id).state == "done"
        collector.start(projects[2].project_id, address=address)
        assert over(collector, projects[2].project_id).state == "done"


def test_a_project_that_is_turned_off_takes_no_more(held: tuple[Counter, HeldStore], bucket: Bucket) -> None:
    counter, store = held
    project = counter.project()
    bucket.put({f"ward/{number:02}.png": photo(number) for number in range(45)})
    with Collecting(counter.desk, counter.clock) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        assert store.asked.wait(30)
        counter.desk.ledger.switch(project.project_id, on=False)
        store.let_go.set()
        ended = over(collector, project.project_id)
        assert (ended.state, ended.accepted) == ("failed", 20)
        assert "anonymization is off" in (ended.problem or "")
        with pytest.raises(IntakeError, match="anonymization is off"):
            collector.start(project.project_id, address=f"s3://{bucket.name}/ward")


def test_what_may_not_be_read_is_refused_at_once(counter: Counter, bucket: Bucket) -> None:
    project = counter.project()
    with Collecting(counter.desk, counter.clock) as collector:
        with pytest.raises(IntakeError, match="not under a prefix that may be read"):
            collector.start(project.project_id, address=f"s3://{bucket.name}/private")
        with pytest.raises(LedgerError):
            collector.start("0" * 32, address=f"s3://{bucket.name}/ward")
        assert collector.of(project.project_id) is None
        with pytest.raises(LedgerError, match="nothing is collected"):
            collector.stop(project.project_id)


def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, bucket: Bucket) -> None:
    counter = open_counter(tmp_path / "data").with_desk(s3_prefixes=(f"s3://{bucket.name}x",))
    project = counter.project()
    with Collecting(counter.desk, counter.clock) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}x")
        ended = over(collector, project.project_id)
    assert ended.state == "failed"
    assert ended.problem == "S3 is away, has no such bucket, or does not let this server read it"


def test_s3_that_goes_away_in_the_middle_is_told_and_the_rest_comes_later(
    held: tuple[Counter, HeldStore], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3_server.forget_connections()
    counter, store = held
    project = counter.project()
    bucket.put({f"ward/{number:02}.png": photo(number) for number in range(25)})
    address = f"s3://{bucket.name}/ward"
    with Collecting(counter.desk, counter.clock) as collector:
        collector.start(project.project_id, address=address)
        assert store.asked.wait(30)
        with bucket.hidden():
            store.let_go.set()
            ended = over(collector, project.project_id)
        assert (ended.state, ended.accepted, ended.refused) == ("done", 20, 5)
        assert {result.reason for result in ended.told} == {"it could not be read from S3; hand it in once more"}
        collector.start(project.project_id, address=address)
        assert over(collector, project.project_id).accepted == 25
    assert counter.desk.ledger.progress(project.project_id, now=counter.clock()).waiting == 25


def test_what_nobody_foresaw_is_told_without_what_it_said(
    counter: Counter, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(BlobStore):
        def put(self, data: bytes, *, name: str | None = None) -> str:  # noqa: ARG002
            raise ZeroDivisionError("ward/a.png")

    project = counter.project()
    bucket.put({"ward/a.png": photo(1)})
    with Collecting(counter.with_desk(blobs=Broken("memory://x")).desk, counter.clock) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        ended = over(collector, project.project_id)
    assert ended.state == "failed"
    assert "collect once more" in (ended.problem or "")
    assert "ZeroDivisionError" in caplog.records[-1].__dict__["reason"]
    assert "a.png" not in caplog.text


def test_a_worker_without_a_key_is_told(counter: Counter, bucket: Bucket) -> None:
    (counter.folder / "inbox.pub").unlink()
    project = counter.project()
    bucket.put({"ward/a.png": photo(1)})
    with Collecting(counter.desk, counter.clock) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        assert "python -m worker init" in (over(collector, project.project_id).problem or "")


def test_names_are_not_kept_for_ever(counter: Counter, bucket: Bucket) -> None:
    now = [datetime(2026, 3, 2, tzinfo=UTC)]
    project = counter.project()
    bucket.put({"ward/a.txt": b"text"})
    with Collecting(counter.desk, lambda: now[0]) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        assert over(collector, project.project_id).refused == 1
        now[0] += timedelta(hours=23)
        assert collector.of(project.project_id) is not None
        now[0] += timedelta(hours=2)
        assert collector.of(project.project_id) is None


def test_of_many_refusals_some_are_told_and_all_are_counted(
    counter: Counter, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MOST_TOLD", 7)
    project = counter.project()
    bucket.put({f"ward/{number}.txt": b"text" for number in range(25)})
    with Collecting(counter.desk, counter.clock) as collector:
        collector.start(project.project_id, address=f"s3://{bucket.name}/ward")
        ended = over(collector, project.project_id)
    assert (ended.refused, len(ended.told)) == (25, 7)
    assert counter.desk.ledger.photos(project.project_id, state=PhotoState.WAITING) == []
