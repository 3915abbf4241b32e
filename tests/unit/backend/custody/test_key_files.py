"""Key files: private ones are private, none is overwritten, and nothing else passes for one."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from backend.custody import key_files
from backend.custody.key_files import Purpose
from backend.errors import MasterKeyError


def test_two_files_are_made_and_only_the_owner_reads_the_private_one(tmp_path: Path) -> None:
    private_path, public_path = tmp_path / "admin" / "key", tmp_path / "key.pub"
    before = os.umask(0)
    try:
        public_key = key_files.create(private_path, public_path, purpose=Purpose.MASTER)
    finally:
        os.umask(before)
    assert stat.S_IMODE(private_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(private_path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(public_path.stat().st_mode) == 0o644
    assert key_files.read_public(public_path, purpose=Purpose.MASTER) == public_key
    assert len(base64.b64decode(private_path.read_bytes().splitlines()[1])) == 96 + 12  # the key and its check
    assert base64.b64encode(public_key)[:40] not in private_path.read_bytes()


def test_keys_are_new_each_time(tmp_path: Path) -> None:
    made = {key_files.create(tmp_path / str(n), tmp_path / f"{n}.pub", purpose=Purpose.INBOX) for n in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize("there", ["key", "key.pub"])
def test_no_file_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"precious")
    with pytest.raises(MasterKeyError, match="File exists") as caught:
        key_files.create(tmp_path / "key", tmp_path / "key.pub", purpose=Purpose.MASTER)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(there, b"precious")]
    assert str(tmp_path) not in str(caught.value)


def test_no_public_key_is_left_without_its_private_half(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MasterKeyError, match="cannot be made"):
        key_files.create(tmp_path / "file" / "key", tmp_path / "key.pub", purpose=Purpose.MASTER)
    assert not (tmp_path / "key.pub").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"g2face master public key v1\n",
        b"g2face master public key v1\n" + base64.b64encode(bytes(1215)),
        b"g2face master public key v1\n" + base64.b64encode(bytes(1217)),
        b"g2face master public key v1\n" + b"\xff" * 1624,
        b"g2face master public key v2\n" + base64.b64encode(bytes(1216)),
        b"g2face inbox public key v1\n" + base64.b64encode(bytes(1216)),
        base64.b64encode(bytes(1216)),
        b"x" * 100_000,
    ],
)
def test_what_is_no_public_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pub").write_bytes(content)
    with pytest.raises(MasterKeyError, match="no master public key"):
        key_files.read_public(tmp_path / "key.pub", purpose=Purpose.MASTER)


def test_line_ends_do_not_matter(tmp_path: Path) -> None:
    public_key = key_files.create(tmp_path / "key", tmp_path / "key.pub", purpose=Purpose.MASTER)
    title, body = (tmp_path / "key.pub").read_bytes().split()[:5], (tmp_path / "key.pub").read_bytes().split()[5]
    wrapped = b" ".join(title) + b"\r\n" + b"\r\n".join(body[at : at + 64] for at in range(0, len(body), 64)) + b"\r\n"
    (tmp_path / "key.pub").write_bytes(wrapped)
    assert key_files.read_public(tmp_path / "key.pub", purpose=Purpose.MASTER) == public_key


def test_a_missing_public_file(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="inbox public key cannot be read: No such file") as caught:
        key_files.read_public(tmp_path / "none", purpose=Purpose.INBOX)
    assert str(tmp_path) not in str(caught.value)
