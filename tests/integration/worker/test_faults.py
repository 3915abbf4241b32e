"""Whatever dies, is flushed, fills up or goes away: nothing is lost, nothing happens twice, no original is shown."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import mortal_worker
import numpy as np
import pytest
from label_studio_double import Double
from mortal_worker import LEASE_S, Orders, ended, eventually
from own_redis import OwnRedis
from workshop import LABELSTUDIO_PROJECT, Workshop, later, painting

from backend.ledger.records import Photo, PhotoState, Project
from g2face_model import images
from worker.reconcile import reconcile

TASK_STEPS = (
    *("claimed", "fetched", "decoded", "anonymized", "encoded", "proved", "sealed", "locked", "stored"),
    *("ready", "announced"),
)
PUBLISHING_STEPS = ("publishing", "looked up", "importing", "imported", "shown", "published", "deleted")
ADOPTION_STEPS = ("claimed", "fetched", "locked", "ready", "replaced", "predicted", "shown", "published")
SUBJECT = "Ada Example"


@pytest.fixture
def project(workshop: Workshop) -> Project:
    return workshop.project(adopts=True)


@contextmanager
def worker(workshop: Workshop, **orders: Any) -> Iterator[BaseProcess]:
    """A worker process that ends when there is nothing left to do, unless it is to `stay`."""
    wanted = Orders(workshop.folder, workshop.redis_url, workshop.labelstudio_url, **orders)
    with mortal_worker.running(wanted) as process:
        yield process


def work(workshop: Workshop, **orders: Any) -> int | None:
    """Let one worker empty the queues; its exit status."""
    with worker(workshop, **orders) as process:
        return ended(process)


def recover(workshop: Workshop, **orders: Any) -> None:
    """What happens after a fault: the claims lapse, reconciling comes round, a new worker takes over."""
    time.sleep(LEASE_S)
    for _ in range(3):
        reconcile(workshop.overseer(), now=later(3600))
        if not any(workshop.jobs.depth().values()):
            return
        assert work(workshop, **orders) == 0


def steps(workshop: Workshop) -> list[str]:
    return (workshop.folder / "steps").read_text().split("\n")


def await_step(workshop: Workshop, name: str) -> None:
    eventually(lambda: (workshop.folder / "steps").exists() and name in steps(workshop))


def assert_done_once(workshop: Workshop, double: Double, photo: Photo, *, number: int = 0) -> None:
    """Published, locked, audited and recoverable, each exactly once; the original is nowhere any more."""
    done = workshop.ledger.photo(photo.photo_id)
    assert (done.state, done.reason) == (PhotoState.PUBLISHED, None)
    ours = [task for task in double.tasks.values() if task["data"].get("privacy_key") == photo.photo_id]
    assert [task["id"] for task in ours] == [done.labelstudio_task_id]
    assert [known["task"] for known in double.predictions].count(done.labelstudio_task_id) == 1
    assert len(workshop.vault.records_of_photo(photo.photo_id)) == 2
    assert [event.action for event in workshop.events() if event.target == photo.photo_id] == ["photo.sealed"]
    np.testing.assert_array_equal(workshop.restored(done), painting(number))
    assert not np.array_equal(workshop.published(done), painting(number))
    assert done.source_blob is None
    assert photo.source_blob not in workshop.blob_names()
    assert workshop.ledger.discarded_blobs() == []


def assert_no_original_shown(workshop: Workshop, double: Double, original: np.ndarray) -> None:
    """Of everything that Label Studio was given, no image is the original, and nothing that is stored is readable."""
    for task in double.tasks.values():
        key = task["data"]["image"].rpartition("/images/")[2].partition("?")[0]
        shown = workshop.ledger.photo_of_image(key)
        assert shown is not None
        assert not np.array_equal(workshop.published(shown), original)
    for name in workshop.blob_names():
        data = workshop.blobs.get(name)
        assert not data.startswith(b"\x89PNG") or not np.array_equal(images.decode(data), original)


@pytest.mark.parametrize("step", [*TASK_STEPS, *PUBLISHING_STEPS])
def test_a_worker_killed_at_any_step(
    workshop: Workshop, double: Double, project: Project, redis: OwnRedis, step: str
) -> None:
    photo = workshop.hand_in(project, subject_id=SUBJECT)
    workshop.enqueue(photo)
    assert work(workshop, die_at=step) == -9
    assert_no_original_shown(workshop, double, painting())
    assert double.imports == (step in ("imported", "shown", "published", "deleted"))
    recover(workshop)
    assert_done_once(workshop, double, photo)
    assert double.imports == 1
    assert SUBJECT not in redis.dump()


@pytest.mark.parametrize("step", ADOPTION_STEPS)
def test_a_worker_killed_while_it_adopts(workshop: Workshop, double: Double, project: Project, step: str) -> None:
    address = "/data/upload/7/0a1b2c3d-original.png"
    double.files[address] = images.encode(painting(), "png")
    task_id = double.add_task(LABELSTUDIO_PROJECT, {"image": address})
    photo = workshop.adopt(project, task_id, address)
    workshop.enqueue(photo)
    assert work(workshop, die_at=step) == -9
    recover(workshop)
    assert_done_once(workshop, double, photo)
    assert (double.imports, len(double.tasks)) == (0, 1)
    assert_no_original_shown(workshop, double, painting())


def test_workers_that_die_one_after_the_other(workshop: Workshop, double: Double, project: Project) -> None:
    photo = workshop.hand_in(project)
    workshop.enqueue(photo)
    for step in ("fetched", "locked", "stored", "imported"):
        assert work(workshop, die_at=step) == -9
        time.sleep(LEASE_S)
        reconcile(workshop.overseer(), now=later(3600))
    recover(workshop)
    assert_done_once(workshop, double, photo)


def test_redis_flushed_in_the_middle_of_a_job(
    workshop: Workshop, double: Double, project: Project, redis: OwnRedis
) -> None:
    photos = [workshop.hand_in(project, images.encode(painting(number), "png")) for number in range(3)]
    for photo in photos:
        workshop.enqueue(photo)
    with worker(workshop, pause_at="anonymized") as process:
        await_step(workshop, "anonymized")
        redis.flush()
        (workshop.folder / "go").touch()
        assert ended(process) == 0
    recover(workshop)
    for number, photo in enumerate(photos):
        assert_done_once(workshop, double, photo, number=number)


def test_redis_gone_in_the_middle_of_a_job_and_back_later(
    workshop: Workshop, double: Double, project: Project, redis: OwnRedis
) -> None:
    photos = [workshop.hand_in(project, images.encode(painting(number), "png")) for number in range(2)]
    for photo in photos:
        workshop.enqueue(photo)
    with worker(workshop, pause_at="anonymized", stay=True) as process:
        await_step(workshop, "anonymized")
        redis.stop()
        (workshop.folder / "go").touch()
        eventually(lambda: workshop.ledger.photo(photos[0].photo_id).state is PhotoState.READY)
        redis.start()
        time.sleep(LEASE_S)

        def done() -> bool:
            reconcile(workshop.overseer(), now=later(3600))
            states = {workshop.ledger.photo(photo.photo_id).state for photo in photos}
            return states == {PhotoState.PUBLISHED} and workshop.ledger.discarded_blobs() == []

        eventually(done)
        assert process.is_alive()  # the same worker, which waited for Redis
    for number, photo in enumerate(photos):
        assert_done_once(workshop, double, photo, number=number)


def test_label_studio_down_for_a_while(workshop: Workshop, double: Double, project: Project) -> None:
    photo = workshop.hand_in(project)
    workshop.enqueue(photo)
    double.stop()
    for _ in range(7):  # more often than a photo would be tried
        assert work(workshop) == 0
        reconcile(workshop.overseer(), now=later(3600))
        waiting = workshop.ledger.photo(photo.photo_id)
        assert (waiting.state, waiting.source_blob in workshop.blob_names()) == (PhotoState.READY, True)
    double.start()
    recover(workshop)
    assert_done_once(workshop, double, photo)


def test_label_studio_hangs_up_after_it_has_imported(workshop: Workshop, double: Double, project: Project) -> None:
    photo = workshop.hand_in(project)
    workshop.enqueue(photo)
    double.lose_answers = 1
    assert work(workshop) == 0
    recover(workshop)
    assert_done_once(workshop, double, photo)
    assert double.imports == 1


def large_painting() -> bytes:
    return images.encode(np.random.default_rng(5).integers(0, 256, (600, 600, 3), np.uint8), "png")


@pytest.mark.parametrize(
    ("recovery", "reason"),
    [("exact", "a custody database cannot be used"), ("none", "a blob could not be read or written")],
)
def test_a_disk_with_no_room_for_the_records_or_the_image(
    workshop: Workshop, double: Double, recovery: str, reason: str
) -> None:
    photo = workshop.hand_in(workshop.project(recovery=recovery), large_painting())
    workshop.enqueue(photo)
    before = workshop.blob_names()
    assert work(workshop, largest_file=800_000) == 0
    waiting = workshop.ledger.photo(photo.photo_id)
    assert waiting.state is PhotoState.WAITING
    assert waiting.reason is not None
    assert waiting.reason.startswith(reason)
    assert workshop.blob_names() == before  # nothing half-written
    assert double.tasks == {}
    recover(workshop)
    done = workshop.ledger.photo(photo.photo_id)
    assert done.state is PhotoState.PUBLISHED
    if recovery == "exact":
        np.testing.assert_array_equal(workshop.restored(done), images.decode(large_painting()))
    assert len(workshop.vault.records_of_photo(photo.photo_id)) == len(workshop.records(done))
    assert len(workshop.events()) == 1


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of half a megabyte, where the system lets us have one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_disk_that_is_really_full(tmp_path: Path, redis: OwnRedis, double: Double) -> None:
    with small_disk(tmp_path / "disk") as disk:
        workshop = Workshop(tmp_path / "workshop", redis_url=redis.url, double=double, storage=(disk / "b").as_uri())
        photo = workshop.hand_in(workshop.project())
        workshop.enqueue(photo)
        ballast = disk / "ballast"
        fill(ballast)
        assert work(workshop, storage=(disk / "b").as_uri()) == 0
        waiting = workshop.ledger.photo(photo.photo_id)
        assert (waiting.state, waiting.reason) == (PhotoState.WAITING, "a blob could not be read or written")
        ballast.unlink()
        recover(workshop, storage=(disk / "b").as_uri())
        done = workshop.ledger.photo(photo.photo_id)
        assert done.state is PhotoState.PUBLISHED
        np.testing.assert_array_equal(workshop.restored(done), painting())
        assert (len(double.tasks), len(workshop.events())) == (1, 1)
        workshop.close()


def test_two_workers_on_one_task(workshop: Workshop, double: Double, project: Project) -> None:
    photo = workshop.hand_in(project)
    with worker(workshop, pause_at="claimed", stay=True, lease_s=60) as first:
        workshop.enqueue(photo)
        await_step(workshop, "claimed")
        workshop.enqueue(photo)  # as reconciling would, were it too early
        assert work(workshop) == 0
        assert steps(workshop).count("claimed") == 1  # the second one found it taken
        (workshop.folder / "go").touch()
        eventually(lambda: workshop.ledger.photo(photo.photo_id).state is PhotoState.PUBLISHED)
        eventually(lambda: workshop.ledger.discarded_blobs() == [])
        assert first.is_alive()
    assert_done_once(workshop, double, photo)


def test_a_worker_that_was_only_slow_comes_back_to_a_photo_that_is_done(
    workshop: Workshop, double: Double, project: Project
) -> None:
    photo = workshop.hand_in(project)
    with worker(workshop, pause_at="stored", stay=True) as slow:
        workshop.enqueue(photo)
        await_step(workshop, "stored")
        time.sleep(LEASE_S)
        reconcile(workshop.overseer(), now=later(3600))
        assert work(workshop) == 0
        done = workshop.ledger.photo(photo.photo_id)
        assert done.state is PhotoState.PUBLISHED
        (workshop.folder / "go").touch()
        eventually(lambda: steps(workshop).count("stored") == 2)
        time.sleep(0.5)
        assert slow.is_alive()
    assert workshop.ledger.photo(photo.photo_id) == done
    assert_done_once(workshop, double, photo)
    assert double.imports == 1


def test_many_photos_on_two_workers_at_once(workshop: Workshop, double: Double, project: Project) -> None:
    photos = [workshop.hand_in(project, images.encode(painting(number), "png")) for number in range(12)]
    for photo in photos:
        workshop.enqueue(photo)
    with worker(workshop, lease_s=60) as first, worker(workshop, lease_s=60) as second:
        assert ended(first) == ended(second) == 0
    recover(workshop)
    for number, photo in enumerate(photos):
        assert_done_once(workshop, double, photo, number=number)
    assert len(double.tasks) == 12


def test_nothing_of_a_person_reaches_redis_label_studio_or_the_log(
    workshop: Workshop, double: Double, project: Project, redis: OwnRedis
) -> None:
    good = workshop.hand_in(project, subject_id=SUBJECT)
    workshop.enqueue(good)
    workshop.enqueue(workshop.hand_in(project, b"no picture at all", subject_id=SUBJECT))
    with worker(workshop, pause_at="anonymized") as process:
        await_step(workshop, "anonymized")
        busy = redis.dump()
        (workshop.folder / "go").touch()
        assert ended(process) == 0
    log = (workshop.folder / "log").read_text()
    assert good.photo_id in busy
    for text in (busy, redis.dump(), log, str(double.tasks), str(double.predictions)):
        assert SUBJECT not in text
        assert "no picture at all" not in text
        assert str(workshop.folder) not in text
        assert "Traceback" not in text
