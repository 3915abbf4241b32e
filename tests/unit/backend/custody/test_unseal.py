"""The master key opens subject keys, those open their own records, and nothing opens anything else."""

from __future__ import annotations

import dataclasses
import hashlib
import stat
from pathlib import Path

import pytest
from sealed_photos import NOW, PROJECT, SUBJECT, record, subject_key

from backend.custody import key_files, master, seal, unseal
from backend.custody.providers import shares
from backend.custody.providers.shares import SharesProvider
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


def test_older_keys_open_what_is_still_sealed_to_them(tmp_path: Path) -> None:
    subject, _ = subject_key(pair_of(made_key(tmp_path)))
    sealed = record(subject)
    exchange_key(tmp_path)
    key = MasterKey(tmp_path / "master.key", retired_dir=tmp_path / "retired")
    assert key.retired == (MasterKey(tmp_path / "retired" / "old.key").public_key,)
    assert key.unseal(sealed, subject) == b"pixels"
    newer, _ = subject_key(pair_of(key))
    assert key.unseal(record(newer), newer) == b"pixels"
    with pytest.raises(SealBrokenError, match="another key"):
        MasterKey(tmp_path / "master.key").unseal(sealed, subject)


def test_a_key_that_was_changed_meanwhile_is_read_anew(tmp_path: Path) -> None:
    key = MasterKey(made_key(tmp_path)._path, retired_dir=tmp_path / "retired")
    older, _ = subject_key(pair_of(key))
    exchange_key(tmp_path)
    newer, _ = subject_key(pair_of(MasterKey(tmp_path / "master.key")))
    assert key.unseal(record(newer), newer) == b"pixels"
    assert key.public_key == MasterKey(tmp_path / "master.key").public_key
    assert key.unseal(record(older), older) == b"pixels"


def test_a_key_that_is_gone_meanwhile_still_opens_what_it_could(tmp_path: Path) -> None:
    key = made_key(tmp_path)
    subject, _ = subject_key(pair_of(key))
    (tmp_path / "master.key").unlink()
    assert key.unseal(record(subject), subject) == b"pixels"
    foreign, _ = subject_key(seal.generate_key_pair())
    with pytest.raises(MasterKeyError, match="cannot be read"):
        key.unseal(record(foreign), foreign)


def test_the_current_key_among_the_older_ones_counts_once(tmp_path: Path) -> None:
    """As after a crash between keeping the old key and replacing it."""
    key_files.replace_private(tmp_path / "retired" / "x.key", made_key(tmp_path)._path.read_bytes())
    assert MasterKey(tmp_path / "master.key", retired_dir=tmp_path / "retired").retired == ()


def test_a_subject_s_key_is_sealed_anew_to_the_current_key_alone(tmp_path: Path) -> None:
    subject, _ = subject_key(pair_of(made_key(tmp_path)))
    exchange_key(tmp_path)
    key = MasterKey(tmp_path / "master.key", retired_dir=tmp_path / "retired")
    moved = dataclasses.replace(subject, sealed_private_key=key.reseal(subject))
    assert MasterKey(tmp_path / "master.key").unseal(record(subject), moved) == b"pixels"
    with pytest.raises(SealBrokenError, match="another key"):
        MasterKey(tmp_path / "retired" / "old.key").subject_key(moved)
    damaged = dataclasses.replace(subject, sealed_private_key=subject.sealed_private_key[:-1])
    with pytest.raises(SealBrokenError):
        key.reseal(damaged)
    with pytest.raises(KeyShreddedError):
        key.reseal(dataclasses.replace(subject, shredded_at=NOW))


def test_whoever_keeps_the_file_can_be_changed(tmp_path: Path) -> None:
    key = made_key(tmp_path)
    split = shares.split(threshold=2, shares=2)
    words = iter(split)
    unseal.rewrap(key._path, old=key_files.PLAIN, new=SharesProvider(lambda *_: next(words)))
    assert stat.S_IMODE(key._path.stat().st_mode) == 0o600
    with pytest.raises(MasterKeyError, match="kept by 'shares'"):
        MasterKey(key._path)
    again = iter(split)
    unseal.rewrap(key._path, old=SharesProvider(lambda *_: next(again)), new=key_files.PLAIN)
    assert MasterKey(key._path).public_key == key.public_key


class Forgetful:
    """Wraps keys and gives others back."""

    name = "forgetful"

    def wrap(self, private_key: bytes) -> bytes:
        return private_key

    def unwrap(self, wrapped: bytes) -> bytes:
        return bytes(len(wrapped))


def test_nothing_is_replaced_until_the_key_came_back(tmp_path: Path) -> None:
    path = made_key(tmp_path)._path
    before = path.read_bytes()
    with pytest.raises(MasterKeyError, match="nothing was changed"):
        unseal.rewrap(path, old=key_files.PLAIN, new=Forgetful())
    with pytest.raises(MasterKeyError, match="kept by 'file'"):
        unseal.rewrap(path, old=Forgetful(), new=key_files.PLAIN)
    with key_files.alone(path), pytest.raises(MasterKeyError, match="somebody else"):
        unseal.rewrap(path, old=key_files.PLAIN, new=key_files.PLAIN)
    assert path.read_bytes() == before


def made_key(folder: Path) -> MasterKey:
    master.create_master_key(folder / "master.key", folder / "master.pub")
    return MasterKey(folder / "master.key")


def exchange_key(folder: Path) -> None:
    """Another master key; the one before is among the older ones."""
    (folder / "retired").mkdir()
    (folder / "master.key").rename(folder / "retired" / "old.key")
    (folder / "master.pub").unlink()
    made_key(folder)
