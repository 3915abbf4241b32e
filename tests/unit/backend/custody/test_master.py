"""The master key's public side locks what only the private side opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.custody import inbox_opening, master, seal
from backend.custody.unseal import MasterKey
from backend.errors import MasterKeyError


def test_the_public_file_holds_the_key_that_was_made(tmp_path: Path) -> None:
    public_key = master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub")
    assert master.read_public(tmp_path / "master.pub") == public_key
    assert MasterKey(tmp_path / "master.key").public_key == public_key
    assert len(public_key) == seal.PUBLIC_KEY_BYTES


def test_a_master_key_is_never_overwritten(tmp_path: Path) -> None:
    master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub")
    before = (tmp_path / "master.key").read_bytes()
    with pytest.raises(MasterKeyError, match="File exists"):
        master.create_master_key(tmp_path / "master.key", tmp_path / "elsewhere.pub")
    assert (tmp_path / "master.key").read_bytes() == before
    assert not (tmp_path / "elsewhere.pub").exists()


def test_an_inbox_key_does_not_pass_for_the_master_key(tmp_path: Path) -> None:
    inbox_opening.create_inbox_key(tmp_path / "inbox.key", tmp_path / "inbox.pub")
    with pytest.raises(MasterKeyError, match="no master public key"):
        master.read_public(tmp_path / "inbox.pub")
    with pytest.raises(MasterKeyError, match="no master private key"):
        MasterKey(tmp_path / "inbox.key")
