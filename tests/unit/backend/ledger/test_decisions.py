"""What a person decides, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from ledger_steps import NOW, hand_in, later, make_ready

from backend.errors import LedgerError
from backend.ledger.ledger import Ledger
from backend.ledger.records import PhotoState, Project


def test_a_failed_photo_is_retried_under_the_new_policy(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    with pytest.raises(LedgerError, match="has not failed"):
        ledger.retry(photo.photo_id, now=NOW)
    ledger.claim(photo.photo_id, revision=1, now=NOW, lease_s=10)
    ledger.fail(photo.photo_id, reason="not a picture", now=later(1))
    (failed,) = ledger.failures(project.project_id)
    assert (failed.reason, failed.source_blob) == ("not a picture", "b0")
    ledger.revise_policy(project.project_id, now=later(2), strictness="strict")
    again = ledger.retry(photo.photo_id, now=later(3))
    assert (again.state, again.policy_revision, again.attempts, again.reason) == (PhotoState.WAITING, 2, 0, None)
    assert ledger.claim(photo.photo_id, revision=1, now=later(4), lease_s=10) is None, "the old task finds nothing"
    assert ledger.claim(photo.photo_id, revision=2, now=later(4), lease_s=10)


def test_cancelling_takes_what_nobody_has_begun(ledger: Ledger, project: Project) -> None:
    photos = [hand_in(ledger, project, number) for number in range(4)]
    make_ready(ledger, photos[0])
    ledger.claim(photos[1].photo_id, revision=1, now=NOW, lease_s=60)
    ledger.claim(photos[2].photo_id, revision=1, now=NOW, lease_s=60)
    ledger.fail(photos[2].photo_id, reason="", now=NOW)
    assert ledger.cancel(project.project_id, now=later(1)) == 2
    states = [ledger.photo(photo.photo_id).state for photo in photos]
    assert states == [PhotoState.READY, PhotoState.WORKING, PhotoState.CANCELLED, PhotoState.CANCELLED]
    assert sorted(ledger.discarded_blobs()) == ["b2", "b3"], "originals of cancelled photos do not stay"
    assert ledger.cancel(project.project_id, now=later(2)) == 0


def test_a_source_is_forgotten(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    assert ledger.forget_source(photo.photo_id, now=NOW) == "b0"
    assert ledger.photo(photo.photo_id).source_blob is None
    assert ledger.discarded_blobs() == ["b0"]
    assert ledger.forget_source(photo.photo_id, now=NOW) is None
