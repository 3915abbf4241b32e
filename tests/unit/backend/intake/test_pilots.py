"""Pilot reports as managers have them: an offer, an asking, a page that is theirs, and its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from intake_counter import Counter, open_counter
from pilot_steps import ended, published

from backend.errors import IntakeError, LedgerError, StorageError
from backend.intake.pilots import Pilots
from backend.jobs import Jobs
from backend.storage import BlobStore


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return open_counter(tmp_path)


def test_whether_there_can_be_one_is_said_before_anything_is_asked_for(counter: Counter) -> None:
    pilots = counter.desk.pilots
    nothing = counter.project("Nothing kept", labelstudio_id=8, recovery="none")
    published(counter, nothing)
    assert "policy keeps nothing" in (pilots.offer(nothing.project_id).problem or "")
    empty = counter.project()
    assert "no photo is published" in (pilots.offer(empty.project_id).problem or "")
    published(counter, empty, 3)
    offer = pilots.offer(empty.project_id)
    assert (offer.recoverable, offer.most, offer.usual, offer.problem) == (3, 3, 3, None)
    for project in (nothing, counter.project("Empty", labelstudio_id=9)):
        with pytest.raises(IntakeError):
            pilots.ask(project.project_id, photos=None, now=counter.clock())


def test_one_is_asked_for_and_queued_by_its_id(counter: Counter, redis_url: str) -> None:
    project = counter.project()
    published(counter, project, 30)
    pilots = Pilots(counter.desk.ledger, counter.desk.blobs, Jobs(redis_url))
    pilot = pilots.ask(project.project_id, photos=None, now=counter.clock())
    assert len(pilot.photos) == 20
    assert Jobs(redis_url).depth() == {"interactive": 0, "bulk": 1}
    assert "under way" in (pilots.offer(project.project_id).problem or "")
    with pytest.raises(IntakeError, match="under way"):
        pilots.ask(project.project_id, photos=2, now=counter.clock())


def test_without_a_queue_it_is_noted_all_the_same(counter: Counter) -> None:
    project = counter.project()
    published(counter, project)
    pilot = counter.desk.pilots.ask(project.project_id, photos=1, now=counter.clock())
    assert counter.desk.ledger.due_pilots(now=counter.clock()) == [pilot.pilot_id]


@pytest.mark.parametrize("photos", [0, -3, 51])
def test_it_is_neither_empty_nor_large(counter: Counter, photos: int) -> None:
    project = counter.project()
    published(counter, project)
    with pytest.raises(IntakeError, match="1 to 50"):
        counter.desk.pilots.ask(project.project_id, photos=photos, now=counter.clock())


def test_a_report_is_had_in_both_languages_and_through_its_own_project_alone(counter: Counter) -> None:
    project, other = counter.project(), counter.project("Other", labelstudio_id=8)
    published(counter, project)
    pilots = counter.desk.pilots
    pilot = pilots.ask(project.project_id, photos=1, now=counter.clock())
    with pytest.raises(LedgerError, match="no report"):
        pilots.report(project.project_id, pilot.pilot_id, language="en")
    ended(counter, pilot)
    assert pilots.report(project.project_id, pilot.pilot_id, language="en") == b"<h1>Pilot</h1>"
    assert pilots.report(project.project_id, pilot.pilot_id, language="ja").decode() == "<h1>報告</h1>"
    with pytest.raises(IntakeError, match="one of: en, ja"):
        pilots.report(project.project_id, pilot.pilot_id, language="fr")
    with pytest.raises(LedgerError, match="has no pilot"):
        pilots.report(other.project_id, pilot.pilot_id, language="en")


def test_what_is_discarded_is_gone_from_the_disk(counter: Counter) -> None:
    project = counter.project()
    published(counter, project)
    pilots = counter.desk.pilots
    pilot = pilots.ask(project.project_id, photos=1, now=counter.clock())
    with pytest.raises(IntakeError, match="under way"):
        pilots.discard(project.project_id, pilot.pilot_id, now=counter.clock())
    names = ended(counter, pilot).reports.values()
    pilots.discard(project.project_id, pilot.pilot_id, now=counter.clock())
    assert not any(counter.desk.blobs.exists(name) for name in names)
    assert counter.desk.ledger.discarded_blobs() == []
    with pytest.raises(LedgerError):
        pilots.of(project.project_id, pilot.pilot_id)


def test_a_report_whose_storage_is_away_is_deleted_later(counter: Counter) -> None:
    class Away(BlobStore):
        def delete(self, name: str) -> None:
            raise StorageError(name)

    project = counter.project()
    published(counter, project)
    pilots = Pilots(counter.desk.ledger, Away("memory://"), counter.desk.jobs)
    pilot = pilots.ask(project.project_id, photos=1, now=counter.clock())
    names = ended(counter, pilot).reports.values()
    pilots.discard(project.project_id, pilot.pilot_id, now=counter.clock())
    assert set(counter.desk.ledger.discarded_blobs()) == set(names)
