"""One photo, end to end, up to where it may be shown. The order of the lines in `anonymize` is the guarantee.

claim -> fetch -> anonymize every face -> verify -> encode -> prove -> seal -> vault and audit in one transaction ->
store the image -> ready. Nothing is shown until everything is locked. Each step may be done again: a worker that dies
at any line leaves a claim that lapses, and whoever takes the photo up next does the same once more.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from backend import unclaimed
from backend.custody.records import Detail, NewEvent, SealedRecord, SubjectKey, SubjectRef
from backend.custody.seal import seal_record
from backend.custody.vault import SEALED, digests
from backend.errors import LedgerError, QueueError
from backend.jobs import AnonymizeTask, PublishTask
from backend.ledger.records import OutputFormat, Photo, Policy
from g2face_model import images, recovery
from g2face_model.errors import RecoveryError, VerificationError
from g2face_model.images import LOSSLESS_FORMATS
from g2face_model.recovery import RecoveryPayload
from g2face_model.types import AnonymizedFace, AnonymizedImage, Image
from worker.notes import note
from worker.runtime import Runtime

ACTOR = "worker"
_NO_FACE = "no face was found, so nothing could be protected; one may have been missed, so the photo is not published"


@dataclass(frozen=True, slots=True)
class _Published:
    """The anonymized file, its digest (64 hexadecimal digits) and the pixels that a reader of it sees."""

    data: bytes
    sha256: str
    pixels: Image
    format: OutputFormat


@dataclass(frozen=True, slots=True)
class Proven:
    """The bytes of a recovery payload that were seen to give the original back, and their digest."""

    face_index: int | None
    plaintext: bytes
    sha256: str


def take(runtime: Runtime, task: AnonymizeTask) -> Photo | None:
    """Claim the photo, or None when there is nothing to do: another worker has it, it is done, cancelled, waits under
    another revision of the policy, or has taken too many workers down with it and is now given up."""
    limits = runtime.limits
    photo = runtime.ledger.claim(task.photo_id, revision=task.revision, now=runtime.now(), lease_s=limits.lease_s)
    if photo is None or photo.attempts <= limits.max_attempts:
        return photo
    reason = f"given up after {limits.max_attempts} attempts that ended without an answer"
    runtime.ledger.fail(photo.photo_id, reason=reason, now=runtime.now(), attempt=photo.attempts)
    return None


def anonymize(runtime: Runtime, photo: Photo) -> None:
    """Take a claimed photo to ready, and have it published.

    Raises ModelError and BackendError: nothing is shown then, and the caller settles what becomes of the photo.
    ClaimLostError: another worker has taken it over.
    """
    runtime.checkpoint("claimed")
    _anonymize(runtime, photo)
    runtime.checkpoint("ready")
    announce(runtime, photo.project_id)


def announce(runtime: Runtime, project_id: str) -> None:
    """Queue the hand-over to Label Studio. Without a queue the photo stays ready, and reconciling finds it."""
    try:
        runtime.jobs.enqueue(PublishTask(project_id), queue="interactive")
    except QueueError:
        return
    runtime.checkpoint("announced")


def _anonymize(runtime: Runtime, photo: Photo) -> None:
    policy = runtime.ledger.policy(photo.project_id, photo.policy_revision)
    stage, checkpoint = runtime.metrics.stage, runtime.checkpoint
    with stage("fetch"):
        data = _fetch(runtime, photo)
    checkpoint("fetched")
    with stage("decode"):
        original = images.decode(data)
    checkpoint("decoded")
    keys = _Subjects(runtime, photo)
    with stage("anonymize"):
        result = runtime.anonymizer.anonymize(original, _seeds(runtime, photo, policy, keys))
    checkpoint("anonymized")
    _count(runtime, result)
    verify(original, result, strict=policy.strictness == "strict")
    with stage("encode"):
        published = _encode(result.image, policy.output_format)
    checkpoint("encoded")
    with stage("prove"):
        payloads = prove(original, published.pixels, result.faces, lossless=published.format in LOSSLESS_FORMATS)
    checkpoint("proved")
    with stage("seal"):
        kept = payloads if policy.recovery == "exact" else ()
        records = _seal(keys, kept, photo, policy, published, result.model_version, now=runtime.now())
    checkpoint("sealed")
    with stage("lock"):
        _lock(runtime, photo, records, published, result)
    checkpoint("locked")
    with stage("store"):
        image_sha256 = runtime.blobs.put(published.data)
    checkpoint("stored")
    source_sha256 = hashlib.sha256(data).hexdigest()
    _ready(runtime, photo, published, result, image_sha256=image_sha256, source_sha256=source_sha256)


def _fetch(runtime: Runtime, photo: Photo) -> bytes:
    """The original file's bytes. They never leave this process's memory."""
    if photo.origin == "adoption":
        if photo.source_address is None:
            raise LedgerError(f"photo {photo.photo_id} has no address to fetch it from")
        return runtime.labelstudio.download(photo.source_address, task_id=photo.labelstudio_task_id)
    if photo.source_blob is None:
        raise LedgerError(f"photo {photo.photo_id} has no sealed original")
    sealed = runtime.blobs.get(photo.source_blob)
    return runtime.inbox.open(sealed, project_id=photo.project_id, source_sha256=photo.source_sha256)


class _Subjects:
    """Whose face is whose: a photo's subject is its largest face; all others, and the remainder of a lossy file, are
    subjects of their own, so that recovering or shredding one never touches another."""

    def __init__(self, runtime: Runtime, photo: Photo) -> None:
        self._runtime, self._photo = runtime, photo
        self._keys: dict[int | None, SubjectKey] = {}

    def key(self, face_index: int | None) -> SubjectKey:
        """Raises KeyShreddedError when the subject has withdrawn, LedgerError for one that the photo cannot have."""
        if face_index not in self._keys:
            ref = SubjectRef(self._photo.project_id, self._subject_id(face_index))
            self._keys[face_index] = self._runtime.keyring.ensure(ref, now=self._runtime.now())
        return self._keys[face_index]

    def _subject_id(self, face_index: int | None) -> str:
        photo = self._photo
        if face_index != 0 or photo.subject_id is None:
            return unclaimed.subject_id(photo.photo_id, face_index)
        if unclaimed.photo_of(photo.subject_id) is not None:  # as only somebody who writes to the ledger's tables can
            raise LedgerError(f"photo {photo.photo_id} names a subject that stands for an unclaimed face")
        return photo.subject_id


def _seeds(runtime: Runtime, photo: Photo, policy: Policy, keys: _Subjects) -> Callable[[int], bytes]:
    claim = _Claim(runtime, photo)

    def seed(index: int) -> bytes:
        claim.renew()
        message = "face" if policy.pseudonym == "consistent" else f"{photo.photo_id}-{index}"
        return hmac.digest(keys.key(index).identity_seed, message.encode(), "sha256")

    return seed


class _Claim:
    """A crowd takes longer than a claim holds: it is renewed, face by face, once a third of its time has passed."""

    def __init__(self, runtime: Runtime, photo: Photo) -> None:
        self._runtime, self._photo = runtime, photo
        self._renewed_at = photo.updated_at  # when it was claimed

    def renew(self) -> None:
        """Raises ClaimLostError when another worker has the photo by now."""
        lease_s, now = self._runtime.limits.lease_s, self._runtime.now()
        if now - self._renewed_at >= timedelta(seconds=lease_s / 3):
            photo = self._photo
            self._runtime.ledger.extend(photo.photo_id, now=now, lease_s=lease_s, attempt=photo.attempts)
            self._renewed_at = now


def _count(runtime: Runtime, result: AnonymizedImage) -> None:
    for face in result.faces:
        for reason in face.verdict.reasons:
            runtime.metrics.gate_failure(reason)


def verify(original: Image, result: AnonymizedImage, *, strict: bool) -> None:
    """Refuse what may not be shown: a photo in which no face was found, a face left as it was and, when `strict`, one
    that could only be covered. Raises VerificationError."""
    if not result.faces:  # a detector's miss would be published as it is
        raise VerificationError(_NO_FACE)
    for face in result.faces:
        left, top, width, height = face.rectangle
        window = slice(top, top + height), slice(left, left + width)
        if face.mask.any() and np.array_equal(original[window][face.mask], result.image[window][face.mask]):
            raise VerificationError(f"face {face.index}: left as it was")
        if strict and not face.verdict.passed:
            raise VerificationError(f"face {face.index}: {', '.join(face.verdict.reasons) or face.verdict.outcome}")


def _encode(image: Image, format: OutputFormat) -> _Published:
    data = images.encode(image, format)
    return _Published(data, hashlib.sha256(data).hexdigest(), images.decode(data), format)


def prove(
    original: Image, published: Image, faces: tuple[AnonymizedFace, ...], *, lossless: bool
) -> tuple[Proven, ...]:
    """The payloads that give the original back, after having given it back, bit for bit. `published` are the pixels
    that a reader of the anonymized file sees. Raises RecoveryError."""
    payloads = recovery.protect(original, published, faces, lossy=not lossless)
    written = [(payload.face_index, payload.to_bytes()) for payload in payloads]
    read_back = [RecoveryPayload.from_bytes(plaintext) for _, plaintext in written]
    if not np.array_equal(recovery.restore(published, read_back), original):
        raise RecoveryError("the anonymized image does not lead back to the original")
    return tuple(Proven(index, plaintext, hashlib.sha256(plaintext).hexdigest()) for index, plaintext in written)


def _seal(
    keys: _Subjects,
    payloads: tuple[Proven, ...],
    photo: Photo,
    policy: Policy,
    published: _Published,
    model_version: str,
    *,
    now: datetime,
) -> list[SealedRecord]:
    days = policy.retention_days
    expires_at = None if days is None else now + timedelta(days=days)
    records = []
    for payload in payloads:
        record = seal_record(
            keys.key(payload.face_index),
            payload.plaintext,
            record_id=uuid.uuid4().hex,
            photo_id=photo.photo_id,
            face_index=payload.face_index,
            anonymized_sha256=published.sha256,
            model_version=model_version,
            now=now,
            expires_at=expires_at,
        )
        if record.payload_sha256 != payload.sha256:
            raise RecoveryError("what was sealed is not what was proven")
        records.append(record)
    return records


def _lock(
    runtime: Runtime, photo: Photo, records: list[SealedRecord], published: _Published, result: AnonymizedImage
) -> None:
    """Records and the event that tells of them, in one transaction; a second time nothing is added."""
    detail: Detail = {
        "project_id": photo.project_id,
        "policy_revision": photo.policy_revision,
        "faces": len(result.faces),
        "covered": sum(not face.verdict.passed for face in result.faces),
        "records": len(records),
        "anonymized_sha256": published.sha256,
        "model_version": result.model_version,
        **digests(records),
    }
    event = NewEvent(ACTOR, SEALED, photo.photo_id, detail)
    runtime.vault.store(records, [event], now=runtime.now())


def _ready(
    runtime: Runtime,
    photo: Photo,
    published: _Published,
    result: AnonymizedImage,
    *,
    image_sha256: str,
    source_sha256: str,
) -> None:
    height_px, width_px = published.pixels.shape[:2]
    runtime.ledger.ready(
        photo.photo_id,
        image_key=runtime.new_image_key(),
        image_sha256=image_sha256,
        image_format=published.format,
        width_px=width_px,
        height_px=height_px,
        faces=[note(face) for face in result.faces],
        model_version=result.model_version,
        now=runtime.now(),
        source_sha256=source_sha256,
        work_seconds=(runtime.now() - photo.updated_at).total_seconds(),  # since it was claimed
        attempt=photo.attempts,
    )
    runtime.metrics.photo("ready")
