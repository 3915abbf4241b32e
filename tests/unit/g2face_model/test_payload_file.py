"""Keys and sealed payload files: the right key and image open, everything else says why not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2face_model import payload_file, recovery
from g2face_model.errors import RecoveryError
from g2face_model.payload_file import Key
from g2face_model.recovery import RecoveryPayload
from g2face_model.types import AnonymizedFace, Box, Image, Landmarks, Verdict

SECRET = bytes(range(32))
HEADER_BYTES = 57

NO_EXPRESSION = np.full(7, 1 / 7, np.float32)


def example() -> tuple[Image, Image, tuple[RecoveryPayload, ...]]:
    """An original, its anonymized image and the payloads of its two faces."""
    original = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    published, faces = original.copy(), []
    for index, left in enumerate((2, 16)):
        published[4:14, left : left + 8] = 0
        box, points = Box(left, 4, left + 8, 14, 1.0), Landmarks(np.zeros((68, 2), np.float32))
        mask = np.ones((10, 8), np.bool_)
        faces.append(AnonymizedFace(index, box, points, NO_EXPRESSION, (left, 4, 8, 10), mask, Verdict("covered")))
    return original, published, recovery.protect(original, published, faces)


def test_what_was_sealed_is_unsealed() -> None:
    original, published, payloads = example()
    sealed = Key(SECRET).seal(payloads)
    assert Key(SECRET).unseal(sealed, published) == payloads
    assert np.array_equal(recovery.restore(published, Key(SECRET).unseal(sealed, published)), original)


def test_sealing_twice_gives_different_files() -> None:
    payloads = example()[2]
    assert Key(SECRET).seal(payloads)[HEADER_BYTES:] != Key(SECRET).seal(payloads)[HEADER_BYTES:]


def test_a_sealed_file_shows_no_payload_byte() -> None:
    payloads = example()[2]
    sealed = Key(SECRET).seal(payloads)
    for payload in payloads:
        assert payload.pixels[:16] not in sealed
        assert payload.original_sha256 not in sealed


def test_another_key_opens_nothing() -> None:
    _, published, payloads = example()
    for secret in (bytes(32), bytes(range(1, 33)), SECRET[:31] + b"\x00"):
        with pytest.raises(RecoveryError, match="another key"):
            Key(secret).unseal(Key(SECRET).seal(payloads), published)


def test_a_key_with_a_forged_name_opens_nothing() -> None:
    _, published, payloads = example()
    sealed, other = Key(SECRET).seal(payloads), Key(bytes(32))
    renamed = sealed[:5] + other.seal(payloads)[5:13] + sealed[13:]
    with pytest.raises(RecoveryError, match="changed"):
        other.unseal(renamed, published)


def test_another_image_opens_nothing() -> None:
    _, published, payloads = example()
    sealed = Key(SECRET).seal(payloads)
    other = published.copy()
    other[0, 0, 0] ^= 1
    with pytest.raises(RecoveryError, match="another image"):
        Key(SECRET).unseal(sealed, other)
    relabelled = sealed[:13] + recovery.image_sha256(other) + sealed[45:]
    with pytest.raises(RecoveryError, match="changed"):
        Key(SECRET).unseal(relabelled, other)


def test_every_changed_or_missing_byte_is_noticed() -> None:
    _, published, payloads = example()
    sealed = Key(SECRET).seal(payloads)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(RecoveryError):
            Key(SECRET).unseal(bytes(changed), published)
        with pytest.raises(RecoveryError):
            Key(SECRET).unseal(sealed[:position], published)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_raise_nothing_else(data: bytes, begins_well: bool) -> None:
    _, published, payloads = example()
    start = Key(SECRET).seal(payloads)[:HEADER_BYTES] if begins_well else b""
    with pytest.raises(RecoveryError):
        Key(SECRET).unseal(start + data, published)


def test_a_file_holds_the_payloads_of_one_image() -> None:
    _, published, payloads = example()
    other = recovery.protect(published[:10], published[:10], (), lossy=True)
    for wrong in ((), payloads + other):
        with pytest.raises(RecoveryError, match="one image"):
            Key(SECRET).seal(wrong)


def rfc5869(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 with an empty salt, written from the RFC for one block of output."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")[:length]


def test_seeds_follow_the_documented_derivation() -> None:
    digest = hashlib.sha256(b"photo").digest()
    expected = hmac.digest(rfc5869(SECRET, b"g2face seeds v1", 32), digest + struct.pack(">I", 3), "sha256")
    assert Key(SECRET).seed(digest, 3) == expected


def test_seeds_differ_by_key_photo_and_face() -> None:
    seeds = {
        Key(secret).seed(hashlib.sha256(photo).digest(), face)
        for secret in (SECRET, bytes(32))
        for photo in (b"one", b"two")
        for face in (0, 1, 256)
    }
    assert len(seeds) == 12
    assert {len(seed) for seed in seeds} == {32}


def test_random_seeds_and_keys_are_new_each_time() -> None:
    assert len({payload_file.new_seed() for _ in range(50)}) == 50
    assert len({payload_file.new_key().seed(bytes(32), 0) for _ in range(50)}) == 50


def test_a_key_shows_nothing_of_itself() -> None:
    key = Key(SECRET)
    assert not hasattr(key, "__dict__")
    for shown in (repr(key), str(key)):
        assert SECRET.hex() not in shown
        assert base64.b64encode(SECRET).decode() not in shown


def test_a_key_file_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        made = payload_file.create_key_file(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(base64.b64decode(path.read_bytes())) == 32
    assert payload_file.read_key_file(path).seed(bytes(32), 0) == made.seed(bytes(32), 0)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    payload_file.create_key_file(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(RecoveryError, match="File exists"):
        payload_file.create_key_file(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


@pytest.mark.parametrize("content", [SECRET, base64.b64encode(SECRET), base64.b64encode(SECRET) + b"\r\n"])
def test_raw_and_base64_key_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o400)
    assert payload_file.read_key_file(path).seed(bytes(32), 0) == Key(SECRET).seed(bytes(32), 0)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_key_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_bytes(SECRET)
    path.chmod(mode)
    with pytest.raises(RecoveryError, match="mode 0600"):
        payload_file.read_key_file(path)


@pytest.mark.parametrize("content", [b"", b"short", bytes(33), base64.b64encode(bytes(31)), b"\xff" * 44, b"a" * 5000])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(RecoveryError, match="neither 32 bytes"):
        payload_file.read_key_file(path)


def test_a_key_file_that_is_not_there_or_has_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RecoveryError, match="cannot be read: No such file") as caught:
        payload_file.read_key_file(tmp_path / "none")
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(RecoveryError, match="cannot be read: Is a directory"):
        payload_file.read_key_file(tmp_path)
    with pytest.raises(RecoveryError, match="cannot be made: No such file"):
        payload_file.create_key_file(tmp_path / "none" / "key")


def test_the_payload_format_carries_many_faces() -> None:
    original = secrets.token_bytes(3 * 100 * 4)
    image = np.frombuffer(original, np.uint8).reshape(4, 100, 3)
    points, column, covered = Landmarks(np.zeros((68, 2), np.float32)), np.ones((4, 1), np.bool_), Verdict("covered")
    faces = [
        AnonymizedFace(i, Box(i, 0, i + 1, 4, 1.0), points, NO_EXPRESSION, (i, 0, 1, 4), column, covered)
        for i in range(100)
    ]
    payloads = recovery.protect(image, np.zeros_like(image), faces)
    sealed = Key(SECRET).seal(payloads)
    assert Key(SECRET).unseal(sealed, np.zeros_like(image)) == payloads
