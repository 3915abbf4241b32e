"""A worker's steps, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from ledger_steps import NOW, at_once, hand_in, later

from backend.errors import ClaimLostError, LedgerError
from backend.ledger.ledger import Ledger
from backend.ledger.records import FaceNote, Photo, PhotoState, Project


def test_a_photos_way(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    claimed = ledger.claim(photo.photo_id, revision=1, now=NOW, lease_s=60)
    assert claimed is not None
    assert (claimed.state, claimed.attempts, claimed.claimed_until) == (PhotoState.WORKING, 1, later(60))
    face = FaceNote(index=0, box=(1, 2, 3, 4), landmarks=((0.5, 1.5),) * 68, outcome="swapped", expression="anger")
    ledger.ready(
        photo.photo_id,
        image_key="key",
        image_sha256="b" * 64,
        image_format="webp",
        width_px=10,
        height_px=20,
        faces=[face],
        model_version="g2face-1",
        now=later(5),
    )
    ready = ledger.photo(photo.photo_id)
    assert (ready.state, ready.faces, ready.image_format, ready.width_px) == (PhotoState.READY, (face,), "webp", 10)
    assert ready.claimed_until is None
    assert ready.source_blob == "b0", "kept until it is published"
    assert ledger.published({photo.photo_id: 31}, now=later(6)) == ["b0"]
    published = ledger.photo(photo.photo_id)
    assert (published.state, published.labelstudio_task_id) == (PhotoState.PUBLISHED, 31)
    assert (published.source_blob, published.source_address) == (None, None)


def test_a_claim_is_had_by_one_until_it_lapses(ledger: Ledger, project: Project) -> None:
    photo_id = hand_in(ledger, project).photo_id
    assert ledger.claim(photo_id, revision=1, now=NOW, lease_s=60)
    assert ledger.claim(photo_id, revision=1, now=later(59), lease_s=60) is None
    ledger.extend(photo_id, now=later(59), lease_s=60, attempt=1)
    assert ledger.claim(photo_id, revision=1, now=later(61), lease_s=60) is None
    second = ledger.claim(photo_id, revision=1, now=later(119), lease_s=60)
    assert second is not None
    assert second.attempts == 2


def test_of_many_workers_one_gets_the_photo(ledger: Ledger, project: Project) -> None:
    photo_id = hand_in(ledger, project).photo_id
    claims: list[Photo | None] = []
    at_once(lambda: claims.append(ledger.claim(photo_id, revision=1, now=NOW, lease_s=60)), 6)
    assert len([claim for claim in claims if claim is not None]) == 1
    assert len(claims) == 6


def test_what_is_not_to_be_had(ledger: Ledger, project: Project) -> None:
    photo_id = hand_in(ledger, project).photo_id
    assert ledger.claim(photo_id, revision=2, now=NOW, lease_s=60) is None, "another revision"
    assert ledger.claim("0" * 32, revision=1, now=NOW, lease_s=60) is None, "no such photo"
    ledger.switch(project.project_id, on=False)
    assert ledger.claim(photo_id, revision=1, now=NOW, lease_s=60) is None, "its project is off"
    ledger.switch(project.project_id, on=True)
    ledger.cancel(project.project_id, now=NOW)
    assert ledger.claim(photo_id, revision=1, now=NOW, lease_s=60) is None, "cancelled"


def test_a_worker_that_lost_its_claim_is_told(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    assert ledger.claim(photo.photo_id, revision=1, now=NOW, lease_s=10)
    assert ledger.claim(photo.photo_id, revision=1, now=later(11), lease_s=10)
    for step in (
        lambda: ledger.extend(photo.photo_id, now=later(12), lease_s=10, attempt=1),
        lambda: ledger.postpone(photo.photo_id, reason="r", now=later(12), attempt=1),
        lambda: ledger.fail(photo.photo_id, reason="r", now=later(12), attempt=1),
    ):
        with pytest.raises(ClaimLostError, match=photo.photo_id):
            step()
    ledger.postpone(photo.photo_id, reason="storage is away", now=later(12), attempt=2)
    postponed = ledger.photo(photo.photo_id)
    assert (postponed.state, postponed.reason) == (PhotoState.WAITING, "storage is away")
    with pytest.raises(ClaimLostError):
        ledger.fail(photo.photo_id, reason="nobody claimed it", now=later(13))
    with pytest.raises(LedgerError, match="no photo"):
        ledger.fail("0" * 32, reason="", now=NOW)
