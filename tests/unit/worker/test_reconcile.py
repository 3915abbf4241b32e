from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import label_studio_double
import own_redis
import pytest
from label_studio_double import Double
from own_redis import OwnRedis
from workshop import LABELSTUDIO_PROJECT, PUBLIC_URL, Workshop, later, now, task_of

from backend.labelstudio.labels import expression_config
from backend.ledger.records import PhotoState
from worker import task
from worker.reconcile import Reconciled, is_due, reconcile


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis.running(tmp_path) as running:
        yield running


@pytest.fixture
def double() -> Iterator[Double]:
    with label_studio_double.running(expression_config()) as running:
        yield running


@pytest.fixture
def workshop(tmp_path: Path, redis: OwnRedis, double: Double) -> Iterator[Workshop]:
    made = Workshop(tmp_path / "workshop", redis_url=redis.url, double=double)
    yield made
    made.close()


def test_a_flushed_queue_is_filled_again(workshop: Workshop, redis: OwnRedis) -> None:
    workshop.enqueue(workshop.hand_in(workshop.project()))
    redis.flush()
    assert reconcile(workshop.overseer(), now=now()) == Reconciled()  # perhaps it is only slow
    assert reconcile(workshop.overseer(), now=later(31)) == Reconciled(photos=1)
    assert workshop.jobs.depth() == {"interactive": 0, "bulk": 1}
    assert reconcile(workshop.overseer(), now=later(31)) == Reconciled()  # it is queued


def test_a_dead_workers_photo_is_queued_once_its_claim_has_lapsed(workshop: Workshop) -> None:
    photo = workshop.hand_in(workshop.project())
    task.take(workshop.runtime(), task_of(photo))
    assert reconcile(workshop.overseer(), now=later(50)) == Reconciled()
    assert reconcile(workshop.overseer(), now=later(70)) == Reconciled(photos=1)


def test_photos_that_nobody_published_are_one_publication(workshop: Workshop, redis: OwnRedis) -> None:
    project = workshop.project()
    for number in range(2):
        taken = task.take(workshop.runtime(), task_of(workshop.hand_in(project, subject_id=f"subject {number}")))
        assert taken is not None
        task.anonymize(workshop.runtime(), taken)
    redis.flush()
    assert reconcile(workshop.overseer(), now=later(31)) == Reconciled(publications=1)
    assert workshop.jobs.depth() == {"interactive": 1, "bulk": 0}


@pytest.mark.parametrize(("attempts", "pause_s"), [(1, 30), (2, 120), (3, 480), (4, 1920), (5, 3600), (99, 3600)])
def test_every_attempt_is_followed_by_a_longer_pause(workshop: Workshop, attempts: int, pause_s: int) -> None:
    photo = replace(workshop.hand_in(workshop.project()), attempts=attempts)
    assert not is_due(photo, now=photo.updated_at + timedelta(seconds=pause_s - 1))
    assert is_due(photo, now=photo.updated_at + timedelta(seconds=pause_s))


def test_a_postponed_photo_waits_for_its_turn(workshop: Workshop) -> None:
    taken = task.take(workshop.runtime(), task_of(workshop.hand_in(workshop.project())))
    assert taken is not None
    workshop.ledger.postpone(taken.photo_id, reason="away", now=later(1000), attempt=taken.attempts)
    workshop.ledger.claim(taken.photo_id, revision=1, now=later(1000), lease_s=1)
    workshop.ledger.postpone(taken.photo_id, reason="away", now=later(1000), attempt=2)
    assert reconcile(workshop.overseer(), now=later(1100)) == Reconciled()
    assert reconcile(workshop.overseer(), now=later(1121)) == Reconciled(photos=1)


def test_a_project_that_is_off_rests(workshop: Workshop) -> None:
    project = workshop.project()
    workshop.hand_in(project)
    workshop.ledger.switch(project.project_id, on=False)
    assert reconcile(workshop.overseer(), now=later(3600)) == Reconciled()


def test_an_original_whose_deletion_was_cut_short_is_deleted(workshop: Workshop) -> None:
    project = workshop.project()
    photo = workshop.hand_in(project)
    workshop.ledger.cancel(project.project_id, now=now())
    assert workshop.blob_names() == {photo.source_blob}
    assert reconcile(workshop.overseer(), now=now()) == Reconciled(deleted=1)
    assert workshop.blob_names() == set()
    assert reconcile(workshop.overseer(), now=now()) == Reconciled()


def test_tasks_that_label_studio_never_told_us_of_are_taken_over(workshop: Workshop, double: Double) -> None:
    project = workshop.project(adopts=True)
    double.add_task(LABELSTUDIO_PROJECT, {"image": "/data/upload/7/0a1b2c3d-original.png"})
    double.add_task(LABELSTUDIO_PROJECT, {"image": f"{PUBLIC_URL}/images/ours?e=0&s=0"})
    assert reconcile(workshop.overseer(), now=now(), adopting=False) == Reconciled()
    assert reconcile(workshop.overseer(), now=now()) == Reconciled(adopted=1)
    (photo,) = workshop.ledger.photos(project.project_id)
    assert (photo.state, photo.labelstudio_task_id, photo.origin) == (PhotoState.WAITING, 1, "adoption")
    assert reconcile(workshop.overseer(), now=now()) == Reconciled()


def test_one_thing_that_is_away_does_not_keep_the_others_from_their_work(
    workshop: Workshop, redis: OwnRedis, double: Double
) -> None:
    project = workshop.project(1)
    workshop.hand_in(project)
    workshop.ledger.cancel(project.project_id, now=now())
    workshop.hand_in(workshop.project(2, adopts=True))
    redis.stop()
    double.stop()
    assert reconcile(workshop.overseer(), now=later(60)) == Reconciled(deleted=1)


def test_a_pilot_that_a_worker_should_look_at_is_queued_once(workshop: Workshop, redis: OwnRedis) -> None:
    project = workshop.project()
    photo = workshop.hand_in(project)
    taken = task.take(workshop.runtime(), task_of(photo))
    assert taken is not None
    task.anonymize(workshop.runtime(), taken)
    workshop.ledger.published({photo.photo_id: 1}, now=now())
    redis.flush()
    pilot = workshop.ledger.ask_pilot(project.project_id, size=1, now=now())
    assert reconcile(workshop.overseer(), now=now()).pilots == 1
    assert reconcile(workshop.overseer(), now=now()) == Reconciled()  # it is queued
    assert workshop.jobs.depth() == {"interactive": 0, "bulk": 1}
    redis.flush()
    assert workshop.ledger.claim_pilot(pilot.pilot_id, now=now(), lease_s=60) is not None
    assert reconcile(workshop.overseer(), now=later(50)) == Reconciled()
    assert reconcile(workshop.overseer(), now=later(70)).pilots == 1
