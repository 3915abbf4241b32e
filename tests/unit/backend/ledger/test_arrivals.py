"""Photos coming in, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from ledger_steps import NOW, SHA, at_once, hand_in, later, make_ready

from backend.errors import LedgerError
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, PhotoState, Project


def test_a_photo_comes_back_as_it_was_handed_in(ledger: Ledger, project: Project) -> None:
    photo, created = ledger.add_photo(
        project.project_id,
        origin="intake",
        source_sha256=SHA,
        source_blob="b10b",
        subject_id="person 1",
        consent="form 12",
        now=NOW,
    )
    assert created
    assert ledger.photo(photo.photo_id) == photo
    assert photo.state is PhotoState.WAITING
    assert (photo.source_blob, photo.subject_id, photo.consent) == ("b10b", "person 1", "form 12")
    assert (photo.attempts, photo.policy_revision, photo.faces) == (0, 1, ())
    assert photo.created_at == photo.updated_at == NOW
    assert len(photo.photo_id) == 32


def test_the_same_photo_of_the_same_subject_is_one_photo(ledger: Ledger, project: Project) -> None:
    def add(project_id: str, sha: str, subject_id: str | None) -> tuple[str, bool]:
        photo, created = ledger.add_photo(
            project_id, origin="intake", source_sha256=sha, subject_id=subject_id, now=NOW
        )
        return photo.photo_id, created

    other = ledger.add_project("Other", 8, now=NOW)
    first, created = add(project.project_id, SHA, "jane")
    assert created
    assert add(project.project_id, SHA, "jane") == (first, False)
    different = [
        (project.project_id, SHA, "joe"),
        (project.project_id, SHA, None),
        (project.project_id, "b" * 64, "jane"),
    ]
    for project_id, sha, subject_id in [*different, (other.project_id, SHA, "jane")]:
        photo_id, created = add(project_id, sha, subject_id)
        assert created
        assert photo_id != first


def test_the_same_task_is_adopted_once(ledger: Ledger, project: Project) -> None:
    def adopt(task_id: int, sha: str) -> tuple[Photo, bool]:
        return ledger.add_photo(
            project.project_id,
            origin="adoption",
            source_sha256=sha,
            labelstudio_task_id=task_id,
            source_address="/data/upload/1.jpg",
            now=NOW,
        )

    photo, created = adopt(5, SHA)
    assert created
    assert photo.source_address == "/data/upload/1.jpg"
    assert adopt(5, "b" * 64) == (photo, False)
    assert adopt(6, SHA)[1], "another task is another photo, whatever it shows"


def test_a_photo_that_we_published_is_not_adopted(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    make_ready(ledger, photo)
    ledger.published({photo.photo_id: 99}, now=NOW)
    found, created = ledger.add_photo(
        project.project_id, origin="adoption", source_sha256="stand-in", labelstudio_task_id=99, now=NOW
    )
    assert (found.photo_id, created) == (photo.photo_id, False)


def test_an_adopted_photo_needs_a_task_and_every_photo_a_project(ledger: Ledger, project: Project) -> None:
    with pytest.raises(LedgerError):
        ledger.add_photo(project.project_id, origin="adoption", source_sha256=SHA, now=NOW)
    with pytest.raises(LedgerError):
        ledger.add_photo("0" * 32, origin="intake", source_sha256=SHA, now=NOW)


def test_a_cancelled_photo_comes_back_to_life(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    ledger.cancel(project.project_id, now=later(1))
    ledger.revise_policy(project.project_id, now=later(2), strictness="strict")
    again, created = ledger.add_photo(
        project.project_id, origin="intake", source_sha256=photo.source_sha256, source_blob="b2", now=later(3)
    )
    assert created
    assert again.photo_id == photo.photo_id
    assert (again.state, again.source_blob, again.policy_revision) == (PhotoState.WAITING, "b2", 2)


def test_processes_that_hand_in_the_same_photo_at_once_make_one(ledger: Ledger, project: Project) -> None:
    results: list[bool] = []

    def add() -> None:
        _, created = ledger.add_photo(project.project_id, origin="intake", source_sha256=SHA, now=NOW)
        results.append(created)

    at_once(add, 6)
    assert sorted(results) == [False] * 5 + [True]
    assert len(ledger.photos(project.project_id)) == 1


@pytest.mark.parametrize("subject_id", ["a" * 100_000, "'; DROP TABLE photos; --", "Zoë 王"])
def test_a_strange_subject_is_a_subject(ledger: Ledger, project: Project, subject_id: str) -> None:
    photo, _ = ledger.add_photo(project.project_id, origin="intake", source_sha256=SHA, subject_id=subject_id, now=NOW)
    assert ledger.photo(photo.photo_id).subject_id == subject_id


@pytest.mark.parametrize("face", ["0", "12", "remainder", "*"])
def test_nobody_is_called_as_an_unclaimed_face_is(ledger: Ledger, project: Project, face: str) -> None:
    """Their keys would be one."""
    with pytest.raises(LedgerError, match="unclaimed face"):
        ledger.add_photo(
            project.project_id, origin="intake", source_sha256=SHA, subject_id=f"{'0f' * 16}-{face}", now=NOW
        )


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "two\nlines"])
def test_what_no_database_holds_is_refused(ledger: Ledger, project: Project, text: str) -> None:
    for field in ("subject_id", "consent"):
        values: dict[str, str] = {field: text}
        with pytest.raises(LedgerError, match="single lines") as refused:
            ledger.add_photo(project.project_id, origin="intake", source_sha256=SHA, now=NOW, **values)
        assert text not in str(refused.value)
