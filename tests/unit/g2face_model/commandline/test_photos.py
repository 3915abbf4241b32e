"""Finding pictures and claiming names for results."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2face_model.commandline import photos
from g2face_model.commandline.photos import Outbox, Photo, find
from g2face_model.errors import UnreadableImageError


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_folders_are_read_with_their_subfolders_in_order(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "a.PNG", "z/c.heic", "z/.hidden.jpg", ".git/d.jpg", "notes.txt", "z/list.csv", "out/e.jpg")
    found = find([tmp_path], excluded=tmp_path / "out")
    assert [photo.name for photo in found.photos] == ["a.PNG", "b.jpg", "z/c.heic"]
    assert found.passed_over == 2
    assert found.troubles == []


def test_a_named_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    put(tmp_path, "scan")
    assert find([tmp_path / "scan"], excluded=tmp_path).photos == [Photo("scan", tmp_path / "scan")]


def test_other_suffixes_can_be_looked_for(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "a.jpg.g2face")
    found = find([tmp_path], excluded=tmp_path / "out", suffixes=frozenset({".g2face"}))
    assert [photo.name for photo in found.photos] == ["a.jpg.g2face"]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.jpg")
    assert Photo("a.jpg", tmp_path / "a.jpg").read() == b"x"
    monkeypatch.setattr(photos, "MAX_FILE_BYTES", 0)
    with pytest.raises(UnreadableImageError, match="too large"):
        Photo("a.jpg", tmp_path / "a.jpg").read()


def test_an_outbox_gives_every_name_once_and_no_input_away(tmp_path: Path) -> None:
    put(tmp_path, "in.png")
    (tmp_path / "link.png").symlink_to("in.png")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "in.png")
    outbox = Outbox(tmp_path, [tmp_path / "in.png"])
    for name in ("in.png", "link.png", "hard.png"):
        with pytest.raises(FileExistsError, match="overwrite"):
            outbox.claim(name)
    outbox.claim("new.png")
    with pytest.raises(FileExistsError, match="same name"):
        outbox.claim("new.png")


def test_an_input_that_is_a_link_is_kept_too(tmp_path: Path) -> None:
    put(tmp_path, "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    with pytest.raises(FileExistsError, match="overwrite"):
        Outbox(tmp_path, [tmp_path / "link.png"]).claim("link.png")


def test_an_outbox_makes_folders_and_removes(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out", [])
    outbox.write("a/b.bin", b"x", mode=0o600)
    assert outbox.holds("a/b.bin")
    assert (tmp_path / "out/a/b.bin").read_bytes() == b"x"
    outbox.remove("a/b.bin")
    outbox.remove("a/b.bin")
    assert not outbox.holds("a/b.bin")
