"""The worker's key opens originals as what they were handed in as, and nothing else."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from sealed_photos import PROJECT, record, subject_key

from backend.custody import inbox, seal
from backend.custody.inbox_opening import InboxKey, create_inbox_key
from backend.errors import MasterKeyError, SealBrokenError

DATA = b"\xff\xd8 a photograph"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def public_key(tmp_path: Path) -> bytes:
    return create_inbox_key(tmp_path / "inbox.key", tmp_path / "inbox.pub")


def sealed_original(public_key: bytes) -> bytes:
    return inbox.seal_original(public_key, DATA, project_id=PROJECT, source_sha256=SHA256)


def test_an_original_is_opened_as_it_was_handed_in(public_key: bytes, tmp_path: Path) -> None:
    key = InboxKey(tmp_path / "inbox.key")
    assert key.open(sealed_original(public_key), project_id=PROJECT, source_sha256=SHA256) == DATA


def test_an_original_of_another_project_or_digest_does_not_open(public_key: bytes, tmp_path: Path) -> None:
    key, sealed = InboxKey(tmp_path / "inbox.key"), sealed_original(public_key)
    with pytest.raises(SealBrokenError, match="something else"):
        key.open(sealed, project_id="c" * 32, source_sha256=SHA256)
    with pytest.raises(SealBrokenError, match="something else"):
        key.open(sealed, project_id=PROJECT, source_sha256="0" * 64)


def test_a_digest_that_was_a_lie_from_the_start_is_noticed(public_key: bytes, tmp_path: Path) -> None:
    sealed = inbox.seal_original(public_key, DATA, project_id=PROJECT, source_sha256="0" * 64)
    with pytest.raises(SealBrokenError, match="not the file"):
        InboxKey(tmp_path / "inbox.key").open(sealed, project_id=PROJECT, source_sha256="0" * 64)


def test_the_inbox_key_opens_no_recovery_record(public_key: bytes, tmp_path: Path) -> None:
    """A worker may lock, not open: with its own key a subject's record is noise."""
    subject, _ = subject_key(seal.generate_key_pair())
    key = InboxKey(tmp_path / "inbox.key")
    for sealed in (record(subject).sealed, subject.sealed_private_key):
        with pytest.raises(SealBrokenError, match="another key"):
            key.open(sealed, project_id=PROJECT, source_sha256=SHA256)
    assert public_key != subject.public_key


def test_making_the_key_again_keeps_it_and_mends_the_public_file(public_key: bytes, tmp_path: Path) -> None:
    before = (tmp_path / "inbox.key").read_bytes()
    (tmp_path / "inbox.pub").unlink()
    assert create_inbox_key(tmp_path / "inbox.key", tmp_path / "inbox.pub") == public_key
    assert inbox.read_public(tmp_path / "inbox.pub") == public_key
    assert (tmp_path / "inbox.key").read_bytes() == before
    assert stat.S_IMODE((tmp_path / "inbox.key").stat().st_mode) == 0o600


def test_a_key_that_others_can_read_is_refused(public_key: bytes, tmp_path: Path) -> None:
    (tmp_path / "inbox.key").chmod(0o640)
    with pytest.raises(MasterKeyError, match="mode 0600"):
        InboxKey(tmp_path / "inbox.key")
    with pytest.raises(MasterKeyError, match="mode 0600"):
        create_inbox_key(tmp_path / "inbox.key", tmp_path / "inbox.pub")
    assert inbox.read_public(tmp_path / "inbox.pub") == public_key


def test_a_public_file_that_cannot_be_written(public_key: bytes, tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="cannot be written") as caught:
        create_inbox_key(tmp_path / "inbox.key", tmp_path / "inbox.pub" / "below.pub")
    assert str(tmp_path) not in str(caught.value)
    assert inbox.read_public(tmp_path / "inbox.pub") == public_key
