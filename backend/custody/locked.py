"""What a request is about, as it lies there: anonymized files, the records that belong to them, the subjects' keys.

Everything that can be judged without opening anything is judged here: whose the records are, which anonymized file they
belong to, whether they or the keys are gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from backend.custody.keyring import Keyring
from backend.custody.lifecycle import RefusedError
from backend.custody.records import RecoveryRequest, SealedRecord, SubjectKey, SubjectRef
from backend.custody.vault import Vault, digests
from backend.errors import (
    BlobMissingError,
    CustodyError,
    KeyShreddedError,
    OriginalGoneError,
    RequestStateError,
    SealBrokenError,
)

Published = Callable[[str], bytes]
"""From a photo's id to its anonymized file. Raises `BlobMissingError` when there is none."""


@dataclass(frozen=True, slots=True)
class Aim:
    """Which faces of a photo are to be opened, None for the remainder, and whose. Neither files nor keys."""

    photo_id: str
    face_indices: tuple[int | None, ...]
    subjects: frozenset[SubjectRef]


@dataclass(frozen=True, slots=True)
class Locked:
    """A photo's anonymized file, and what is to be opened of it. complete: nothing of the photo is missing then."""

    photo_id: str
    published: bytes = field(repr=False)
    records: tuple[tuple[SealedRecord, SubjectKey], ...]
    complete: bool

    @property
    def aim(self) -> Aim:
        """What is to be opened, without it."""
        records = [record for record, _ in self.records]
        return Aim(self.photo_id, tuple(one.face_index for one in records), frozenset(one.subject for one in records))


class Reason(StrEnum):
    """Why a photo is left out of a subject's copy."""

    EXPIRED = "expired"
    NOT_PUBLISHED = "not_published"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A photo that a subject's copy is without."""

    photo_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Found:
    """What a request is about: `load` gives what is locked of one of the `aims`, as often as it is asked."""

    aims: tuple[Aim, ...]
    load: Callable[[Aim], Locked]
    left_out: tuple[LeftOut, ...] = ()


class Finder:
    """Looks in the vault and at the keys; opens nothing."""

    def __init__(self, vault: Vault, keyring: Keyring) -> None:
        self._vault, self._keyring = vault, keyring

    def subjects(self, request: RecoveryRequest) -> frozenset[SubjectRef]:
        """Whose originals are asked for. Raises `RefusedError` when no such original is kept."""
        if request.photo_id is not None:
            stored = self._records(request.photo_id, request.project_id)
            subjects = {one.face_index: one.subject for one in stored}
            if missing := set(request.face_indices) - subjects.keys():
                raise self._missing(request.photo_id, min(missing))
            return frozenset(subjects[index] for index in request.face_indices)
        if request.subject_id is None:  # as shredding leaves it
            raise RefusedError("shredded", KeyShreddedError("the subject has withdrawn and their key is destroyed"))
        ref = SubjectRef(request.project_id, request.subject_id)
        if not self._vault.photos_of_subject(ref):
            self._refuse_shredded(ref)
            raise RefusedError("no_record", RequestStateError("no original of this subject is kept"))
        return frozenset({ref})

    def faces(self, request: RecoveryRequest, published: Published, *, now: datetime) -> Locked:
        """The asked faces of one photo; when these are all that it has, what its file format took away as well.

        Raises `RefusedError`.
        """
        photo_id = request.photo_id or ""
        stored = self._records(photo_id, request.project_id)
        data = _file(photo_id, published)
        records = {one.face_index: one for one in _belonging(photo_id, stored, data)}
        asked = set(request.face_indices)
        if missing := asked - records.keys():
            raise self._missing(photo_id, min(missing))
        mine = [records[index] for index in sorted(asked)]
        if expired := [one for one in mine if _is_over(one, now)]:
            raise RefusedError("record_expired", OriginalGoneError(f"record {expired[0].record_id} is past its time"))
        whole = asked == records.keys() - {None}
        self._refuse_unlogged(photo_id, records.values() if whole else mine)
        around = self._remainder(records.get(None), now=now) if whole else ()
        complete = whole and (None not in records or bool(around))
        return Locked(photo_id, data, (*self._with_keys(mine), *around), complete)

    def own_face(self, ref: SubjectRef, published: Published, *, now: datetime) -> Found:
        """A subject's photos with the subject's own face, by their ids; without those whose record is past its time or
        which are not published. However many there are, one at a time is in memory. Raises `RefusedError`."""
        aims, left_out = list[Aim](), list[LeftOut]()
        for photo_id in self._vault.photos_of_subject(ref):
            found = self._own_face_in(photo_id, ref, published, now=now)
            if isinstance(found, Reason):
                left_out.append(LeftOut(photo_id, found))
            else:
                aims.append(found.aim)
        if not aims:
            raise RefusedError("record_expired", OriginalGoneError("no original of this subject is kept any more"))

        def load(aim: Aim) -> Locked:
            found = self._own_face_in(aim.photo_id, ref, published, now=now)
            if isinstance(found, Reason):
                raise RefusedError(found, RequestStateError(f"photo {aim.photo_id} is not there any more"))
            return found

        return Found(tuple(aims), load, tuple(left_out))

    def _records(self, photo_id: str, project_id: str) -> list[SealedRecord]:
        return [one for one in self._vault.records_of_photo(photo_id) if one.subject.project_id == project_id]

    def _own_face_in(self, photo_id: str, ref: SubjectRef, published: Published, *, now: datetime) -> Locked | Reason:
        try:
            data = published(photo_id)
        except BlobMissingError:
            return Reason.NOT_PUBLISHED
        mine = [one for one in self._vault.records_of_subject(ref, photo_id) if one.face_index is not None]
        kept = [one for one in _belonging(photo_id, mine, data) if not _is_over(one, now)]
        self._refuse_unlogged(photo_id, kept)
        return Locked(photo_id, data, self._with_keys(kept), complete=False) if kept else Reason.EXPIRED

    def _refuse_unlogged(self, photo_id: str, records: Iterable[SealedRecord]) -> None:
        """What was sealed before the log kept digests is taken as it is."""
        logged = self._vault.logged_digests(photo_id)
        for record in records:
            if logged and not logged >= digests([record]).items():
                message = f"record {record.record_id} is not what the audit log says was sealed"
                raise RefusedError("not_logged", SealBrokenError(message))

    def _remainder(self, record: SealedRecord | None, *, now: datetime) -> tuple[tuple[SealedRecord, SubjectKey], ...]:
        """No face is in it: where it is gone, the faces come back without it."""
        try:
            return () if record is None or _is_over(record, now) else self._with_keys([record])
        except RefusedError:
            return ()

    def _with_keys(self, records: Iterable[SealedRecord]) -> tuple[tuple[SealedRecord, SubjectKey], ...]:
        return tuple((record, self._key(record)) for record in records)

    def _key(self, record: SealedRecord) -> SubjectKey:
        key = self._refuse_shredded(record.subject)
        if key is None:
            raise RefusedError("no_key", SealBrokenError(f"record {record.record_id} has no key"))
        return key

    def _refuse_shredded(self, ref: SubjectRef) -> SubjectKey | None:
        try:
            return self._keyring.get(ref)
        except KeyShreddedError as error:
            raise RefusedError("shredded", error) from None

    def _missing(self, photo_id: str, face_index: int) -> RefusedError:
        """What is said of a face without a record: gone, when it was sealed once by the log's word."""
        place = f"face {face_index} of photo {photo_id}"
        if self._vault.is_gone(photo_id, face_index):
            return RefusedError("gone", OriginalGoneError(f"the original of {place} was destroyed"))
        return RefusedError("no_record", RequestStateError(f"no original of {place} is kept"))


def _file(photo_id: str, published: Published) -> bytes:
    try:
        return published(photo_id)
    except BlobMissingError:
        message = f"photo {photo_id} has no anonymized image, so nothing can be put back into it"
        raise RefusedError("no_image", RequestStateError(message)) from None


def _belonging(photo_id: str, records: Sequence[SealedRecord], data: bytes) -> list[SealedRecord]:
    """Those that were made for this very file, of all that the photo ever had."""
    sha256 = hashlib.sha256(data).hexdigest()
    belonging = [record for record in records if record.anonymized_sha256 == sha256]
    if records and not belonging:
        message = f"the anonymized image of photo {photo_id} is not the one that its originals were sealed for"
        raise RefusedError("other_image", CustodyError(message))
    return belonging


def _is_over(record: SealedRecord, now: datetime) -> bool:
    return record.expires_at is not None and record.expires_at <= now
