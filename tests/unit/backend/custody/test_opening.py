"""Private key files: only a file of the right kind that nobody else can touch is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.custody import key_files, opening, seal
from backend.custody.key_files import Purpose
from backend.errors import MasterKeyError


@pytest.fixture
def private_path(tmp_path: Path) -> Path:
    key_files.create(tmp_path / "key", tmp_path / "key.pub", purpose=Purpose.MASTER)
    return tmp_path / "key"


def test_a_private_key_file_opens_what_its_public_file_sealed(private_path: Path) -> None:
    public_key = key_files.read_public(private_path.with_suffix(".pub"), purpose=Purpose.MASTER)
    sealed = seal.seal(public_key, b"secret", context=b"context")
    key = opening.read_private_key(private_path, Purpose.MASTER)
    assert key.open(sealed, context=b"context") == b"secret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o601, 0o666])
def test_a_file_that_others_can_touch_is_refused(private_path: Path, mode: int) -> None:
    private_path.chmod(mode)
    with pytest.raises(MasterKeyError, match="mode 0600"):
        opening.read_private_key(private_path, Purpose.MASTER)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_alone_is_read(private_path: Path, mode: int) -> None:
    private_path.chmod(mode)
    assert opening.read_private_key(private_path, Purpose.MASTER).public_key


def test_a_key_for_something_else_is_refused(private_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="no inbox private key"):
        opening.read_private_key(private_path, Purpose.INBOX)
    private_path.write_bytes(private_path.with_suffix(".pub").read_bytes())
    with pytest.raises(MasterKeyError, match="no master private key"):
        opening.read_private_key(private_path, Purpose.MASTER)


def test_a_missing_file_is_named_by_its_purpose_only(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="master private key cannot be read: No such file") as caught:
        opening.read_private_key(tmp_path / "none", Purpose.MASTER)
    assert str(tmp_path) not in str(caught.value)
