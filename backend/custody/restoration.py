"""From an anonymized file and its opened payloads to the pictures that a person is shown. No keys and no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.custody import forensic_mark
from backend.custody.lifecycle import RefusedError
from backend.errors import CustodyError, SealBrokenError
from g2face_model import images, recovery
from g2face_model.errors import RecoveryError, UnreadableImageError
from g2face_model.recovery import RecoveryPayload
from g2face_model.types import Image

_MARGIN = 4  # of a face's longer side, one part in so many is shown around it

Opened = tuple[int | None, bytes]
"""A record's face, None for the remainder, and the payload that was sealed in it."""


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """One face and a little around it, as PNG files of the same place: as it was published, and as it was."""

    face_index: int
    anonymized: bytes = field(repr=False)
    original: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RetrievedPhoto:
    """A whole photo as a PNG file, with the asked faces as they were and all others still anonymized.

    complete: nothing is missing, so that (without a forensic mark) it is the decoded original, bit for bit.
    """

    photo_id: str
    png: bytes = field(repr=False)
    crops: tuple[FaceCrop, ...]
    complete: bool


def restore(
    photo_id: str, published: bytes, opened: Sequence[Opened], *, complete: bool, mark: str | None
) -> RetrievedPhoto:
    """The photo of the anonymized file `published` with what `opened` gives back, marked with `mark` if there is one.

    Raises `RefusedError`, and gives no pixel out, when anything does not belong together.
    """
    try:
        anonymized = images.decode(published)
        payloads = [_payload(face_index, plaintext) for face_index, plaintext in opened]
        restored = recovery.restore(anonymized, payloads)
    except UnreadableImageError:
        raise RefusedError("image_broken", CustodyError(f"photo {photo_id}: the anonymized file is damaged")) from None
    except RecoveryError as error:
        raise RefusedError("payload_broken", SealBrokenError(f"photo {photo_id}: {error}")) from None
    if mark is not None:
        restored = forensic_mark.embed(restored, _restored_pixels(payloads, anonymized), mark)
    faces = [(payload.face_index, payload) for payload in payloads]
    crops = tuple(_crop(index, one, anonymized, restored) for index, one in faces if index is not None)
    return RetrievedPhoto(photo_id, images.encode(restored, "png"), crops, complete)


def _payload(face_index: int | None, plaintext: bytes) -> RecoveryPayload:
    payload = RecoveryPayload.from_bytes(plaintext)
    if payload.face_index != face_index:
        raise RecoveryError("the recovery payload is another face's")
    return payload


def _restored_pixels(payloads: Sequence[RecoveryPayload], image: Image) -> NDArray[np.bool_]:
    """The pixels under the payloads' masks, (H, W) bool."""
    under = np.zeros(image.shape[:2], np.bool_)
    for payload in payloads:
        left, top, width, height = payload.rectangle
        under[top : top + height, left : left + width] |= payload.unpacked_mask()
    return under


def _crop(face_index: int, payload: RecoveryPayload, anonymized: Image, restored: Image) -> FaceCrop:
    left, top, width, height = payload.rectangle
    margin = max(width, height) // _MARGIN
    rows = slice(max(0, top - margin), top + height + margin)
    columns = slice(max(0, left - margin), left + width + margin)
    before, after = (images.encode(image[rows, columns], "png") for image in (anonymized, restored))
    return FaceCrop(face_index, before, after)
