"""A project whose people all withdraw, while a worker is at one of its photos: whatever the worker seals, before the
withdrawal, during it, in its grace or behind the sweep, nothing of it is opened, and all of it is destroyed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import admin_office
import pytest
from admin_office import APPROVES, ASKS, KEEPS, Restricted, programs_token
from intake_counter import Clock
from recovery_site import picture
from stand_in import StandIn

from backend.admin.actors import Scope
from backend.custody.records import SubjectRef
from backend.errors import BackendError, KeyShreddedError, RequestStateError
from backend.ledger.records import Photo, PhotoState
from g2face_model import images
from worker import task

STEPS = ["claimed", "decoded", "anonymized", "sealed", "locked", "stored", "ready"]
FACES = 3


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def restricted(tmp_path: Path, clock: Clock) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data", clock=clock) as opened:
        yield opened


def worked(restricted: Restricted, photo: Photo, *, at: str | None = None, meanwhile: Callable[[], object]) -> bool:
    """A real worker takes the photo up, and something happens at one of its steps; whether the photo is ready then."""

    def checkpoint(name: str) -> None:
        if name == at:
            meanwhile()

    ledger = restricted.office.ledger
    runtime = restricted.workshop.runtime(StandIn(FACES), now=restricted.clock, checkpoint=checkpoint)
    claimed = ledger.claim(photo.photo_id, revision=photo.policy_revision, now=restricted.clock(), lease_s=9e6)
    if claimed is None:
        return False
    try:
        task.anonymize(runtime, claimed)
    except BackendError:
        return False
    return True


def hand_in(restricted: Restricted, subject_id: str | None) -> Photo:
    """A lossy file, so that it has a remainder as well."""
    project = restricted.project(output_format="jpeg")
    return restricted.workshop.hand_in(project, images.encode(picture(90, 120), "png"), subject_id=subject_id)


def withdraw(restricted: Restricted, photo: Photo) -> None:
    restricted.office.withdraw_project(restricted.actor(KEEPS), photo.project_id, now=restricted.clock())


def sweep(restricted: Restricted, clock: Clock, *, days: int = 0) -> None:
    clock.at += timedelta(days=days)
    assert restricted.office.sweep(restricted.actor(KEEPS), now=clock()).complete


def nothing_is_left(restricted: Restricted, photo: Photo) -> None:
    assert restricted.workshop.vault.records_of_photo(photo.photo_id) == ()
    names = [f"{photo.photo_id}-{face}" for face in [*range(FACES + 1), "remainder"]]
    for name in names if photo.subject_id is None else [photo.subject_id, *names[1:]]:
        with pytest.raises(KeyShreddedError):
            restricted.workshop.keyring.get(SubjectRef(photo.project_id, name))
    assert [count for key_id, count in restricted.workshop.keyring.census().items() if key_id is not None] == []


@pytest.mark.parametrize("subject_id", [None, "Ada"])
@pytest.mark.parametrize("at", STEPS)
def test_withdrawn_while_a_worker_is_at_it(
    restricted: Restricted, clock: Clock, at: str, subject_id: str | None
) -> None:
    """The worker goes on to the end, since the withdrawal can be taken back; then everybody goes."""
    photo = hand_in(restricted, subject_id)
    assert worked(restricted, photo, at=at, meanwhile=lambda: withdraw(restricted, photo))
    nobody_is_opened(restricted, photo)
    sweep(restricted, clock, days=8)
    nothing_is_left(restricted, photo)


@pytest.mark.parametrize("at", STEPS)
def test_swept_while_a_worker_is_at_it(restricted: Restricted, clock: Clock, at: str) -> None:
    """The worker has taken the photo up before, or its keys are in its hands: what it leaves behind the sweep is not
    opened, and goes with the next."""
    photo = hand_in(restricted, None)
    withdraw(restricted, photo)
    ready = worked(restricted, photo, at=at, meanwhile=lambda: sweep(restricted, clock, days=8))
    assert ready == (at == "ready")
    nobody_is_opened(restricted, photo)
    sweep(restricted, clock)
    nothing_is_left(restricted, photo)


def test_a_photo_that_still_waits_is_never_taken_up(restricted: Restricted, clock: Clock) -> None:
    photo = hand_in(restricted, "Ada")
    withdraw(restricted, photo)
    sweep(restricted, clock, days=8)
    assert not worked(restricted, photo, meanwhile=lambda: None)
    assert restricted.office.ledger.photo(photo.photo_id).state is PhotoState.CANCELLED
    assert restricted.workshop.vault.records_of_photo(photo.photo_id) == ()


def nobody_is_opened(restricted: Restricted, photo: Photo) -> None:
    """Whatever lies in the vault by now."""
    asks, office, now = restricted.actor(ASKS), restricted.office, restricted.clock()
    office.ledger.published({photo.photo_id: 5}, now=now)
    for record in restricted.workshop.vault.records_of_photo(photo.photo_id):
        if record.face_index is not None:
            with pytest.raises((RequestStateError, KeyShreddedError)):
                office.recovery.request(
                    project_id=photo.project_id,
                    photo_id=photo.photo_id,
                    face_indices=[record.face_index],
                    requested_by=asks.account_id,
                    reason="why",
                    reference=None,
                    labelstudio_task_id=None,
                    now=now,
                )


def test_what_was_approved_before_is_not_opened_either(restricted: Restricted, clock: Clock) -> None:
    photo = hand_in(restricted, None)
    assert worked(restricted, photo, meanwhile=lambda: None)
    restricted.office.ledger.published({photo.photo_id: 5}, now=clock())
    asks, approves = restricted.actor(ASKS), restricted.actor(APPROVES)
    asked = restricted.office.request(
        asks, photo_id=photo.photo_id, face_indices=[1], reason="why", reference=None, now=clock()
    )
    restricted.office.approve(approves, asked.request_id, now=clock())
    withdraw(restricted, photo)
    with pytest.raises(BackendError, match="withdrawn"):
        restricted.office.retrieve(asks, asked.request_id, now=clock())


@pytest.mark.parametrize("subject_id", [None, "Ada"])
def test_what_was_shredded_is_gone_for_whoever_asks_by_http(
    tmp_path: Path, clock: Clock, subject_id: str | None
) -> None:
    """410, also when it was approved before, although no record tells of it any more."""
    with admin_office.opened(tmp_path / "data", clock=clock, grace_days=0) as restricted:
        photo = hand_in(restricted, subject_id)
        assert worked(restricted, photo, meanwhile=lambda: None)
        restricted.office.ledger.published({photo.photo_id: 5}, now=clock())
        secret = programs_token(restricted, restricted.actor(ASKS).account_id, [Scope.REQUEST])
        headers, program = {"Authorization": f"Bearer {secret}"}, restricted.app.test_client()
        wanted = {"photo_id": photo.photo_id, "faces": [0, 1], "reason": "why"}
        made = program.post("/api/v1/requests", json=wanted, headers=headers).json
        assert made is not None
        request_id = made["request_id"]
        restricted.office.approve(restricted.actor(APPROVES), request_id, now=clock())
        withdraw(restricted, photo)
        sweep(restricted, clock)
        assert program.post(f"/api/v1/requests/{request_id}/retrieve", headers=headers).status_code == 410
        assert program.post("/api/v1/requests", json=wanted, headers=headers).status_code == 410
        unknown = wanted | {"faces": [FACES + 4]}
        assert program.post("/api/v1/requests", json=unknown, headers=headers).status_code == 400
