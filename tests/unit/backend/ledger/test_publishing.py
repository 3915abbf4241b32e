"""Ready photos handed over, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from ledger_steps import NOW, hand_in, later, make_ready

from backend.errors import ClaimLostError
from backend.ledger.ledger import Ledger
from backend.ledger.records import PhotoState, Project


def test_one_publisher_at_a_time(ledger: Ledger, project: Project) -> None:
    project_id = project.project_id
    first = ledger.begin_publishing(project_id, now=NOW, lease_s=60)
    assert first is not None
    assert ledger.begin_publishing(project_id, now=later(59), lease_s=60) is None
    second = ledger.begin_publishing(project_id, now=later(60), lease_s=60)
    assert second not in (None, first), "a dead publisher's lease lapses"
    ledger.end_publishing(project_id, second)
    assert ledger.begin_publishing(project_id, now=later(61), lease_s=60)


def test_a_publisher_holds_and_gives_back_its_own_lease_alone(ledger: Ledger, project: Project) -> None:
    project_id = project.project_id
    first = ledger.begin_publishing(project_id, now=NOW, lease_s=60)
    assert first is not None
    ledger.keep_publishing(project_id, first, now=later(50), lease_s=60)
    assert ledger.begin_publishing(project_id, now=later(109), lease_s=60) is None
    second = ledger.begin_publishing(project_id, now=later(110), lease_s=60)
    assert second is not None
    ledger.end_publishing(project_id, first)  # it was only slow, and comes to its end now
    assert ledger.begin_publishing(project_id, now=later(111), lease_s=60) is None
    with pytest.raises(ClaimLostError, match="by another worker"):
        ledger.keep_publishing(project_id, first, now=later(111), lease_s=60)
    ledger.end_publishing(project_id, second)
    with pytest.raises(ClaimLostError):
        ledger.keep_publishing(project_id, second, now=later(112), lease_s=60)


def test_publishing_again_changes_nothing_and_the_blobs_are_not_forgotten(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    make_ready(ledger, photo)
    ledger.published({photo.photo_id: 31}, now=later(6))
    assert ledger.published({photo.photo_id: 32}, now=later(9)) == []
    assert ledger.photo(photo.photo_id).labelstudio_task_id == 31
    assert ledger.discarded_blobs() == ["b0"], "until their deletion is reported"
    ledger.forget_blobs(["b0"])
    assert ledger.discarded_blobs() == []


def test_what_label_studio_refuses_is_for_a_person(ledger: Ledger, project: Project) -> None:
    ready, waiting = hand_in(ledger, project, 1), hand_in(ledger, project, 2)
    make_ready(ledger, ready)
    ledger.refuse_publishing([ready.photo_id, waiting.photo_id], reason="the project is gone", now=NOW)
    assert [photo.photo_id for photo in ledger.failures(project.project_id)] == [ready.photo_id]
    assert ledger.photo(waiting.photo_id).state is PhotoState.WAITING
