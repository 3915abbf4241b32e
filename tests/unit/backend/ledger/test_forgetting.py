"""The ledger forgets who withdrew, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_steps import NOW, later, make_ready
from sqlalchemy import make_url, text

from backend.errors import ClaimLostError
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, PhotoState, Project

JANE = "Jane Q. Example"


def hand_in(ledger: Ledger, project: Project, number: int, subject_id: str | None = JANE) -> Photo:
    photo, created = ledger.add_photo(
        project.project_id,
        origin="intake",
        source_sha256=f"{number:064x}",
        source_blob=f"b{number}",
        subject_id=subject_id,
        consent="form of Jane Q. Example",
        now=NOW,
    )
    assert created
    return photo


def test_their_photos_are_nobodys_from_then_on(ledger: Ledger, project: Project) -> None:
    done, ready, waiting, failed, other = (
        hand_in(ledger, project, number, subject) for number, subject in enumerate([JANE, JANE, JANE, JANE, "Joe"])
    )
    for photo in (done, ready):
        make_ready(ledger, photo)
    ledger.published({done.photo_id: 5}, now=NOW)
    ledger.claim(failed.photo_id, revision=1, now=NOW, lease_s=60)
    ledger.fail(failed.photo_id, reason="Jane blinked", now=NOW)
    faces = ledger.photo(ready.photo_id).faces

    names = ledger.forget_subject(project.project_id, JANE, now=later(5))

    assert sorted(names) == ["b1", "b2", "b3"], "b0 was discarded when its photo was published"
    assert sorted(ledger.discarded_blobs()) == ["b0", "b1", "b2", "b3"]
    after = [ledger.photo(photo.photo_id) for photo in (done, ready, waiting, failed)]
    assert [photo.state.value for photo in after] == ["published", "ready", "cancelled", "cancelled"]
    assert {(photo.subject_id, photo.consent, photo.source_blob) for photo in after} == {(None, None, None)}
    assert (after[1].faces, after[1].image_sha256) == (faces, "b" * 64), "landmarks and the anonymized image stay"
    assert after[3].reason is None
    assert ledger.photo(other.photo_id) == other
    assert ledger.count_of_subject(project.project_id, JANE) == 0
    assert ledger.forget_subject(project.project_id, JANE, now=later(6)) == []
    ledger.published({ready.photo_id: 6}, now=later(7))
    assert ledger.photo(ready.photo_id).state is PhotoState.PUBLISHED, "what is anonymized is published all the same"


def test_a_worker_loses_its_claim(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project, 1)
    ledger.claim(photo.photo_id, revision=1, now=NOW, lease_s=60)
    assert ledger.forget_subject(project.project_id, JANE, now=later(1)) == ["b1"]
    for step in (ledger.postpone, ledger.fail):
        with pytest.raises(ClaimLostError):
            step(photo.photo_id, reason="", now=later(2))
    assert ledger.photo(photo.photo_id).state is PhotoState.CANCELLED


def test_the_same_name_in_another_project_is_somebody_else(ledger: Ledger, project: Project) -> None:
    other = ledger.add_project("Other", 8, now=NOW)
    theirs = hand_in(ledger, other, 1)
    assert ledger.forget_subject(project.project_id, JANE, now=NOW) == []
    assert ledger.photo(theirs.photo_id) == theirs


@pytest.mark.parametrize("face", ["0", "3", "remainder", "*"])
def test_a_face_that_nobody_claimed_is_known_by_its_photo(ledger: Ledger, project: Project, face: str) -> None:
    waiting, ready = hand_in(ledger, project, 1), hand_in(ledger, project, 2)
    make_ready(ledger, ready)
    names = [
        ledger.forget_subject(project.project_id, f"{photo.photo_id}-{face}", now=NOW) for photo in (waiting, ready)
    ]
    assert names == [["b1"], ["b2"]]
    cancelled, kept = ledger.photo(waiting.photo_id), ledger.photo(ready.photo_id)
    assert (cancelled.state, kept.state) == (PhotoState.CANCELLED, PhotoState.READY)
    assert cancelled.subject_id == kept.subject_id == JANE, "whose photo it is, is another person's matter"
    other = ledger.add_project("Other", 8, now=NOW)
    assert ledger.forget_subject(other.project_id, f"{ready.photo_id}-{face}", now=NOW) == []


def test_a_projects_subjects_are_its_people_and_everybody_else_on_its_photos(ledger: Ledger, project: Project) -> None:
    """However far a photo is: a worker that was given up may seal faces of it still."""
    photos = [hand_in(ledger, project, number, subject) for number, subject in enumerate([JANE, None, None, "Jim"])]
    make_ready(ledger, photos[0])
    make_ready(ledger, photos[1])
    hand_in(ledger, ledger.add_project("Other", 8, now=NOW), 1, subject_id="Joe")
    assert ledger.subjects(project.project_id) == {JANE, "Jim", *(f"{photo.photo_id}-*" for photo in photos)}


def test_the_photo_handed_in_again_is_a_new_one(ledger: Ledger, project: Project) -> None:
    before = hand_in(ledger, project, 1)
    ledger.forget_subject(project.project_id, JANE, now=NOW)
    assert hand_in(ledger, project, 1).photo_id != before.photo_id


def test_the_name_is_in_no_file_of_the_ledger(ledger: Ledger, project: Project) -> None:
    make_ready(ledger, hand_in(ledger, project, 1))
    hand_in(ledger, project, 2)
    with ledger.engine.connect() as connection:
        digests = connection.scalars(text("SELECT request FROM photos")).all()
    ledger.forget_subject(project.project_id, JANE, now=NOW)
    if ledger.engine.dialect.name != "sqlite":
        return  # the server's files are the server's matter
    path = Path(make_url(str(ledger.engine.url)).database or "")
    wanted = [JANE.encode(), *(digest.split(":")[-1].encode() for digest in digests)]
    for file in path.parent.glob(f"{path.name}*"):
        content = file.read_bytes()
        assert not [what for what in wanted if what in content], file.name
