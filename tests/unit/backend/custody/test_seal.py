"""Sealed values open as what they were sealed as, with the right key, unchanged, and in no other way; for ever."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealed_photos import ANONYMIZED, NOW, PHOTO, PROJECT, SUBJECT, subject_key

from backend.custody import seal
from backend.custody.opening import PrivateKey
from backend.custody.records import SubjectRef
from backend.custody.seal import KeyPair
from backend.errors import CustodyError, SealBrokenError

GOLDEN = Path(__file__).parents[3] / "golden" / "sealed_v1.bin"
GOLDEN_PRIVATE_KEY = bytes(range(96))
GOLDEN_CONTEXT = seal.record_context(SubjectRef("0123456789abcdef" * 2, "Ada Example"), "fedcba9876543210" * 2, 3)
GOLDEN_PLAINTEXT = b"an original's pixels, sealed once and for ever"

PAIR = seal.generate_key_pair()
OPENER = PrivateKey(PAIR.private_key)
SEALED = seal.seal(PAIR.public_key, b"secret", context=b"context")

hex32 = st.text("0123456789abcdef", min_size=32, max_size=32)
subjects = st.builds(SubjectRef, hex32, st.text(min_size=1, max_size=20).filter(str.isprintable))
faces = st.one_of(st.none(), st.integers(0, 300))


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=5000), st.binary(max_size=300))
def test_what_was_sealed_opens(plaintext: bytes, context: bytes) -> None:
    sealed = seal.seal(PAIR.public_key, plaintext, context=context)
    assert OPENER.open(sealed, context=context) == plaintext
    assert len(sealed) == len(plaintext) + 1155


def test_sealing_twice_gives_different_bytes_and_shows_nothing() -> None:
    plaintext = b"recognisable" * 10
    one, two = (seal.seal(PAIR.public_key, plaintext, context=b"") for _ in range(2))
    assert one[: seal.HEADER_BYTES] == two[: seal.HEADER_BYTES]
    assert one[seal.HEADER_BYTES :][:32] != two[seal.HEADER_BYTES :][:32]
    assert b"recognisable" not in one


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_changed_byte_opens(position: int, change: int) -> None:
    changed = bytearray(SEALED)
    changed[position] ^= change
    with pytest.raises(SealBrokenError):
        OPENER.open(bytes(changed), context=b"context")


@pytest.mark.parametrize("position", range(seal.HEADER_BYTES))
def test_no_changed_header_opens(position: int) -> None:
    changed = bytearray(SEALED)
    changed[position] ^= 1
    with pytest.raises(SealBrokenError, match=r"version|another key"):
        OPENER.open(bytes(changed), context=b"context")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.binary(min_size=1, max_size=20))
def test_nothing_shorter_or_longer_opens(length: int, tail: bytes) -> None:
    for wrong in (SEALED[:length], SEALED + tail, tail + SEALED):
        with pytest.raises(SealBrokenError):
            OPENER.open(wrong, context=b"context")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000), st.booleans())
def test_arbitrary_bytes_raise_nothing_else(data: bytes, begins_well: bool) -> None:
    with pytest.raises(SealBrokenError):
        OPENER.open(SEALED[: seal.HEADER_BYTES] * begins_well + data, context=b"context")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100).filter(lambda other: other != b"context"))
def test_no_other_context_opens(context: bytes) -> None:
    with pytest.raises(SealBrokenError, match="something else"):
        OPENER.open(SEALED, context=context)


def test_no_other_key_opens_even_when_the_header_is_forged() -> None:
    other = seal.generate_key_pair()
    with pytest.raises(SealBrokenError, match="another key"):
        PrivateKey(other.private_key).open(SEALED, context=b"context")
    forged = seal.header(other.public_key) + SEALED[seal.HEADER_BYTES :]
    with pytest.raises(SealBrokenError, match="changed"):
        PrivateKey(other.private_key).open(forged, context=b"context")


def test_the_header_is_authenticated() -> None:
    """HPKE's output moved under a header that the key holder would accept, had the header not been sealed along."""
    bare = seal.SUITE.encrypt(b"secret", _public(PAIR), b"context")
    with pytest.raises(SealBrokenError, match="changed"):
        OPENER.open(seal.header(PAIR.public_key) + bare, context=b"context")


@pytest.mark.parametrize("public_key", [b"", bytes(1215), bytes(1216), PAIR.public_key + b"\x00", b"\xff" * 1216])
def test_what_is_no_public_key_seals_nothing(public_key: bytes) -> None:
    with pytest.raises(CustodyError, match="public key"):
        seal.seal(public_key, b"secret", context=b"")


@pytest.mark.parametrize("private_key", [b"", bytes(95), bytes(97)])
def test_what_is_no_private_key_is_refused(private_key: bytes) -> None:
    with pytest.raises(SealBrokenError, match="96 bytes"):
        PrivateKey(private_key)


def test_a_private_key_knows_its_public_half_and_is_not_shown() -> None:
    assert OPENER.public_key == PAIR.public_key
    assert len(PAIR.public_key) == seal.PUBLIC_KEY_BYTES
    assert PAIR.private_key.hex()[:16] not in repr(PAIR) + repr(OPENER)
    assert repr(PAIR.private_key)[2:20] not in repr(PAIR) + repr(OPENER)


def test_key_pairs_are_new_each_time() -> None:
    assert len({seal.generate_key_pair().private_key for _ in range(5)}) == 5
    assert len({seal.key_id(seal.generate_key_pair().public_key) for _ in range(5)}) == 5


@settings(max_examples=300, deadline=None)
@given(subjects, hex32, faces, subjects, hex32, faces)
def test_record_contexts_differ_unless_everything_is_the_same(
    one: SubjectRef, photo: str, face: int | None, other: SubjectRef, other_photo: str, other_face: int | None
) -> None:
    same = (one, photo, face) == (other, other_photo, other_face)
    contexts = seal.record_context(one, photo, face), seal.record_context(other, other_photo, other_face)
    assert (contexts[0] == contexts[1]) == same


@settings(max_examples=300, deadline=None)
@given(subjects, hex32, faces, st.integers(0, 3), st.data())
def test_changing_one_part_changes_the_context(
    subject: SubjectRef, photo: str, face: int | None, part: int, data: st.DataObject
) -> None:
    parts: list[object] = [subject.project_id, subject.subject_id, photo, face]
    strategy = (hex32, st.text(min_size=1, max_size=20).filter(str.isprintable), hex32, faces)[part]
    parts[part] = data.draw(strategy.filter(lambda value: value != parts[part]))
    changed = SubjectRef(str(parts[0]), str(parts[1])), str(parts[2]), parts[3]
    assert seal.record_context(*changed) != seal.record_context(subject, photo, face)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(subjects, hex32, faces, st.text(max_size=64))
def test_contexts_of_different_kinds_differ(subject: SubjectRef, photo: str, face: int | None, text: str) -> None:
    kinds = {
        seal.record_context(subject, photo, face),
        seal.subject_key_context(subject),
        seal.inbox_context(subject.project_id, text),
    }
    assert len(kinds) == 3


def test_a_context_is_written_out_as_documented() -> None:
    parts = (b"g2face v1", b"record", PROJECT.encode(), SUBJECT.subject_id.encode(), PHOTO.encode(), b"7")
    expected = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    assert seal.record_context(SUBJECT, PHOTO, 7) == expected


def test_a_record_holds_the_payload_for_its_subject() -> None:
    key, pair = subject_key(PAIR)
    made = seal.seal_record(
        *(key, b"pixels"),
        record_id="1" * 32,
        photo_id=PHOTO,
        face_index=None,
        anonymized_sha256=ANONYMIZED,
        model_version="g2face-1",
        now=NOW,
        expires_at=None,
    )
    assert (
        PrivateKey(pair.private_key).open(made.sealed, context=seal.record_context(SUBJECT, PHOTO, None)) == b"pixels"
    )
    assert made.payload_sha256 == hashlib.sha256(b"pixels").hexdigest()
    assert (made.subject, made.photo_id, made.face_index, made.created_at) == (SUBJECT, PHOTO, None, NOW)


def test_the_golden_file_still_opens() -> None:
    """Written once by `seal(public half of GOLDEN_PRIVATE_KEY, ...)`; never to be written anew."""
    key, sealed = PrivateKey(GOLDEN_PRIVATE_KEY), GOLDEN.read_bytes()
    assert key.open(sealed, context=GOLDEN_CONTEXT) == GOLDEN_PLAINTEXT
    assert sealed[:11].hex() == "47324653" + "01" + "647a" + "0001" + "0002"
    assert sealed[:19] == seal.header(key.public_key)
    with pytest.raises(SealBrokenError):
        key.open(sealed, context=seal.record_context(SubjectRef("0" * 32, "Ada Example"), "fedcba9876543210" * 2, 3))


def _public(pair: KeyPair) -> seal.MLKEM768X25519PublicKey:
    mlkem = seal.MLKEM768PublicKey.from_public_bytes(pair.public_key[:1184])
    return seal.MLKEM768X25519PublicKey(mlkem, seal.X25519PublicKey.from_public_bytes(pair.public_key[1184:]))
