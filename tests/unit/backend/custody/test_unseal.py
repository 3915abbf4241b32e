"""The master key opens subject keys, those open their own records, and nothing opens anything else."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from sealed_photos import NOW, PROJECT, SUBJECT, record, subject_key

from backend.custody import master, seal
from backend.custody.records import SubjectRef
from backend.custody.seal import KeyPair
from backend.custody.unseal import MasterKey
from backend.errors import KeyShreddedError, MasterKeyError, SealBrokenError


@pytest.fixture
def key(tmp_path: Path) -> MasterKey:
    master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub")
    return MasterKey(tmp_path / "master.key")


def pair_of(key: MasterKey) -> KeyPair:
    """The public half is all that sealing takes."""
    return KeyPair(key.public_key, b"")


def test_what_the_worker_sealed_is_unsealed(key: MasterKey) -> None:
    subject, _ = subject_key(pair_of(key))
    for face_index in (0, 3, None):
        assert key.unseal(record(subject, b"pixels", face_index=face_index), subject) == b"pixels"


def test_a_record_moved_to_another_face_photo_or_subject_does_not_open(key: MasterKey) -> None:
    subject, _ = subject_key(pair_of(key))
    good = record(subject, face_index=1)
    for moved in ({"face_index": 2}, {"face_index": None}, {"photo_id": "c" * 32}):
        with pytest.raises(SealBrokenError, match="something else"):
            key.unseal(dataclasses.replace(good, **moved), subject)  # type: ignore[arg-type]
    renamed = dataclasses.replace(subject, ref=SubjectRef(PROJECT, "somebody else"))
    with pytest.raises(SealBrokenError, match="something else"):
        key.unseal(good, renamed)
    other, _ = subject_key(pair_of(key), SubjectRef(PROJECT, "somebody else"))
    with pytest.raises(SealBrokenError, match="another key"):
        key.unseal(good, other)


def test_a_payload_exchanged_for_another_of_the_same_place_is_noticed(key: MasterKey) -> None:
    subject, _ = subject_key(pair_of(key))
    good, other = record(subject, b"pixels"), record(subject, b"other pixels")
    assert good.payload_sha256 == hashlib.sha256(b"pixels").hexdigest()
    with pytest.raises(SealBrokenError, match=good.record_id):
        key.unseal(dataclasses.replace(good, sealed=other.sealed), subject)


def test_a_private_key_under_a_foreign_public_key_is_noticed(key: MasterKey) -> None:
    subject, _ = subject_key(pair_of(key))
    swapped = dataclasses.replace(subject, public_key=seal.generate_key_pair().public_key)
    with pytest.raises(SealBrokenError, match="do not belong together"):
        key.subject_key(swapped)


def test_a_shredded_key_opens_nothing(key: MasterKey) -> None:
    subject, _ = subject_key(pair_of(key))
    good = record(subject)
    with pytest.raises(KeyShreddedError):
        key.unseal(good, dataclasses.replace(subject, sealed_private_key=b"", identity_seed=b"", shredded_at=NOW))
    with pytest.raises(SealBrokenError):
        key.unseal(good, dataclasses.replace(subject, sealed_private_key=b""))


def test_another_master_key_opens_nothing(key: MasterKey, tmp_path: Path) -> None:
    subject, _ = subject_key(seal.generate_key_pair())
    with pytest.raises(SealBrokenError, match="another key") as caught:
        key.unseal(record(subject), subject)
    assert SUBJECT.subject_id not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_the_public_file_can_be_written_again(key: MasterKey, tmp_path: Path) -> None:
    key.write_public(tmp_path / "again.pub")
    assert (tmp_path / "again.pub").read_bytes() == (tmp_path / "master.pub").read_bytes()
    with pytest.raises(MasterKeyError, match="cannot be written"):
        key.write_public(tmp_path / "master.pub" / "below.pub")


def test_the_master_key_is_not_shown(key: MasterKey, tmp_path: Path) -> None:
    assert not hasattr(key, "__dict__")
    assert (tmp_path / "master.key").read_text().split()[-1][:20] not in repr(key)
