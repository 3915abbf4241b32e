"""Key files: private ones are private, none is overwritten, and nothing else passes for one."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from threading import Thread

import pytest

from backend.custody import key_files
from backend.custody.key_files import Purpose
from backend.custody.providers.provider import KeyProvider
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


class Locker:
    """A provider that turns every bit round."""

    def __init__(self, name: str = "locker") -> None:
        self.name = name

    def wrap(self, private_key: bytes) -> bytes:
        return bytes(byte ^ 255 for byte in private_key)

    def unwrap(self, wrapped: bytes) -> bytes:
        return self.wrap(wrapped)


GOLDEN = Path(__file__).parents[3] / "golden" / "master_key_file_v1.key"
GOLDEN_KEY = bytes(range(96))


def private(content: bytes, provider: KeyProvider = key_files.PLAIN, purpose: Purpose = Purpose.MASTER) -> bytes:
    return key_files.parse_private(content, purpose, provider=provider)


def test_the_golden_file_still_opens() -> None:
    """Written once for GOLDEN_KEY; not to be written anew."""
    assert private(GOLDEN.read_bytes()) == GOLDEN_KEY
    before_there_was_a_check = b"g2face master private key v1\n" + base64.b64encode(GOLDEN_KEY) + b"\n"
    assert private(before_there_was_a_check) == GOLDEN_KEY


def test_a_private_file_says_who_wrapped_it() -> None:
    content = key_files.private_text(GOLDEN_KEY, Purpose.MASTER, provider=Locker())
    assert content.splitlines()[0] == b"g2face master private key v1, wrapped by locker"
    assert base64.b64encode(GOLDEN_KEY)[:20] not in content
    assert private(content, Locker()) == GOLDEN_KEY
    assert key_files.wrapped_by(content, Purpose.MASTER) == "locker"
    assert key_files.wrapped_by(GOLDEN.read_bytes(), Purpose.MASTER) == "file"


def test_another_provider_than_the_file_s_is_named() -> None:
    wrapped = key_files.private_text(GOLDEN_KEY, Purpose.MASTER, provider=Locker())
    for content, provider, kept_by in (
        (wrapped, key_files.PLAIN, "'locker', not by 'file'"),
        (GOLDEN.read_bytes(), Locker(), "'file', not by 'locker'"),
        (wrapped, Locker("safe"), "'locker', not by 'safe'"),
    ):
        with pytest.raises(MasterKeyError, match=kept_by):
            private(content, provider)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"g2face master private key v1, wrapped by \nAAAA",
        b"g2face master private key v1, wrapped by ../../x\nAAAA",
        b"g2face master private key v1, wrapped by locker, wrapped by safe\nAAAA",
        b"g2face inbox private key v1, wrapped by locker\nAAAA",
        b"g2face master private key v2\nAAAA",
        b"\xff\xfe",
    ],
)
def test_what_is_no_private_key_file_is_refused(content: bytes) -> None:
    assert key_files.wrapped_by(content, Purpose.MASTER) is None
    for provider in (key_files.PLAIN, Locker()):
        with pytest.raises(MasterKeyError, match="no master private key"):
            private(content, provider)


def test_a_provider_that_gives_another_length_is_not_believed() -> None:
    content = key_files.private_text(GOLDEN_KEY[:-1], Purpose.MASTER, provider=Locker())
    with pytest.raises(MasterKeyError, match="no master private key"):
        private(content, Locker())


def test_a_replaced_file_is_private_and_its_old_bytes_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "admin" / "key"
    key_files.replace_private(path, b"first")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with path.open("rb") as before:
        key_files.replace_private(path, b"second")
        assert before.read() == bytes(len(b"first"))
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path] == list(path.parent.iterdir())


def test_a_destroyed_file_s_bytes_are_gone(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"secret")
    with (tmp_path / "key").open("rb") as before:
        key_files.destroy(tmp_path / "key")
        assert before.read() == bytes(len(b"secret"))
    assert not list(tmp_path.iterdir())


def test_a_copy_under_another_name_keeps_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"secret")
    os.link(tmp_path / "key", tmp_path / "backup")
    key_files.replace_private(tmp_path / "key", b"other")
    assert (tmp_path / "backup").read_bytes() == b"secret"
    os.link(tmp_path / "key", tmp_path / "second backup")
    key_files.destroy(tmp_path / "key")
    assert (tmp_path / "second backup").read_bytes() == b"other"


def test_one_at_a_time_changes_a_key(tmp_path: Path) -> None:
    refused: list[str] = []

    def try_it() -> None:
        try:
            with key_files.alone(tmp_path / "key"):
                refused.append("not")
        except MasterKeyError as error:
            refused.append(str(error))

    with key_files.alone(tmp_path / "key"):
        other = Thread(target=try_it)
        other.start()
        other.join()
    try_it()
    assert refused == ["somebody else is changing the key at the moment", "not"]
    with pytest.raises(MasterKeyError, match="folder cannot be read"), key_files.alone(tmp_path / "none" / "key"):
        pass
