"""Pilot reports: asked for here, made by workers, served from the store. No original and no token comes near this."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backend import logs
from backend.errors import IntakeError, LedgerError, QueueError, StorageError
from backend.jobs import Jobs, PilotTask
from backend.ledger.ledger import Ledger
from backend.ledger.pilots import MOST_PHOTOS, UNDER_WAY, WRONG_SIZE
from backend.ledger.records import Pilot
from backend.storage import BlobStore

USUAL_PHOTOS: Final = 20
"""From so many faces on the report gives a verdict."""
LANGUAGES: Final = {"en": "English", "ja": "日本語"}

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be asked for. recoverable: published photos whose originals can be given back. most: of them, at once.
    problem: why nothing can be asked for now, None when it can."""

    recoverable: int
    most: int
    usual: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class Pilots:
    """What managers do with pilots."""

    ledger: Ledger
    blobs: BlobStore
    jobs: Jobs

    def offer(self, project_id: str) -> Offer:
        """Whether a pilot is possible; said before anything is asked for."""
        project, there = self.ledger.project(project_id), self.ledger.recoverable(project_id)
        problem = None
        if any(pilot.under_way for pilot in self.ledger.pilots(project_id, limit=1)):
            problem = UNDER_WAY
        elif not there and project.policy.recovery == "none":
            problem = "the policy keeps nothing that leads back to an original, so there is nothing to measure against"
        elif not there:
            problem = "no photo is published yet whose original can be given back"
        most = min(there, MOST_PHOTOS)
        return Offer(there, most, min(USUAL_PHOTOS, most), problem)

    def ask(self, project_id: str, *, photos: int | None, now: datetime) -> Pilot:
        """Have a pilot made on so many photos, as many as are usual for None. Raises `IntakeError` when there can be
        none. Without a queue it is noted all the same, and reconciling queues it."""
        offer = self.offer(project_id)
        if offer.problem is not None:
            raise IntakeError(offer.problem)
        if photos is not None and not 1 <= photos <= MOST_PHOTOS:
            raise IntakeError(WRONG_SIZE)
        pilot = self.ledger.ask_pilot(project_id, size=photos or offer.usual, now=now)
        try:
            self.jobs.enqueue(PilotTask(pilot.pilot_id), queue="bulk")
        except QueueError:
            _log.warning("queue is away, the pilot waits for reconciling", extra={"project_id": project_id})
        return pilot

    def of(self, project_id: str, pilot_id: str) -> Pilot:
        """Raises `LedgerError` when the project has no such pilot."""
        pilot = self.ledger.pilot(pilot_id)
        if pilot.project_id != project_id:
            raise LedgerError(f"project {project_id} has no pilot {pilot_id}")
        return pilot

    def report(self, project_id: str, pilot_id: str, *, language: str) -> bytes:
        """The page. Raises `IntakeError` for a language that there is none in, `LedgerError` before it is done,
        `StorageError`."""
        if language not in LANGUAGES:
            raise IntakeError(f"a report is in one of: {', '.join(LANGUAGES)}")
        name = self.of(project_id, pilot_id).reports.get(language)
        if name is None:
            raise LedgerError(f"pilot {pilot_id} has no report")
        return self.blobs.get(name)

    def discard(self, project_id: str, pilot_id: str, *, now: datetime) -> None:
        """Forget an ended pilot and delete its reports. Raises `IntakeError` while it is under way."""
        if self.of(project_id, pilot_id).under_way:
            raise IntakeError("a pilot that is under way ends first; who approves recovery can refuse it")
        names = self.ledger.discard_pilot(pilot_id, now=now)
        try:
            for name in names:
                self.blobs.delete(name)
            self.ledger.forget_blobs(names)
        except StorageError:
            _log.warning("a report waits for deletion", extra={"project_id": project_id})
