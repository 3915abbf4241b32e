"""Whole files or none, also on a disk that is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from g2face_model import atomic_file


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    atomic_file.write(path, b"first")
    atomic_file.write(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_permissions_are_as_asked(tmp_path: Path) -> None:
    atomic_file.write(tmp_path / "secret", b"x", mode=0o600)
    atomic_file.write(tmp_path / "secret", b"y", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_long_name_fits(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    atomic_file.write(path, b"x")
    assert path.read_bytes() == b"x"


def test_no_folder_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_file.write(tmp_path / "none" / "a", b"x")
    assert not list(tmp_path.iterdir())


def test_a_name_taken_by_a_folder_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic_file.write(tmp_path / "taken", b"x")
    assert os.listdir(tmp_path) == ["taken"]


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    atomic_file.create(tmp_path / "key", b"first", mode=0o600)
    with pytest.raises(FileExistsError):
        atomic_file.create(tmp_path / "key", b"second", mode=0o600)
    assert (tmp_path / "key").read_bytes() == b"first"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["key"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_keeps_the_old_file_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / "a.bin"
    atomic_file.write(path, b"old")
    with pytest.raises(OSError, match="No space left"):
        atomic_file.write(path, bytes(200_000))
    with pytest.raises(OSError, match="No space left"):
        atomic_file.create(small_disk / "b.bin", bytes(200_000))
    assert path.read_bytes() == b"old"
    assert os.listdir(small_disk) == ["a.bin"]
