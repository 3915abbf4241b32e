"""A pilot's way through the ledger, on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_steps import NOW, at_once, hand_in, later, make_ready

from backend.errors import ClaimLostError, LedgerError
from backend.ledger.ledger import Ledger
from backend.ledger.pilots import drawn
from backend.ledger.records import Pilot, PilotState, Project

LEASE_S = 60.0


def publish(ledger: Ledger, project: Project, count: int, *, subjects: dict[int, str] | None = None) -> list[str]:
    """So many photos that Label Studio has, oldest first."""
    photos = []
    for number in range(count):
        subject = (subjects or {}).get(number)
        photo, _ = ledger.add_photo(
            project.project_id, origin="intake", source_sha256=f"{number:064x}", subject_id=subject, now=NOW
        )
        make_ready(ledger, photo)
        photos.append(photo.photo_id)
    ledger.published({photo_id: number + 1 for number, photo_id in enumerate(photos)}, now=NOW)
    return photos


def claimed(ledger: Ledger, pilot: Pilot, *, now: Any = NOW) -> Pilot:
    taken = ledger.claim_pilot(pilot.pilot_id, now=now, lease_s=LEASE_S)
    assert taken is not None
    return taken


def ended(ledger: Ledger, pilot: Pilot, state: PilotState, **values: Any) -> Pilot:
    ledger.end_pilot(claimed(ledger, pilot), state, now=later(5), **values)
    return ledger.pilot(pilot.pilot_id)


# Drawing


def test_photos_are_drawn_evenly_each_once() -> None:
    candidates = [(str(number), None) for number in range(10)]
    assert len(set(drawn(candidates, 5))) == 5
    assert sorted(drawn(candidates, 10), key=int) == [str(number) for number in range(10)]
    assert len(drawn(candidates, 50)) == 10
    spread_over = {int(photo) // 5 for photo in drawn(candidates, 2)}
    assert spread_over == {0, 1}
    assert drawn([], 5) == []


def test_half_of_them_are_another_photo_of_somebody_who_was_drawn() -> None:
    candidates = [(f"{person}-{number}", f"P{person}") for number in range(2) for person in range(10)]
    sample = drawn(candidates, 10)
    people = [photo.split("-")[0] for photo in sample]
    assert len(set(sample)) == 10
    assert sorted(people) == sorted(2 * sorted(set(people)))


def test_who_was_photographed_once_fills_the_sample_up() -> None:
    candidates: list[tuple[str, str | None]] = [("a1", "A"), ("b1", "B"), ("c1", None), ("d1", None), ("a2", "A")]
    assert set(drawn(candidates, 5)) == {"a1", "a2", "b1", "c1", "d1"}
    assert drawn(candidates, 2) == ["a1", "a2"]
    assert len(drawn(candidates, 3)) == 3


def test_only_what_is_published_and_keeps_a_way_back_is_drawn(ledger: Ledger, project: Project) -> None:
    first, second = publish(ledger, project, 2)
    hand_in(ledger, project, 7)
    assert ledger.recoverable(project.project_id) == 2
    pilot = ledger.ask_pilot(project.project_id, size=20, now=NOW)
    assert {photo.photo_id for photo in pilot.photos} == {first, second}
    assert pilot == ledger.pilot(pilot.pilot_id)
    assert (pilot.state, pilot.under_way, pilot.attempts) == (PilotState.ASKED, True, 0)


def test_under_a_policy_that_keeps_nothing_there_is_no_pilot(ledger: Ledger) -> None:
    project = ledger.add_project("Faces", 8, now=NOW, recovery="none")
    publish(ledger, project, 2)
    assert ledger.recoverable(project.project_id) == 0
    with pytest.raises(LedgerError, match="keeps what leads back"):
        ledger.ask_pilot(project.project_id, size=20, now=NOW)


@pytest.mark.parametrize("size", [0, -1, 51])
def test_a_pilot_is_neither_empty_nor_large(ledger: Ledger, project: Project, size: int) -> None:
    publish(ledger, project, 1)
    with pytest.raises(LedgerError, match="1 to 50"):
        ledger.ask_pilot(project.project_id, size=size, now=NOW)


def test_a_project_has_one_pilot_at_a_time(ledger: Ledger, project: Project) -> None:
    publish(ledger, project, 3)
    made: list[Pilot] = []

    def ask() -> None:
        try:
            made.append(ledger.ask_pilot(project.project_id, size=2, now=NOW))
        except LedgerError:
            return  # another one was faster

    at_once(ask, 4)
    assert len(made) == 1
    ended(ledger, made[0], PilotState.REFUSED)
    again = ledger.ask_pilot(project.project_id, size=2, now=later(9))
    with pytest.raises(LedgerError, match="under way"):
        ledger.ask_pilot(project.project_id, size=2, now=later(10))
    assert [pilot.pilot_id for pilot in ledger.pilots(project.project_id)] == [again.pilot_id, made[0].pilot_id]


# A worker's steps


def test_a_pilot_goes_from_step_to_step(ledger: Ledger, project: Project) -> None:
    publish(ledger, project, 2)
    asked = ledger.ask_pilot(project.project_id, size=2, now=NOW)
    assert ledger.due_pilots(now=NOW) == [asked.pilot_id]
    mine = claimed(ledger, asked)
    assert ledger.due_pilots(now=NOW) == []
    for number, photo in enumerate(mine.photos):
        ledger.note_request(mine, photo.photo_id, f"{number:032x}")
    ledger.await_approvals(mine, approved=1, expires_at=later(900), next_at=later(20), now=later(1))
    waiting = ledger.pilot(asked.pilot_id)
    assert (waiting.state, waiting.approved, waiting.requested_at) == (PilotState.WAITING, 1, later(1))
    assert [photo.request_id for photo in waiting.photos] == [f"{number:032x}" for number in range(2)]
    assert ledger.due_pilots(now=later(19)) == []
    assert ledger.due_pilots(now=later(20)) == [asked.pilot_id]
    mine = claimed(ledger, asked, now=later(20))
    ledger.begin_measuring(mine, approved=2, now=later(21))
    ledger.extend_pilot(mine, measured=1, now=later(22), lease_s=LEASE_S)
    measuring = ledger.pilot(asked.pilot_id)
    assert (measuring.state, measuring.measured, measuring.requested_at) == (PilotState.MEASURING, 1, later(1))
    ledger.end_pilot(mine, PilotState.DONE, reports={"en": "a" * 64, "ja": "b" * 64}, now=later(30))
    done = ledger.pilot(asked.pilot_id)
    assert (done.state, done.ended_at, done.under_way) == (PilotState.DONE, later(30), False)
    assert done.reports == {"en": "a" * 64, "ja": "b" * 64}
    assert ledger.due_pilots(now=later(10_000)) == []


def test_what_is_away_is_tried_again_later(ledger: Ledger, project: Project) -> None:
    publish(ledger, project, 1)
    asked = ledger.ask_pilot(project.project_id, size=1, now=NOW)
    ledger.postpone_pilot(claimed(ledger, asked), reason="the admin does not answer", next_at=later(30))
    postponed = ledger.pilot(asked.pilot_id)
    assert (postponed.state, postponed.reason) == (PilotState.ASKED, "the admin does not answer")
    assert ledger.due_pilots(now=later(29)) == []
    assert ledger.claim_pilot(asked.pilot_id, now=later(30), lease_s=LEASE_S) is not None


def test_a_claim_is_one_workers_and_lapses(ledger: Ledger, project: Project) -> None:
    publish(ledger, project, 1)
    asked = ledger.ask_pilot(project.project_id, size=1, now=NOW)
    dead = claimed(ledger, asked)
    assert ledger.claim_pilot(asked.pilot_id, now=later(59), lease_s=LEASE_S) is None
    assert ledger.due_pilots(now=later(60)) == [asked.pilot_id]
    claimed(ledger, asked, now=later(60))
    for step in (
        lambda: ledger.extend_pilot(dead, measured=1, now=later(61), lease_s=LEASE_S),
        lambda: ledger.await_approvals(dead, approved=0, expires_at=None, next_at=NOW, now=NOW),
        lambda: ledger.begin_measuring(dead, approved=1, now=NOW),
        lambda: ledger.end_pilot(dead, PilotState.DONE, now=NOW),
        lambda: ledger.postpone_pilot(dead, reason="", next_at=NOW),
    ):
        with pytest.raises(ClaimLostError):
            step()
    assert ledger.pilot(asked.pilot_id).state is PilotState.ASKED


# The end


def test_a_report_is_discarded_with_its_pilot_and_remembered_until_it_is_deleted(
    ledger: Ledger, project: Project
) -> None:
    publish(ledger, project, 1)
    asked = ledger.ask_pilot(project.project_id, size=1, now=NOW)
    with pytest.raises(LedgerError, match="under way"):
        ledger.discard_pilot(asked.pilot_id, now=NOW)
    ended(ledger, asked, PilotState.DONE, reports={"en": "a" * 64, "ja": "b" * 64})
    assert ledger.discard_pilot(asked.pilot_id, now=NOW) == ["a" * 64, "b" * 64]
    assert set(ledger.discarded_blobs()) == {"a" * 64, "b" * 64}
    assert ledger.pilots(project.project_id) == []
    with pytest.raises(LedgerError, match="no pilot"):
        ledger.pilot(asked.pilot_id)


def test_whoever_withdraws_takes_the_reports_along_that_they_are_in(ledger: Ledger, project: Project) -> None:
    publish(ledger, project, 3, subjects={0: "jane", 1: "joe"})
    done = ended(
        ledger, ledger.ask_pilot(project.project_id, size=3, now=NOW), PilotState.DONE, reports={"en": "a" * 64}
    )
    other = ended(ledger, ledger.ask_pilot(project.project_id, size=1, now=later(1)), PilotState.FAILED)
    assert ledger.forget_subject(project.project_id, "joe", now=NOW) == ["a" * 64]
    assert [pilot.pilot_id for pilot in ledger.pilots(project.project_id)] == [other.pilot_id]
    assert ledger.discarded_blobs() == ["a" * 64]
    assert done.pilot_id != other.pilot_id


def test_a_worker_loses_the_pilot_of_somebody_who_withdraws(ledger: Ledger, project: Project) -> None:
    publish(ledger, project, 1, subjects={0: "jane"})
    mine = claimed(ledger, ledger.ask_pilot(project.project_id, size=1, now=NOW))
    ledger.forget_subject(project.project_id, "jane", now=NOW)
    with pytest.raises(ClaimLostError):
        ledger.extend_pilot(mine, measured=1, now=NOW, lease_s=LEASE_S)


def test_how_long_a_photo_took_is_noted(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    assert ledger.claim(photo.photo_id, revision=1, now=NOW, lease_s=60)
    facts: dict[str, Any] = {"image_sha256": "b" * 64, "image_format": "png", "width_px": 1, "height_px": 1}
    ledger.ready(photo.photo_id, image_key="k", **facts, faces=[], model_version="m", now=later(9), work_seconds=8.5)
    assert ledger.photo(photo.photo_id).work_seconds == 8.5
