"""Recovery: bit for bit from the right image, nothing at all from anything else."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2face_model import images, recovery
from g2face_model.errors import RecoveryError
from g2face_model.recovery import RecoveryPayload
from g2face_model.types import AnonymizedFace, Box, Image, Landmarks, Verdict

GOLDEN = Path(__file__).parents[2] / "golden" / "recovery_payload_v1.bin"
HEADER_BYTES = 104

NO_EXPRESSION = np.full(7, 1 / 7, np.float32)


def photo(height: int = 60, width: int = 80, *, seed: int = 0) -> Image:
    """Smooth colours with a little noise, as a camera would give."""
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([columns * 2 + rows, rows * 3, 200 - columns], axis=-1)
    return (smooth + np.random.default_rng(seed).integers(0, 6, smooth.shape)).astype(np.uint8)


def face(index: int, left: int, top: int, width: int, height: int) -> AnonymizedFace:
    """An oval face."""
    rows, columns = np.mgrid[:height, :width]
    oval = ((columns * 2 + 1) / width - 1) ** 2 + ((rows * 2 + 1) / height - 1) ** 2 <= 1
    points = Landmarks(np.zeros((68, 2), np.float32))
    box = Box(left, top, left + width, top + height, 1.0)
    return AnonymizedFace(index, box, points, NO_EXPRESSION, (left, top, width, height), oval, Verdict("covered"))


FACES = (face(0, 5, 4, 20, 28), face(1, 40, 10, 24, 31))


def covered(original: Image, faces: tuple[AnonymizedFace, ...] = FACES) -> Image:
    published = original.copy()
    for one in faces:
        left, top, width, height = one.rectangle
        published[top : top + height, left : left + width][one.mask] = (90, 91, 92)
    return published


def through_bytes(payloads: tuple[RecoveryPayload, ...]) -> list[RecoveryPayload]:
    return [RecoveryPayload.from_bytes(payload.to_bytes()) for payload in payloads]


def test_all_faces_give_the_original_bit_for_bit() -> None:
    original = photo()
    published = covered(original)
    payloads = recovery.protect(original, published, FACES)
    assert [payload.face_index for payload in payloads] == [0, 1]
    assert not np.array_equal(published, original)
    assert np.array_equal(recovery.restore(published, through_bytes(payloads)), original)


@pytest.mark.parametrize("index", [0, 1])
def test_one_face_comes_back_alone(index: int) -> None:
    original = photo()
    published = covered(original)
    payload = recovery.protect(original, published, FACES)[index]
    assert np.array_equal(recovery.restore(published, [payload]), covered(original, (FACES[1 - index],)))


def test_no_payload_restores_nothing() -> None:
    published = covered(photo())
    restored = recovery.restore(published, [])
    assert np.array_equal(restored, published)
    assert restored is not published


@pytest.mark.parametrize("format", images.FORMATS)
def test_from_the_saved_file(format: images.Format) -> None:
    original = photo()
    published = images.decode(images.encode(covered(original), format, quality=80))
    payloads = recovery.protect(original, published, FACES, lossy=format not in images.LOSSLESS_FORMATS)
    assert np.array_equal(recovery.restore(published, through_bytes(payloads)), original)


def test_the_remainder_holds_no_face() -> None:
    original = photo()
    published = images.decode(images.encode(covered(original), "jpeg", quality=60))
    first, second, remainder = recovery.protect(original, published, FACES, lossy=True)
    around = recovery.restore(published, [remainder])
    inside = covered(np.zeros_like(original)).any(axis=2)
    assert np.array_equal(around[inside], published[inside])
    assert np.array_equal(around[~inside], original[~inside])
    other = original.copy()
    other[inside] = 255 - other[inside]
    assert recovery.protect(other, published, FACES, lossy=True)[2] == remainder
    assert np.array_equal(recovery.restore(published, [remainder, second, first]), original)


def test_a_payload_holds_no_other_pixel_than_its_face() -> None:
    original = photo()
    other = original.copy()
    other[~covered(np.zeros_like(original), (FACES[1],)).any(axis=2)] = 7
    alone, beside = (recovery.protect(image, covered(image), FACES)[1] for image in (original, other))
    assert alone.pixels == beside.pixels
    assert alone.original_sha256 == beside.original_sha256


def test_a_mask_in_several_pieces_at_the_border() -> None:
    original = np.random.default_rng(5).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    pieces = np.zeros((9, 11), np.bool_)
    pieces[0, 0] = pieces[8, 10] = pieces[4, 3:6] = True
    one = dataclasses.replace(face(3, 0, 0, 11, 9), mask=pieces)
    published = covered(original, (one,))
    payloads = recovery.protect(original, published, (one,))
    assert np.array_equal(payloads[0].unpacked_mask(), pieces)
    assert np.array_equal(recovery.restore(published, through_bytes(payloads)), original)


def test_the_rectangle_shrinks_to_the_mask() -> None:
    mask = np.zeros((30, 30), np.bool_)
    mask[5:7, 9:12] = True
    one = dataclasses.replace(face(0, 10, 20, 30, 30), mask=mask)
    original = photo()
    assert recovery.protect(original, covered(original, (one,)), (one,))[0].rectangle == (19, 25, 3, 2)


def test_a_face_behind_another_has_nothing_to_give_back() -> None:
    original = photo()
    hidden = dataclasses.replace(face(1, 8, 8, 10, 12), mask=np.zeros((12, 10), np.bool_))
    published = covered(original, (FACES[0],))
    payloads = recovery.protect(original, published, (FACES[0], hidden))
    assert np.array_equal(recovery.restore(published, through_bytes(payloads)), original)
    assert np.array_equal(recovery.restore(published, through_bytes(payloads[1:])), published)
    behind_noise = recovery.protect(255 - original, 255 - published, (FACES[0], hidden))[1]
    assert behind_noise.pixels == payloads[1].pixels


def test_a_change_outside_the_faces_is_refused() -> None:
    original = photo()
    published = covered(original)
    published[0, 0, 0] ^= 1
    with pytest.raises(RecoveryError, match="outside the faces"):
        recovery.protect(original, published, FACES)


def test_images_of_different_size_are_refused() -> None:
    with pytest.raises(RecoveryError, match="differ in size"):
        recovery.protect(photo(), photo()[:, :-1], FACES)


@pytest.mark.parametrize(
    ("faces", "reason"),
    [
        ((FACES[0], face(1, 15, 10, 20, 20)), "face 1: the mask overlaps"),
        ((FACES[0], dataclasses.replace(FACES[1], index=0)), "numbered apart"),
        ((dataclasses.replace(FACES[0], index=-1),), "numbered apart"),
        ((dataclasses.replace(FACES[0], index=2**16),), "numbered apart"),
        ((face(0, -1, 0, 10, 10),), "inside the image"),
        ((face(0, 71, 0, 10, 10),), "inside the image"),
        ((face(0, 0, 51, 10, 10),), "inside the image"),
        ((dataclasses.replace(FACES[0], mask=np.ones((20, 28), np.bool_)),), "does not fit its rectangle"),
    ],
)
def test_faces_that_cannot_be_protected(faces: tuple[AnonymizedFace, ...], reason: str) -> None:
    original = photo()
    with pytest.raises(RecoveryError, match=reason):
        recovery.protect(original, original, faces)


def test_the_wrong_image_gives_nothing() -> None:
    original = photo()
    published = covered(original)
    payloads = recovery.protect(original, published, FACES)
    touched = published.copy()
    touched[-1, -1, 2] ^= 1
    for wrong in (touched, original, published[:, ::-1], published[:-1], published.reshape(80, 60, 3)):
        with pytest.raises(RecoveryError, match="another image"):
            recovery.restore(wrong, payloads)


def test_two_payloads_for_the_same_pixels_give_nothing() -> None:
    original = photo()
    published = covered(original)
    payload = recovery.protect(original, published, FACES)[0]
    with pytest.raises(RecoveryError, match="same pixel"):
        recovery.restore(published, [payload, payload])


def test_pixels_that_do_not_match_their_digest_give_nothing() -> None:
    original = photo()
    published = covered(original)
    first, second = recovery.protect(original, published, FACES)
    left, top, width, height = first.rectangle
    for forged in (
        dataclasses.replace(first, rectangle=(left + 1, top, width, height)),
        dataclasses.replace(first, pixels=recovery.protect(255 - original, published, FACES, lossy=True)[0].pixels),
        dataclasses.replace(first, original_sha256=second.original_sha256),
        dataclasses.replace(first, mask=bytes(len(first.mask))),
    ):
        with pytest.raises(RecoveryError, match="does not give the original"):
            recovery.restore(published, [forged])
    for forged in (
        dataclasses.replace(first, pixels=second.pixels),
        dataclasses.replace(first, pixels=first.pixels[:-1]),
        dataclasses.replace(first, pixels=first.pixels + b"\x00"),
        dataclasses.replace(first, pixels=b""),
    ):
        with pytest.raises(RecoveryError, match="damaged"):
            recovery.restore(published, [forged])


def test_every_changed_or_missing_byte_is_noticed() -> None:
    original = photo(20, 20)
    one = face(0, 3, 3, 9, 9)
    data = recovery.protect(original, covered(original, (one,)), (one,))[0].to_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x10
        with pytest.raises(RecoveryError):
            RecoveryPayload.from_bytes(bytes(changed))
        with pytest.raises(RecoveryError):
            RecoveryPayload.from_bytes(data[:position])
    with pytest.raises(RecoveryError):
        RecoveryPayload.from_bytes(data + b"\x00")


def signed(header: bytes, rest: bytes = b"") -> bytes:
    return header + rest + hashlib.sha256(header + rest).digest()


def header(size: tuple[int, int], rectangle: tuple[int, int, int, int], mask_bytes: int, pixel_bytes: int) -> bytes:
    lengths = struct.pack(">II", mask_bytes, pixel_bytes)
    return b"G2FR\x01\x00\x00\x00" + struct.pack(">6I", *size, *rectangle) + bytes(64) + lengths


def test_sizes_are_judged_before_memory_is_taken() -> None:
    """A forger can sign what he likes: huge claims must not become huge buffers."""
    huge, top = 2**32 - 1, (0, 0, 2**16, 2**16)
    tracemalloc.start()
    for claim in (
        signed(header((huge, huge), (0, 0, huge, huge), 0, 0)),
        signed(header((2**16, 2**16), top, 0, 0)),
        signed(header((2**14, 2**14), (0, 0, 2**14, 2**14), 8, 0), b"\x78\x9c\x03\x00\x00\x00\x00\x01"),
        header((1, 1), (0, 0, 1, 1), huge, huge) + bytes(32),
        signed(header((10, 10), (5, 5, 6, 1), 0, 0)),
        signed(header((10, 10), (0, 0, 0, 0), 0, 0)),
    ):
        with pytest.raises(RecoveryError):
            RecoveryPayload.from_bytes(claim)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.booleans())
def test_arbitrary_bytes_raise_nothing_else(data: bytes, begins_well: bool, signs: bool) -> None:
    data = b"G2FR\x01" * begins_well + data
    with pytest.raises(RecoveryError):
        RecoveryPayload.from_bytes(signed(data) if signs else data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_signed_nonsense_never_gives_pixels(data: st.DataObject) -> None:
    """Changes under a valid checksum get past the parser and must still end in RecoveryError or change nothing."""
    original = photo(20, 20)
    one = face(0, 3, 3, 9, 9)
    published = covered(original, (one,))
    body = bytearray(recovery.protect(original, published, (one,))[0].to_bytes()[:-32])
    anywhere = st.integers(0, HEADER_BYTES - 1) | st.integers(0, len(body) - 1)
    for position in data.draw(st.lists(anywhere, min_size=1, max_size=4)):
        body[position] = data.draw(st.integers(0, 20) | st.integers(0, 255))
    try:
        restored = recovery.restore(published, [RecoveryPayload.from_bytes(signed(bytes(body)))])
    except RecoveryError:
        return
    assert np.array_equal(restored, original)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.booleans())
def test_any_image_and_mask_come_back(height: int, width: int, seed: int, lossy: bool) -> None:
    random = np.random.default_rng(seed)
    original, published = random.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    mask = random.random((height, width)) < random.random()
    mask[random.integers(height), random.integers(width)] = True
    one = dataclasses.replace(face(7, 0, 0, width, height), mask=mask)
    if not lossy:
        published[~mask] = original[~mask]
    payloads = recovery.protect(original, published, (one,), lossy=lossy)
    assert np.array_equal(recovery.restore(published, through_bytes(payloads)), original)


def golden_image() -> Image:
    rows, columns = np.mgrid[:24, :32]
    return np.stack([columns * 7 + rows, rows * 9, columns ^ rows], axis=-1).astype(np.uint8)


def test_payloads_written_by_version_1_stay_readable() -> None:
    """Written once by `protect(golden_image(), covered(...), ...)[0].to_bytes()`; never to be written anew."""
    one = face(2, 6, 3, 14, 17)
    published = covered(golden_image(), (one,))
    golden = RecoveryPayload.from_bytes(GOLDEN.read_bytes())
    assert np.array_equal(recovery.restore(published, [golden]), golden_image())
    assert (golden.version, golden.face_index, golden.image_size, golden.rectangle) == (1, 2, (32, 24), (6, 3, 14, 17))
    fresh = recovery.protect(golden_image(), published, (one,))[0]
    # Another zlib may code the same pixels in other bytes; everything else is fixed.
    assert dataclasses.replace(fresh, pixels=golden.pixels) == golden
    assert fresh.to_bytes()[: HEADER_BYTES - 4] == GOLDEN.read_bytes()[: HEADER_BYTES - 4]


def test_a_payload_is_small() -> None:
    """A smooth oval face of 300x400 px (276 kB of pixels) with camera noise of +-2 levels."""
    original = photo(420, 320)
    one = face(0, 10, 10, 300, 400)
    payload = recovery.protect(original, covered(original, (one,)), (one,))[0]
    assert len(payload.to_bytes()) < 180_000


def test_importing_recovery_loads_neither_torch_nor_a_picture_library() -> None:
    code = "import sys, g2face_model.recovery; print({'torch', 'PIL', 'cv2', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
