"""Payloads give a photo's faces back, or nothing at all."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recovery_site import covered, face, picture, within

from backend.custody import forensic_mark, restoration
from backend.custody.lifecycle import RefusedError
from backend.custody.restoration import Opened, RetrievedPhoto
from backend.errors import CustodyError, SealBrokenError
from g2face_model import images, recovery

PHOTO = "b" * 32
ORIGINAL, FACES = picture(), (face(0), face(1))
FILE = images.encode(covered(ORIGINAL, FACES), "png")
PAYLOADS = recovery.protect(ORIGINAL, images.decode(FILE), FACES)
BOTH: list[Opened] = [(one.face_index, one.to_bytes()) for one in PAYLOADS]


def restore(opened: list[Opened], *, published: bytes = FILE, mark: str | None = None) -> RetrievedPhoto:
    return restoration.restore(PHOTO, published, opened, complete=len(opened) == 2, mark=mark)


def test_what_was_sealed_comes_back() -> None:
    photo = restore(BOTH)
    assert np.array_equal(images.decode(photo.png), ORIGINAL)
    assert (photo.photo_id, photo.complete, [crop.face_index for crop in photo.crops]) == (PHOTO, True, [0, 1])


def test_the_crops_of_a_face_that_nobody_asked_for_are_not_there() -> None:
    photo = restore(BOTH[1:])
    assert [crop.face_index for crop in photo.crops] == [1]
    assert not photo.complete
    published, shown = images.decode(FILE), images.decode(photo.png)
    assert np.array_equal(shown[within(FACES[0])], published[within(FACES[0])])


def test_a_face_at_the_border_is_shown_as_far_as_there_is_a_picture() -> None:
    corner = dataclasses.replace(face(0), rectangle=(0, 0, 40, 56))
    file = images.encode(covered(ORIGINAL, (corner,)), "png")
    (payload,) = recovery.protect(ORIGINAL, images.decode(file), (corner,))
    photo = restoration.restore(PHOTO, file, [(0, payload.to_bytes())], complete=True, mark=None)
    assert images.decode(photo.crops[0].original).shape == (56 + 14, 40 + 14, 3)


def test_a_remainder_is_restored_and_is_no_face() -> None:
    file = images.encode(covered(ORIGINAL, FACES), "jpeg", quality=70)
    payloads = recovery.protect(ORIGINAL, images.decode(file), FACES, lossy=True)
    photo = restore([(one.face_index, one.to_bytes()) for one in payloads], published=file)
    assert np.array_equal(images.decode(photo.png), ORIGINAL)
    assert len(photo.crops) == 2


def test_a_mark_is_in_the_crop_as_in_the_photo() -> None:
    photo = restore(BOTH[:1], mark="e" * 32)
    where = np.zeros(ORIGINAL.shape[:2], np.bool_)
    where[within(FACES[0])] = FACES[0].mask
    exact = images.decode(restore(BOTH[:1]).png)
    assert np.array_equal(images.decode(photo.png), forensic_mark.embed(exact, where, "e" * 32))
    assert not np.array_equal(
        images.decode(photo.crops[0].original), images.decode(restore(BOTH[:1]).crops[0].original)
    )


@pytest.mark.parametrize(
    ("opened", "published", "code", "told"),
    [
        ([(1, BOTH[0][1])], FILE, "payload_broken", SealBrokenError),  # another face's
        ([(None, BOTH[0][1])], FILE, "payload_broken", SealBrokenError),
        ([(0, BOTH[0][1][:-1])], FILE, "payload_broken", SealBrokenError),
        ([(0, b"")], FILE, "payload_broken", SealBrokenError),
        ([BOTH[0], BOTH[0]], FILE, "payload_broken", SealBrokenError),
        (BOTH, images.encode(ORIGINAL, "png"), "payload_broken", SealBrokenError),  # another image's
        (BOTH, FILE[:100], "image_broken", CustodyError),
        (BOTH, b"no picture", "image_broken", CustodyError),
    ],
)
def test_what_does_not_belong_together_gives_nothing(
    opened: list[Opened], published: bytes, code: str, told: type[CustodyError]
) -> None:
    with pytest.raises(RefusedError) as caught:
        restore(opened, published=published)
    assert (caught.value.code, type(caught.value.told)) == (code, told)
    assert PHOTO in str(caught.value.told)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_somebody_sealed_is_refused_or_the_original(data: st.DataObject) -> None:
    """Whoever has a subject's public key can seal what they like to it: it is read like anything from outside."""
    body = bytearray(BOTH[0][1][:-32])
    for position in data.draw(st.lists(st.integers(0, 140) | st.integers(0, len(body) - 1), min_size=1, max_size=4)):
        body[position] = data.draw(st.integers(0, 3) | st.integers(0, 255))
    forged = bytes(body) + hashlib.sha256(bytes(body)).digest()
    try:
        photo = restore([(0, forged)])
    except RefusedError:
        return
    assert photo.png == restore(BOTH[:1]).png


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_refused(plaintext: bytes, signed: bool) -> None:
    whole = plaintext + hashlib.sha256(plaintext).digest() if signed else plaintext
    with pytest.raises(RefusedError, match="payload_broken"):
        restore([(0, whole)])
