from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import mortal_worker
import pytest
from mortal_worker import Orders, ended, eventually
from own_redis import OwnRedis
from workshop import Workshop, painting, task_of

from backend.errors import QueueError
from backend.ledger.records import PhotoState
from g2face_model import images
from worker.listening import listen


def test_a_worker_told_to_stop_finishes_its_photo_and_starts_no_other(workshop: Workshop, orders: Orders) -> None:
    project = workshop.project()
    photos = [workshop.hand_in(project, images.encode(painting(number), "png")) for number in range(2)]
    for photo in photos:
        workshop.enqueue(photo)
    steps = workshop.folder / "steps"
    with mortal_worker.running(replace(orders, pause_at="anonymized")) as process:
        eventually(lambda: steps.exists() and "anonymized" in steps.read_text())
        os.kill(process.pid or 0, signal.SIGTERM)
        (workshop.folder / "go").touch()
        assert ended(process) == 0
    states = [workshop.ledger.photo(photo.photo_id).state for photo in photos]
    assert states == [PhotoState.READY, PhotoState.WAITING]
    assert sum(workshop.jobs.depth().values()) == 2  # the other photo, and the first one's publication


def test_a_worker_told_to_stop_while_it_has_nothing_to_do_stops(workshop: Workshop, orders: Orders) -> None:
    photo = workshop.hand_in(workshop.project())
    workshop.enqueue(photo)
    with mortal_worker.running(orders) as process:
        eventually(lambda: workshop.ledger.photo(photo.photo_id).state is PhotoState.PUBLISHED)
        time.sleep(0.2)
        os.kill(process.pid or 0, signal.SIGTERM)
        assert ended(process, within_s=10) == 0


def test_a_worker_told_to_stop_while_redis_is_away_stops(workshop: Workshop, orders: Orders, redis: OwnRedis) -> None:
    photo = workshop.hand_in(workshop.project())
    workshop.enqueue(photo)
    with mortal_worker.running(orders) as process:
        eventually(lambda: workshop.ledger.photo(photo.photo_id).state is PhotoState.PUBLISHED)
        redis.stop()
        time.sleep(0.5)
        os.kill(process.pid or 0, signal.SIGTERM)
        assert ended(process, within_s=20) == 0


def test_the_interactive_queue_comes_first(workshop: Workshop, orders: Orders) -> None:
    project = workshop.project()
    photos = [workshop.hand_in(project, images.encode(painting(number), "png")) for number in range(2)]
    workshop.jobs.enqueue(task_of(photos[0]), queue="bulk")
    workshop.jobs.enqueue(task_of(photos[1]), queue="interactive")
    with mortal_worker.running(replace(orders, pause_at="claimed")):
        eventually(lambda: workshop.ledger.photo(photos[1].photo_id).state is PhotoState.WORKING)
        assert workshop.ledger.photo(photos[0].photo_id).state is PhotoState.WAITING


@pytest.fixture
def signals() -> Iterator[None]:
    """Fails when something else than before would hear a signal."""
    listened_for = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in listened_for]
    yield
    assert [signal.getsignal(number) for number in listened_for] == before


@pytest.mark.usefixtures("signals")
def test_patience_with_a_redis_that_went_away_ends(redis: OwnRedis) -> None:
    away = threading.Timer(0.5, redis.stop)
    away.start()
    assert listen(redis.url, ["bulk"], burst=False, patience_s=1.0) is False
    assert listen(redis.url, ["bulk"], burst=False, patience_s=1.0) is False  # nor is it there at first
    away.join()


@pytest.mark.usefixtures("signals")
def test_a_listener_that_gave_up_leaves_no_thread_behind(redis: OwnRedis) -> None:
    before = threading.active_count()
    away = threading.Timer(0.5, redis.stop)
    away.start()
    assert listen(redis.url, ["bulk"], burst=False, patience_s=1.0) is False
    away.join()
    eventually(lambda: threading.active_count() <= before)


@pytest.mark.usefixtures("signals")
def test_without_a_redis_there_is_no_burst(redis: OwnRedis) -> None:
    redis.stop()
    with pytest.raises(QueueError):
        listen(redis.url, ["bulk"], burst=True)


def test_nothing_is_kept_of_a_job_that_is_over(workshop: Workshop, orders: Orders, redis: OwnRedis) -> None:
    project = workshop.project()
    good, bad = workshop.hand_in(project), workshop.hand_in(project, b"no picture at all")
    workshop.enqueue(good)
    workshop.enqueue(bad)
    with mortal_worker.running(replace(orders, stay=False)) as process:
        assert ended(process) == 0
    assert workshop.ledger.photo(good.photo_id).state is PhotoState.PUBLISHED
    assert workshop.ledger.photo(bad.photo_id).state is PhotoState.FAILED
    assert "rq:job:" not in redis.dump()
    assert good.photo_id not in redis.dump()
