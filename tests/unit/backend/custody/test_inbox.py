"""Originals are locked before they are stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sealed_photos import PROJECT

from backend.custody import inbox, inbox_opening, master
from backend.errors import CustodyError, MasterKeyError

DATA = b"\xff\xd8 a photograph"
SHA256 = hashlib.sha256(DATA).hexdigest()


def test_a_sealed_original_shows_nothing(tmp_path: Path) -> None:
    inbox_opening.create_inbox_key(tmp_path / "inbox.key", tmp_path / "inbox.pub")
    sealed = inbox.seal_original(
        inbox.read_public(tmp_path / "inbox.pub"), DATA, project_id=PROJECT, source_sha256=SHA256
    )
    assert DATA not in sealed
    assert SHA256.encode() not in sealed


def test_without_a_key_nothing_is_taken(tmp_path: Path) -> None:
    master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub")
    with pytest.raises(MasterKeyError, match="no inbox public key"):
        inbox.read_public(tmp_path / "master.pub")
    with pytest.raises(CustodyError, match="public key"):
        inbox.seal_original(b"", DATA, project_id=PROJECT, source_sha256=SHA256)
