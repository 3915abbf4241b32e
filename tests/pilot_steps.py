"""What comes before and after a pilot, as an intake's tests need it."""

from __future__ import annotations

from intake_counter import Counter
from ledger_steps import make_ready

from backend.ledger.records import Pilot, PilotState, Project


def published(counter: Counter, project: Project, count: int = 1) -> list[str]:
    """Photos that Label Studio has."""
    ledger, now = counter.desk.ledger, counter.clock()
    photos = []
    for number in range(count):
        photo, _ = ledger.add_photo(project.project_id, origin="intake", source_sha256=f"{number:064x}", now=now)
        make_ready(ledger, photo, now=now)
        photos.append(photo.photo_id)
    ledger.published({photo_id: number + 1 for number, photo_id in enumerate(photos)}, now=now)
    return photos


def ended(counter: Counter, pilot: Pilot, state: PilotState = PilotState.DONE) -> Pilot:
    """As a worker leaves it, with reports if it is done."""
    ledger, now = counter.desk.ledger, counter.clock()
    claimed = ledger.claim_pilot(pilot.pilot_id, now=now, lease_s=60)
    assert claimed is not None
    pages = {"en": b"<h1>Pilot</h1>", "ja": "<h1>報告</h1>".encode()} if state is PilotState.DONE else {}
    reports = {language: counter.desk.blobs.put(page) for language, page in pages.items()}
    ledger.end_pilot(claimed, state, reports=reports, reason=None if pages else "it was refused", now=now)
    return ledger.pilot(pilot.pilot_id)
