from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from stand_in import MODEL_VERSION, StandIn
from workshop import Workshop, later, painting, task_of

from backend.custody.records import SubjectRef
from backend.custody.vault import digests
from backend.errors import BlobMissingError, ClaimLostError, KeyShreddedError, LedgerError, SealBrokenError
from backend.ledger.records import Photo, PhotoState, Project
from g2face_model import images
from g2face_model.errors import RecoveryError, UnreadableImageError, VerificationError
from worker import task
from worker.runtime import Limits, Runtime

NO_REDIS = "redis://127.0.0.1:9/0"


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path, redis_url=NO_REDIS)
    yield made
    made.close()


def run(runtime: Runtime, photo: Photo) -> Photo:
    taken = task.take(runtime, task_of(photo))
    assert taken is not None
    task.anonymize(runtime, taken)
    return runtime.ledger.photo(photo.photo_id)


def seed_of(workshop: Workshop, project: Project, subject_id: str, message: str) -> bytes:
    key = workshop.keyring.get(SubjectRef(project.project_id, subject_id))
    assert key is not None
    return hmac.digest(key.identity_seed, message.encode(), "sha256")


class Spy(StandIn):
    """Remembers the seeds it was given."""

    def __init__(self, faces: int = 2) -> None:
        super().__init__(faces)
        self.seeds: list[bytes] = []

    def anonymize(self, image, seeds):  # type: ignore[no-untyped-def]
        self.seeds += [seeds(index) for index in range(self._faces)]
        return super().anonymize(image, seeds)


def test_a_photo_becomes_ready_and_the_admin_gets_it_back_bit_for_bit(workshop: Workshop) -> None:
    photo = run(workshop.runtime(), workshop.hand_in(workshop.project()))
    assert (photo.state, photo.model_version, photo.image_format) == (PhotoState.READY, MODEL_VERSION, "png")
    assert (photo.width_px, photo.height_px) == (64, 40)
    assert photo.image_key is not None
    assert len(photo.image_key) >= 32
    assert [note.index for note in photo.faces] == [0, 1]
    assert not np.array_equal(workshop.published(photo), painting())
    np.testing.assert_array_equal(workshop.restored(photo), painting())


def test_what_is_audited_names_ids_and_numbers(workshop: Workshop) -> None:
    photo = run(workshop.runtime(StandIn(covered=(1,))), workshop.hand_in(workshop.project(), subject_id="Ada Example"))
    (event,) = workshop.events()
    assert (event.actor, event.action, event.target) == ("worker", "photo.sealed", photo.photo_id)
    assert event.detail == {
        "project_id": photo.project_id,
        "policy_revision": 1,
        "faces": 2,
        "covered": 1,
        "records": 2,
        "anonymized_sha256": photo.image_sha256,
        "model_version": MODEL_VERSION,
        **digests(workshop.vault.records_of_photo(photo.photo_id)),
    }


@pytest.mark.parametrize("output_format", ["png", "webp", "jpeg"])
def test_every_format_leads_back_to_the_original(workshop: Workshop, output_format: str) -> None:
    photo = run(workshop.runtime(), workshop.hand_in(workshop.project(output_format=output_format)))
    assert photo.image_format == output_format
    np.testing.assert_array_equal(workshop.restored(photo), painting())
    indices = [record.face_index for record in workshop.records(photo)]
    assert indices == ([None, 0, 1] if output_format == "jpeg" else [0, 1])


def test_the_subject_is_the_largest_face_and_the_others_are_subjects_of_their_own(workshop: Workshop) -> None:
    project = workshop.project(output_format="jpeg")
    photo = run(workshop.runtime(), workshop.hand_in(project, subject_id="Ada Example"))
    owners = {record.face_index: record.subject.subject_id for record in workshop.records(photo)}
    assert owners == {0: "Ada Example", 1: f"{photo.photo_id}-1", None: f"{photo.photo_id}-remainder"}


def test_a_photo_that_nobody_claimed_has_subjects_of_its_own(workshop: Workshop) -> None:
    photo = run(workshop.runtime(), workshop.hand_in(workshop.project()))
    owners = [record.subject.subject_id for record in workshop.records(photo)]
    assert owners == [f"{photo.photo_id}-0", f"{photo.photo_id}-1"]


def test_a_consistent_pseudonym_is_the_subjects_in_every_photo(workshop: Workshop) -> None:
    project, spy = workshop.project(pseudonym="consistent"), Spy()
    for number in range(2):
        run(workshop.runtime(spy), workshop.hand_in(project, images.encode(painting(number), "png"), subject_id="Ada"))
    assert spy.seeds[0] == spy.seeds[2] == seed_of(workshop, project, "Ada", "face")
    assert len(set(spy.seeds)) == 3


def test_an_unlinkable_pseudonym_differs_from_photo_to_photo(workshop: Workshop) -> None:
    project, spy = workshop.project(pseudonym="unlinkable"), Spy(faces=1)
    photos = [
        run(workshop.runtime(spy), workshop.hand_in(project, images.encode(painting(number), "png"), subject_id="Ada"))
        for number in range(2)
    ]
    assert spy.seeds == [seed_of(workshop, project, "Ada", f"{photo.photo_id}-0") for photo in photos]
    assert spy.seeds[0] != spy.seeds[1]


def test_recovery_none_keeps_nothing_to_recover_from_and_still_tells_the_audit_log(workshop: Workshop) -> None:
    photo = run(workshop.runtime(), workshop.hand_in(workshop.project(recovery="none")))
    assert photo.state is PhotoState.READY
    assert workshop.records(photo) == []
    assert [event.detail["records"] for event in workshop.events()] == [0]


def test_records_expire_with_the_policy(workshop: Workshop) -> None:
    photo = run(workshop.runtime(), workshop.hand_in(workshop.project(retention_days=30)))
    assert {
        (record.expires_at - record.created_at).days for record in workshop.records(photo) if record.expires_at
    } == {30}


def test_doing_it_again_adds_nothing(workshop: Workshop) -> None:
    """As after a worker that died just before it could say that the photo is ready."""
    photo = workshop.hand_in(workshop.project())

    class DiedError(Exception):
        pass

    def die(step: str) -> None:
        if step == "stored":
            raise DiedError

    taken = task.take(workshop.runtime(), task_of(photo))
    assert taken is not None
    with pytest.raises(DiedError):
        task.anonymize(workshop.runtime(checkpoint=die), taken)
    photo = run(workshop.runtime(now=lambda: later(3600)), photo)
    assert (photo.state, photo.attempts) == (PhotoState.READY, 2)
    assert len(workshop.records(photo)) == 2
    assert len(workshop.vault.records_of_photo(photo.photo_id)) == 2
    assert len(workshop.events()) == 1


def test_standard_lets_a_covered_face_pass_and_strict_refuses_the_photo(workshop: Workshop) -> None:
    engine = StandIn(covered=(1,))
    standard, strict = workshop.project(1), workshop.project(2, strictness="strict")
    passed = run(workshop.runtime(engine), workshop.hand_in(standard))
    assert [note.outcome for note in passed.faces] == ["anonymized", "covered"]
    with pytest.raises(VerificationError, match="face 1: too small"):
        run(workshop.runtime(engine), workshop.hand_in(strict))


@pytest.mark.parametrize("strictness", ["standard", "strict"])
@pytest.mark.parametrize("recovery", ["exact", "none"])
def test_a_photo_without_a_found_face_is_refused_under_every_policy(
    workshop: Workshop, strictness: str, recovery: str
) -> None:
    photo = workshop.hand_in(workshop.project(strictness=strictness, recovery=recovery))
    with pytest.raises(VerificationError, match="no face was found, so nothing could be protected"):
        run(workshop.runtime(StandIn(faces=0)), photo)
    assert workshop.ledger.photo(photo.photo_id).image_sha256 is None
    assert len(workshop.blob_names()) == 1  # the sealed original; nothing to be shown was stored


def test_an_adopted_photo_without_a_found_face_is_refused(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = workshop.runtime(StandIn(faces=0))
    monkeypatch.setattr(runtime.labelstudio, "download", lambda *_, **__: images.encode(painting(), "png"))
    photo = workshop.adopt(workshop.project(), 1, "/data/upload/1.png")
    with pytest.raises(VerificationError, match="no face was found"):
        run(runtime, photo)
    assert workshop.blob_names() == set()


def test_a_face_left_as_it_was_is_never_shown(workshop: Workshop) -> None:
    photo = workshop.hand_in(workshop.project())
    with pytest.raises(VerificationError, match="face 1: left as it was"):
        run(workshop.runtime(StandIn(untouched=(1,))), photo)
    assert workshop.ledger.photo(photo.photo_id).image_sha256 is None
    assert workshop.vault.records_of_photo(photo.photo_id) == ()
    assert len(workshop.blob_names()) == 1  # the sealed original


def test_an_engine_that_changes_more_than_the_faces_is_caught_before_anything_is_stored(workshop: Workshop) -> None:
    class Careless(StandIn):
        def anonymize(self, image, seeds):  # type: ignore[no-untyped-def]
            result = super().anonymize(image, seeds)
            result.image[0, 0] += 1
            return result

    photo = workshop.hand_in(workshop.project())
    with pytest.raises(RecoveryError, match="outside the faces"):
        run(workshop.runtime(Careless()), photo)
    assert workshop.vault.records_of_photo(photo.photo_id) == ()


def test_what_is_not_a_picture_is_told_in_one_line(workshop: Workshop) -> None:
    with pytest.raises(UnreadableImageError, match="not a picture"):
        run(workshop.runtime(), workshop.hand_in(workshop.project(), b"hello"))


def test_a_sealed_original_that_is_gone_or_another_ones_is_refused(workshop: Workshop) -> None:
    project = workshop.project()
    first = workshop.hand_in(project)
    second = workshop.hand_in(project, images.encode(painting(1), "png"))
    assert first.source_blob is not None
    assert second.source_blob is not None
    workshop.blobs.put(workshop.blobs.get(second.source_blob), name=first.source_blob)
    with pytest.raises(SealBrokenError):
        run(workshop.runtime(), first)
    workshop.blobs.delete(second.source_blob)
    with pytest.raises(BlobMissingError):
        run(workshop.runtime(), second)


def test_no_photo_is_of_a_subject_that_stands_for_another_photos_face(workshop: Workshop) -> None:
    """The intake refuses such a name; this is what somebody can do who writes to the ledger's tables."""
    project = workshop.project()
    first = run(workshop.runtime(), workshop.hand_in(project))
    photo = workshop.hand_in(project, images.encode(painting(1), "png"), subject_id="Ada")
    with workshop.ledger.engine.begin() as connection:
        forged = {"subject": f"{first.photo_id}-1", "photo": photo.photo_id}
        connection.execute(text("UPDATE photos SET subject_id = :subject WHERE photo_id = :photo"), forged)
    with pytest.raises(LedgerError, match="unclaimed face"):
        run(workshop.runtime(), photo)
    assert workshop.vault.records_of_photo(photo.photo_id) == ()


def test_a_subject_who_withdrew_is_not_anonymized_again(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def shredded(*_: object, **__: object) -> None:
        raise KeyShreddedError("the subject's key was destroyed")

    photo = workshop.hand_in(workshop.project(), subject_id="Ada")
    monkeypatch.setattr(workshop.keyring, "ensure", shredded)
    with pytest.raises(KeyShreddedError):
        run(workshop.runtime(), photo)


def test_only_one_worker_gets_a_photo(workshop: Workshop) -> None:
    photo = workshop.hand_in(workshop.project())
    assert task.take(workshop.runtime(), task_of(photo)) is not None
    assert task.take(workshop.runtime(), task_of(photo)) is None


def test_another_revision_a_paused_project_and_a_done_photo_are_left_alone(workshop: Workshop) -> None:
    project = workshop.project()
    photo = workshop.hand_in(project)
    assert task.take(workshop.runtime(), dataclasses.replace(task_of(photo), revision=2)) is None
    workshop.ledger.switch(project.project_id, on=False)
    assert task.take(workshop.runtime(), task_of(photo)) is None
    workshop.ledger.switch(project.project_id, on=True)
    run(workshop.runtime(), photo)
    assert task.take(workshop.runtime(), task_of(photo)) is None


def test_a_photo_that_takes_its_workers_down_is_given_up(workshop: Workshop) -> None:
    photo = workshop.hand_in(workshop.project())
    limits = Limits(lease_s=1, max_attempts=3)
    for attempt in range(3):
        assert (
            task.take(workshop.runtime(limits=limits, now=lambda t=attempt: later(60 * t)), task_of(photo)) is not None
        )
    assert task.take(workshop.runtime(limits=limits, now=lambda: later(600)), task_of(photo)) is None
    failed = workshop.ledger.photo(photo.photo_id)
    assert failed.state is PhotoState.FAILED
    assert failed.reason == "given up after 3 attempts that ended without an answer"


def test_every_face_renews_the_claim(workshop: Workshop) -> None:
    photo = workshop.hand_in(workshop.project())
    times = iter([later(seconds) for seconds in (0, 50, 100, 150)])
    runtime = workshop.runtime(now=lambda: next(times, later(200)))
    assert run(runtime, photo).state is PhotoState.READY


def test_a_worker_that_lost_its_photo_does_not_finish_it(workshop: Workshop) -> None:
    photo = workshop.hand_in(workshop.project())
    slow = task.take(workshop.runtime(), task_of(photo))
    assert slow is not None
    finished = run(workshop.runtime(now=lambda: later(3600)), photo)
    with pytest.raises(ClaimLostError):
        task.anonymize(workshop.runtime(), slow)
    assert workshop.ledger.photo(photo.photo_id) == finished


def test_the_steps_are_in_the_order_that_guarantees(workshop: Workshop) -> None:
    steps: list[str] = []
    run(workshop.runtime(checkpoint=steps.append), workshop.hand_in(workshop.project()))
    assert steps == [
        *("claimed", "fetched", "decoded", "anonymized", "encoded", "proved", "sealed", "locked", "stored", "ready")
    ]  # "announced" would follow, but there is no queue here
