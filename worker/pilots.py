"""A pilot, step by step: originals asked for, approvals awaited, each original retrieved once, measured and dropped.

ask for every photo -> wait until other people have decided -> check -> measuring -> (retrieve, measure, drop) for each
photo -> write the report -> done. Up to "measuring" every step may be done again. From there on approvals are used up:
a worker that dies leaves nothing but a claim that lapses, and whoever finds it says that the pilot has failed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from backend import logs
from backend.errors import ConfigError, OriginalsError
from backend.jobs import PilotTask
from backend.ledger.records import Photo, Pilot, PilotState
from g2face_model import images
from g2face_model.errors import ModelError
from g2face_model.types import Box, Image
from worker.originals import NotGivenError, Original, Originals, Request
from worker.runtime import Examiner, Runtime

if TYPE_CHECKING:
    from g2face_model.evaluation.pilot import Specimen

_REASON: Final = (
    "Pilot report on {count} photos of this project: a program measures each photo before and after anonymization. The "
    "original is in its memory for as long as that takes, and nobody is shown it."
)
_UNTRUSTED: Final = "the workers have no token for asking for originals (G2FACE_WORKER__ADMIN_TOKEN); ask your operator"
_NOTHING_KEPT: Final = "nothing that leads back to the originals of these photos is kept any more"
_REFUSED: Final = "who approves recovery refused it"
_EXPIRED: Final = "it was not approved in time"
_LAPSED: Final = "it was approved, but the approvals ran out before anything could be retrieved; approve all together"
_TAKEN_BACK: Final = "the requests were taken back at the admin"
_NOTHING_GIVEN: Final = "it was approved, but no original could be retrieved"
_NOTHING_MEASURED: Final = "no photo could be measured"
_INTERRUPTED: Final = (
    "a worker was stopped while it measured. What it had recovered was in its memory alone and is gone, and an "
    "approval is good for one retrieval: ask again"
)
_LANGUAGES: Final = ("en", "ja")

_log = logs.get(__name__)


def take(runtime: Runtime, task: PilotTask) -> Pilot | None:
    """Claim the pilot, or None when there is nothing to do: another worker has it, or it has ended."""
    return runtime.ledger.claim_pilot(task.pilot_id, now=runtime.now(), lease_s=runtime.limits.lease_s)


def advance(runtime: Runtime, pilot: Pilot) -> None:
    """Take a claimed pilot as far as it goes now; its claim has ended then.

    Raises BackendError and ModelError, and the caller settles what becomes of it; ClaimLostError: another worker has
    taken it over, or it is gone with somebody who withdrew.
    """
    if pilot.state is PilotState.MEASURING:
        _take_back(runtime, pilot)
        _end(runtime, pilot, PilotState.FAILED, _INTERRUPTED)
        return
    originals = _originals(runtime)
    if pilot.state is PilotState.ASKED:
        _ask(runtime, originals, pilot)
    reference = _reference(pilot)
    requests = originals.asked(pilot.project_id, reference=reference, count=len(pilot.photos))
    approved = [request for request in requests if request.state == "approved"]
    if any(request.state == "open" for request in requests):
        _wait(runtime, pilot, requests, approved=len(approved))
    elif approved:
        _measure(runtime, originals, pilot, approved)
    else:
        _end(runtime, pilot, *_verdict([request.state for request in requests], waited=pilot.approved > 0))


def settle(runtime: Runtime, pilot: Pilot, reason: str, *, again: bool) -> None:
    """What becomes of a pilot that could not be advanced: looked at again, unless that is of no use, approvals are used
    up, or it has waited for too long. Raises LedgerError."""
    present, now, limits = runtime.ledger.pilot(pilot.pilot_id), runtime.now(), runtime.limits
    used_up = present.state is PilotState.MEASURING
    if again and not used_up and now - pilot.asked_at < timedelta(seconds=limits.patience_s):
        runtime.ledger.postpone_pilot(present, reason=reason, next_at=now + timedelta(seconds=limits.poll_s))
        return
    _take_back(runtime, pilot)
    _end(runtime, pilot, PilotState.FAILED, reason)


def _originals(runtime: Runtime) -> Originals:
    if runtime.originals is None:
        raise ConfigError(_UNTRUSTED)
    return runtime.originals


def _reference(pilot: Pilot) -> str:
    """By which the admin's people and we know its requests."""
    return f"pilot {pilot.pilot_id}"


def _ask(runtime: Runtime, originals: Originals, pilot: Pilot) -> None:
    """Have a request at the admin for every photo; what was asked for before a crash is found by its reference."""
    reference, reason = _reference(pilot), _REASON.format(count=len(pilot.photos))
    there = originals.asked(pilot.project_id, reference=reference, count=len(pilot.photos))
    known = {request.photo_id: request.request_id for request in there}
    for one in pilot.photos:
        if one.photo_id not in known:
            faces = [face.index for face in runtime.ledger.photo(one.photo_id).faces]
            try:
                asked = originals.ask(one.photo_id, faces, reason=reason, reference=reference)
            except NotGivenError:
                continue  # nothing of it is kept any more
            known[one.photo_id] = asked.request_id
            runtime.checkpoint("asked")
        _keep(runtime, pilot)
        runtime.ledger.note_request(pilot, one.photo_id, known[one.photo_id])
    if not known:
        raise NotGivenError(_NOTHING_KEPT)


def _wait(runtime: Runtime, pilot: Pilot, requests: Sequence[Request], *, approved: int) -> None:
    now = runtime.now()
    runtime.ledger.await_approvals(
        pilot,
        approved=approved,
        expires_at=min(request.expires_at for request in requests if request.state in ("open", "approved")),
        next_at=now + timedelta(seconds=runtime.limits.poll_s),
        now=now,
    )
    runtime.checkpoint("waiting")


def _verdict(states: Sequence[str], *, waited: bool) -> tuple[PilotState, str]:
    """How a pilot ends of which no request is open or approved."""
    if "refused" in states:
        return PilotState.REFUSED, _REFUSED
    if "expired" in states:
        return PilotState.EXPIRED, _LAPSED if waited else _EXPIRED
    return PilotState.FAILED, _TAKEN_BACK if "cancelled" in states else _NOTHING_KEPT


@dataclass(slots=True)
class _Sample:
    """Whose photos are measured. Subjects get numbers, so that no id of theirs gets any further."""

    runtime: Runtime
    people: dict[str, str] = field(default_factory=dict)

    def person(self, photo: Photo) -> str:
        if photo.subject_id is None:
            return ""
        return self.people.setdefault(photo.subject_id, str(len(self.people) + 1))

    def published(self, photo: Photo) -> Image:
        """Raises StorageError, ModelError."""
        return images.decode(self.runtime.blobs.get(photo.image_sha256 or ""))

    def sealed_bytes(self, photo: Photo) -> int:
        """What is kept of the photo's original."""
        records = self.runtime.vault.records_of_photo(photo.photo_id)
        return sum(len(record.sealed) for record in records if record.anonymized_sha256 == photo.image_sha256)

    def specimen(self, photo: Photo, published: Image, original: Original, *, seconds: float) -> Specimen:
        """Raises UnreadableImageError."""
        # Imported here: torch comes with it, and whoever only reconciles has no use for that.
        from g2face_model.evaluation.pilot import Specimen, SpecimenFace

        faces = (SpecimenFace(Box(*face.box, 1.0), face.outcome, face.reasons) for face in photo.faces)
        return Specimen(
            name=photo.photo_id[:8],
            person=self.person(photo),
            original=images.decode(original.png),
            published=published,
            faces=tuple(faces),
            bit_exact=original.bit_exact,
            format=photo.image_format or "",
            work_seconds=photo.work_seconds,
            retrieve_seconds=seconds,
            sealed_bytes=self.sealed_bytes(photo),
        )


def _measure(runtime: Runtime, originals: Originals, pilot: Pilot, approved: Sequence[Request]) -> None:
    sample, by_photo = _Sample(runtime), {request.photo_id: request for request in approved}
    wanted = [
        (runtime.ledger.photo(one.photo_id), by_photo[one.photo_id]) for one in pilot.photos if one.photo_id in by_photo
    ]
    for photo, _ in wanted:  # what would stop us is found before an approval is used up
        sample.published(photo)
        _keep(runtime, pilot)
    examiner = runtime.examiner()
    runtime.ledger.begin_measuring(pilot, approved=len(approved), now=runtime.now())
    runtime.checkpoint("measuring")
    given = measured = 0
    for photo, request in wanted:
        try:
            seen = _look(runtime, originals, sample, examiner, photo=photo, request=request)
        except OriginalsError:  # too late for this one, or the admin has gone away: the others may do
            continue
        given, measured = given + 1, measured + seen
        _keep(runtime, pilot, measured=measured)
    if not measured:
        _end(runtime, pilot, PilotState.FAILED, _NOTHING_MEASURED if given else _NOTHING_GIVEN)
        return
    _finish(runtime, pilot, examiner)


def _look(
    runtime: Runtime, originals: Originals, sample: _Sample, examiner: Examiner, *, photo: Photo, request: Request
) -> bool:
    """Retrieve and measure one photo; whether it could be measured. Its original is gone when this returns."""
    published, started = sample.published(photo), time.perf_counter()
    original = originals.retrieve(request.request_id)
    seconds = time.perf_counter() - started
    runtime.checkpoint("retrieved")
    try:
        examiner.look(sample.specimen(photo, published, original, seconds=seconds))
    except ModelError as error:
        known: dict[str, object] = {"event": "not_measured", "photo_id": photo.photo_id, "reason": str(error)}
        _log.warning("photo not measured", extra=known)
        return False
    runtime.checkpoint("measured")
    return True


def _finish(runtime: Runtime, pilot: Pilot, examiner: Examiner) -> None:
    """The report, under names that whoever finds this pilot interrupted can tell."""
    pages = examiner.pages(asked=len(pilot.photos))
    reports = {language: runtime.blobs.put(pages[language].encode(), name=name) for language, name in _names(pilot)}
    runtime.checkpoint("written")
    runtime.ledger.end_pilot(pilot, PilotState.DONE, reports=reports, now=runtime.now())
    runtime.checkpoint("done")
    _told(pilot, PilotState.DONE)


def _names(pilot: Pilot) -> list[tuple[str, str]]:
    """The blobs of a pilot's reports by language, known before they are there: a crash leaves none behind."""
    return [(language, f"{pilot.pilot_id}-{number}") for number, language in enumerate(_LANGUAGES)]


def _keep(runtime: Runtime, pilot: Pilot, *, measured: int = 0) -> None:
    limits = runtime.limits
    runtime.ledger.extend_pilot(pilot, measured=measured, now=runtime.now(), lease_s=limits.lease_s)


def _take_back(runtime: Runtime, pilot: Pilot) -> None:
    """Leave no request that could be used. Those that cannot be reached now end by themselves: an approval lapses
    within minutes."""
    if runtime.originals is None:
        return
    with contextlib.suppress(OriginalsError):
        reference = _reference(pilot)
        there = runtime.originals.asked(pilot.project_id, reference=reference, count=len(pilot.photos))
        runtime.originals.cancel([request.request_id for request in there if request.state in ("open", "approved")])


def _end(runtime: Runtime, pilot: Pilot, state: PilotState, reason: str) -> None:
    names = [name for _, name in _names(pilot)]
    runtime.ledger.end_pilot(pilot, state, reason=reason, discarded=names, now=runtime.now())
    runtime.checkpoint("ended")
    _told(pilot, state)


def _told(pilot: Pilot, state: PilotState) -> None:
    known: dict[str, object] = {"event": "pilot", "pilot_id": pilot.pilot_id, "project_id": pilot.project_id}
    _log.info("pilot has ended", extra={**known, "state": state.value})
