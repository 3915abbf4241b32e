"""A key in a file comes back as it was, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.custody import key_files, master, seal
from backend.custody.opening import read_private_key
from backend.custody.providers.file import FileProvider
from backend.errors import MasterKeyError

KEY = seal.generate_key_pair().private_key


def test_a_key_comes_back() -> None:
    assert FileProvider().unwrap(FileProvider().wrap(KEY)) == KEY


def test_a_key_from_before_there_was_a_check_comes_back() -> None:
    assert FileProvider().unwrap(KEY) == KEY


def test_a_key_with_one_wrong_bit_is_refused() -> None:
    """Also where the bit decides nothing, as in the part of an ML-KEM seed that only hides failures."""
    wrapped = FileProvider().wrap(KEY)
    for bit in range(8 * len(wrapped)):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MasterKeyError, match="changed or damaged"):
            FileProvider().unwrap(bytes(changed))


def test_a_file_with_one_wrong_bit_gives_no_other_key(tmp_path: Path) -> None:
    """Every bit behind the title."""
    path = tmp_path / "master.key"
    public_key = master.create_master_key(path, tmp_path / "master.pub")
    content, body_at = path.read_bytes(), path.read_bytes().index(b"\n") + 1
    for bit in range(8 * body_at, 8 * (len(content) - 1)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(MasterKeyError):
            read_private_key(path, key_files.Purpose.MASTER)
    path.write_bytes(content)
    assert read_private_key(path, key_files.Purpose.MASTER).public_key == public_key
