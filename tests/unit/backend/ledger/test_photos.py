"""Photos looked up and counted, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from ledger_steps import NOW, hand_in, later, make_ready

from backend.errors import LedgerError
from backend.ledger.ledger import Ledger
from backend.ledger.records import PhotoState, Project


def test_photos_are_paged_in_order(ledger: Ledger, project: Project) -> None:
    ids = [hand_in(ledger, project, number).photo_id for number in range(5)]
    assert [photo.photo_id for photo in ledger.photos(project.project_id, limit=2)] == ids[:2]
    assert [photo.photo_id for photo in ledger.photos(project.project_id, after=ids[1], limit=2)] == ids[2:4]
    assert ledger.photos(project.project_id, after=ids[4]) == []
    make_ready(ledger, ledger.photo(ids[3]))
    assert [photo.photo_id for photo in ledger.ready_photos(project.project_id)] == [ids[3]]
    waiting = ledger.photos(project.project_id, state=PhotoState.WAITING)
    assert [photo.photo_id for photo in waiting] == [*ids[:3], ids[4]]


def test_photos_are_found_by_image_and_by_task(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    make_ready(ledger, photo, key="k" * 43)
    ledger.published({photo.photo_id: 12}, now=NOW)
    published = ledger.photo(photo.photo_id)
    assert ledger.photo_of_image("k" * 43) == published
    assert ledger.photo_of_image("other") is None
    assert ledger.photos_of_images(["k" * 43, "other"]) == {"k" * 43: published}
    assert ledger.photos_of_tasks(7, [11, 12, 13]) == {12: published}
    assert ledger.photos_of_tasks(8, [12]) == {}, "task ids of another Label Studio project are not ours"
    assert ledger.photos_of_tasks(7, []) == {}


def test_ids_beyond_any_integer_are_nobodys(ledger: Ledger, project: Project) -> None:
    hand_in(ledger, project)
    assert ledger.photos_of_tasks(7, [2**40]) == {}
    with pytest.raises(LedgerError):
        ledger.photos_of_tasks(7, [2**80])


def test_what_should_have_moved_on_is_found(ledger: Ledger, project: Project) -> None:
    waiting, working, ready, fresh = (hand_in(ledger, project, number) for number in range(4))
    ledger.claim(working.photo_id, revision=1, now=NOW, lease_s=40)
    make_ready(ledger, ready)
    assert ledger.overdue(now=later(29)) == []
    found = [photo.photo_id for photo in ledger.overdue(now=later(30))]
    assert found == [waiting.photo_id, ready.photo_id, fresh.photo_id]
    assert working.photo_id in [photo.photo_id for photo in ledger.overdue(now=later(40))]
    assert len(ledger.overdue(now=later(40), limit=2)) == 2
    ledger.switch(project.project_id, on=False)
    assert ledger.overdue(now=later(99)) == [], "what is off is not overdue"


def test_progress(ledger: Ledger, project: Project) -> None:
    photos = [hand_in(ledger, project, number) for number in range(8)]
    before = ledger.progress(project.project_id, now=later(1))
    assert (before.waiting, before.total, before.rate_per_minute, before.seconds_left) == (8, 8, None, None)
    for number, photo in enumerate(photos[:4]):
        make_ready(ledger, photo, now=later(20 * number))
    ledger.published({photos[0].photo_id: 1}, now=later(60))
    ledger.claim(photos[4].photo_id, revision=1, now=later(60), lease_s=60)
    progress = ledger.progress(project.project_id, now=later(60))
    assert (progress.waiting, progress.working, progress.ready, progress.published) == (3, 1, 3, 1)
    assert progress.rate_per_minute == pytest.approx(3.0)
    assert progress.seconds_left == pytest.approx(80.0)
    assert ledger.progress(project.project_id, now=later(3600)).rate_per_minute is None, "an old rate is none"


def test_progress_of_nothing_left_is_none_left(ledger: Ledger, project: Project) -> None:
    assert ledger.progress(project.project_id, now=NOW).seconds_left == 0.0
    with pytest.raises(LedgerError):
        ledger.progress("0" * 32, now=NOW)
