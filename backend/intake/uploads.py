"""From what a manager hands in to sealed originals that wait for a worker.

Every file gets an answer of its own and none stops the others. An original is sealed before it is stored, so it is in
the clear in this process's memory only; file names end here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backend import logs
from backend.custody import inbox
from backend.errors import IntakeError, QueueError, StorageError
from backend.intake.manifest import Manifest, Row
from backend.intake.parcels import LIMITS, HandedIn, Limits, Spoiled, photo_names, unpacked
from backend.jobs import AnonymizeTask, Jobs, QueueName
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, PhotoState, Project
from backend.storage import BlobStore
from g2face_model import images
from g2face_model.errors import UnreadableImageError

INTERACTIVE_FILES = 20
"""Up to so many photos at once overtake the long queues of others."""

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What became of one file. index: its place among the photos handed in, from 0, archives taken apart.

    name: for the answer to this very upload, never kept. photo_id: None when it was refused, and `reason` says why.
    note: what the manager may want to know about an accepted photo.
    """

    index: int
    name: str
    photo_id: str | None = None
    reason: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Tray:
    """Where photos are put: the ledger, the store, the queue and the public half of the inbox key."""

    ledger: Ledger
    blobs: BlobStore
    jobs: Jobs
    inbox_public_key: bytes


def take(
    tray: Tray,
    project: Project,
    *,
    files: Sequence[HandedIn],
    manifest: Manifest | None,
    now: datetime,
    total: int | None = None,
    limits: Limits = LIMITS,
) -> list[UploadResult]:
    """Check, seal, store, note and queue every photo among `files` and in their archives, in that order.

    total: how many photos the manager hands in altogether when this is a part of them; it decides the queue.
    A photo that the project already has is answered with its id and a note. While the queue is away photos are still
    accepted: reconciling queues them later. Raises `IntakeError` when the project is off or the limits are exceeded.
    """
    names = list(photo_names(files))
    ambiguous = manifest.ambiguous(names) if manifest else frozenset()
    photos = unpacked(files, limits)
    return take_photos(
        tray, project, photos=photos, manifest=manifest, ambiguous=ambiguous, now=now, total=total or len(names)
    )


def take_photos(
    tray: Tray,
    project: Project,
    *,
    photos: Iterable[HandedIn | Spoiled],
    manifest: Manifest | None,
    ambiguous: Collection[int],
    now: datetime,
    total: int,
    first: int = 0,
) -> list[UploadResult]:
    """The same for `photos` that are taken out already.

    ambiguous: rows of the manifest that fit more than one of all photos, the `total`. first: the index of the first.
    """
    check_on(project)
    queue: QueueName = "interactive" if total < INTERACTIVE_FILES else "bulk"
    counter = _Counter(tray, project, queue=queue, now=now)
    results = []
    for index, item in enumerate(photos, first):
        row = manifest.row_of(item.name) if manifest else None
        if row and row.number in ambiguous:
            item = Spoiled(
                item.name, f"row {row.number} of the CSV fits more than one file; write the folder there too"
            )
        results.append(counter.accept(index, item, row=row, listed=manifest is not None))
    return results


def check_on(project: Project) -> None:
    """Raises `IntakeError` when the project takes no photos."""
    if not project.on:
        raise IntakeError("anonymization is off for this project; turn it on before handing in photos")


class _Counter:
    """Takes the photos of one upload, one after the other."""

    def __init__(self, tray: Tray, project: Project, *, queue: QueueName, now: datetime) -> None:
        self._tray, self._project, self._queue, self._now = tray, project, queue, now
        self._queue_is_away = False

    def accept(self, index: int, item: HandedIn | Spoiled, *, row: Row | None, listed: bool) -> UploadResult:
        if isinstance(item, Spoiled):
            return UploadResult(index, item.name, reason=item.reason)
        try:
            images.decode(item.data)
            photo, created = self._note(item.data, row)
        except UnreadableImageError as error:
            return UploadResult(index, item.name, reason=str(error))
        except StorageError:
            _log.error("photo could not be stored", extra={"project_id": self._project.project_id})
            return UploadResult(index, item.name, reason="it could not be stored just now; hand it in once more")
        note = None if created else self._again(photo)
        if photo.state is PhotoState.WAITING:
            self._enqueue(photo)
        if note is None and listed and row is None:
            note = "the CSV has no row for it"
        return UploadResult(index, item.name, photo_id=photo.photo_id, note=note)

    def _note(self, data: bytes, row: Row | None) -> tuple[Photo, bool]:
        """Seal and store the original, then write it down; a photo that was there keeps its own blob."""
        tray, project_id = self._tray, self._project.project_id
        source_sha256 = hashlib.sha256(data).hexdigest()
        sealed = inbox.seal_original(tray.inbox_public_key, data, project_id=project_id, source_sha256=source_sha256)
        blob = tray.blobs.put(sealed)
        photo, created = tray.ledger.add_photo(
            project_id,
            origin="intake",
            source_sha256=source_sha256,
            source_blob=blob,
            subject_id=row.subject_id if row else None,
            consent=row.consent if row else None,
            now=self._now,
        )
        if not created and photo.source_blob != blob:
            tray.blobs.delete(blob)
        return photo, created

    def _again(self, photo: Photo) -> str:
        return f"it was handed in before and is {photo.state}"

    def _enqueue(self, photo: Photo) -> None:
        """Queue the photo; after the first failure the queue is left alone, as each try may take a second."""
        if self._queue_is_away:
            return
        try:
            self._tray.jobs.enqueue(AnonymizeTask(photo.photo_id, photo.policy_revision), queue=self._queue)
        except QueueError:
            self._queue_is_away = True
            _log.warning("queue is away, photos wait for reconciling", extra={"project_id": self._project.project_id})
