from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stand_in import StandIn
from workshop import Workshop, later, task_of

from backend.errors import BackendError, ClaimLostError, KeyShreddedError, StorageError
from backend.jobs import PublishTask
from backend.ledger.records import Photo, PhotoState
from g2face_model.types import AnonymizedImage, Image
from worker import jobs
from worker.runtime import Limits

NO_REDIS = "redis://127.0.0.1:9/0"
PERSON = "Ada Example /home/ada/portrait.png"


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path, redis_url=NO_REDIS)
    yield made
    made.close()


class Failing(StandIn):
    """An engine, or something that it calls, that raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:  # noqa: ARG002
        raise self._error


def anonymize(workshop: Workshop, photo: Photo, error: Exception | None = None, *, attempts: int = 1) -> Photo:
    """The photo after so many attempts, an hour apart."""
    engine = StandIn() if error is None else Failing(error)
    for attempt in range(attempts):
        limits = Limits(max_attempts=3)
        jobs.bind(workshop.runtime(engine, limits=limits, now=lambda hours=attempt: later(3600 * hours)))
        jobs.anonymize(task_of(photo).to_json())
    return workshop.ledger.photo(photo.photo_id)


def everything(workshop: Workshop) -> tuple[object, ...]:
    """What the ledger, the storage and the vault hold, with a photo among it that waits."""
    ledger = workshop.ledger
    if not ledger.projects():
        workshop.hand_in(workshop.project())
    photos = [photo for project in ledger.projects() for photo in ledger.photos(project.project_id)]
    return photos, ledger.projects(), workshop.blob_names(), workshop.events()


def events(caplog: pytest.LogCaptureFixture) -> list[object]:
    return [getattr(record, "event", None) for record in caplog.records]


def test_a_photo_is_anonymized(workshop: Workshop) -> None:
    assert anonymize(workshop, workshop.hand_in(workshop.project())).state is PhotoState.READY


def test_what_may_pass_is_tried_again_and_then_given_up(workshop: Workshop) -> None:
    photo, error = workshop.hand_in(workshop.project()), StorageError("a blob could not be read or written")
    first = anonymize(workshop, photo, error)
    assert (first.state, first.reason) == (PhotoState.WAITING, "a blob could not be read or written")
    last = anonymize(workshop, photo, error, attempts=2)
    assert (last.state, last.attempts) == (PhotoState.FAILED, 3)
    assert last.source_blob in workshop.blob_names()


def test_what_cannot_pass_is_given_up_at_once_with_a_reason(workshop: Workshop) -> None:
    photo = anonymize(workshop, workshop.hand_in(workshop.project(), b"no picture"))
    assert photo.state is PhotoState.FAILED
    assert photo.reason is not None
    assert photo.reason.startswith("not a picture of a kind we read")
    other = anonymize(workshop, workshop.hand_in(workshop.project(2)), KeyShreddedError("the subject's key is gone"))
    assert (other.state, other.reason) == (PhotoState.FAILED, "the subject's key is gone")


def test_an_error_that_nobody_expected_tells_its_kind_and_nothing_else(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        photo = anonymize(workshop, workshop.hand_in(workshop.project()), ValueError(PERSON))
    assert (photo.state, photo.reason) == (PhotoState.WAITING, "internal error (ValueError)")
    assert "photo not anonymized" in caplog.text
    assert "Ada" not in caplog.text
    assert all(PERSON not in str(vars(record)) for record in caplog.records)


def test_a_photo_that_another_worker_has_taken_over_stays_theirs(workshop: Workshop) -> None:
    photo = workshop.hand_in(workshop.project())
    held = anonymize(workshop, photo, ClaimLostError("taken over"))
    assert held.state is PhotoState.WORKING


@pytest.mark.parametrize("payload", ["", "{}", '{"photo_id": "Ada Example", "revision": 1}', '["Ada Example"]'])
def test_what_is_no_task_changes_nothing_and_is_told_without_being_repeated(
    workshop: Workshop, caplog: pytest.LogCaptureFixture, payload: str
) -> None:
    before = everything(workshop)
    jobs.bind(workshop.runtime())
    jobs.anonymize(payload)
    jobs.publish(payload)
    assert everything(workshop) == before
    assert events(caplog) == ["not_taken", "not_published"]
    assert all("Ada" not in str(vars(record)) for record in caplog.records)


def test_a_task_for_an_unknown_photo_or_project_changes_nothing(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    before = everything(workshop)
    jobs.bind(workshop.runtime())
    jobs.anonymize('{"photo_id": "' + "0" * 32 + '", "revision": 1}')
    jobs.publish(PublishTask("0" * 32).to_json())
    assert everything(workshop) == before
    assert events(caplog) == ["not_published"], "a photo that is not there is like one that somebody else has"


def test_a_label_studio_that_is_away_leaves_ready_what_is_ready(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    photo = anonymize(workshop, workshop.hand_in(workshop.project()))
    jobs.publish(PublishTask(photo.project_id).to_json())
    assert workshop.ledger.photo(photo.photo_id).state is PhotoState.READY
    assert events(caplog)[-1] == "not_published"


def test_an_error_that_nobody_expected_while_publishing_tells_its_kind_and_nothing_else(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(PERSON)

    monkeypatch.setattr("worker.publishing.publish", broken)
    before = everything(workshop)
    jobs.bind(workshop.runtime())
    jobs.publish(PublishTask("0" * 32).to_json())
    assert everything(workshop) == before
    (told,) = caplog.records
    assert (vars(told)["event"], vars(told)["reason"]) == ("not_published", "internal error (RuntimeError)")
    assert "Ada" not in str(vars(told))


def test_every_error_of_ours_says_whether_it_may_pass() -> None:
    kinds, known = [BackendError], set()
    while kinds:
        kind = kinds.pop()
        known.add(kind.retryable)
        kinds += kind.__subclasses__()
    assert known == {True, False}
