"""The restore command: files and folders, whole and single faces, and what it refuses."""

from __future__ import annotations

import argparse
import base64
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from pictures import photo
from pixelation import Pixelation

from g2face_model import images, payload_file, recovery
from g2face_model.commandline import restore
from g2face_model.commandline.anonymize import Batch
from g2face_model.commandline.photos import find
from g2face_model.errors import RecoveryError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures a.png and sub/b.png in "in", anonymized in "out" as PNG and in "jpeg" as JPEG; "key" is the key."""
    key = payload_file.create_key_file(tmp_path / "key")
    for name, height in (("in/a.png", 24), ("in/sub/b.png", 40)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(images.encode(photo(height, 32), "png"))
    for name, format in (("out", images.FORMATS[0]), ("jpeg", images.FORMATS[1])):
        found = find([tmp_path / "in"], excluded=tmp_path / name)
        assert Batch(Pixelation(), key, tmp_path / name, format=format).run(found, sheet=False) == 0
    return tmp_path


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    restore.add_parser(parser.add_subparsers())
    return restore.run(parser.parse_args(["restore", *map(str, words)]))


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("published", ["out/a.png.png", "jpeg/a.png.jpg"])
def test_one_file_comes_back_bit_for_bit(
    folder: Path, capsys: pytest.CaptureFixture[str], published: str, suffix: str
) -> None:
    target = folder / "back" / f"a.{suffix}"
    capsys.readouterr()
    assert run(folder / published, "--key-file", folder / "key", "--out", target) == 0
    assert np.array_equal(images.decode(target.read_bytes()), photo())
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    (line,) = printed(capsys)
    assert (line["status"], line["faces"], line["output"]) == ("restored", [0, 1], f"a.{suffix}")
    assert line["pixels_sha256"] == recovery.image_sha256(photo()).hex()


def test_the_payload_may_lie_elsewhere(folder: Path) -> None:
    (folder / "out/a.png.png.g2face").rename(folder / "moved")
    words = ("--payload", folder / "moved", "--key-file", folder / "key", "--out", folder / "back.png")
    assert run(folder / "out/a.png.png", *words) == 0
    assert np.array_equal(images.decode((folder / "back.png").read_bytes()), photo())


def test_one_face_comes_back_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for published, target in (("out/a.png.png", "one.png"), ("jpeg/a.png.jpg", "two.png")):
        capsys.readouterr()
        words = ("--key-file", folder / "key", "--out", folder / target, "--face", 1)
        assert run(folder / published, *words) == 0
        assert printed(capsys)[0]["status"] == "partly restored"
        expected = images.decode((folder / published).read_bytes())
        expected[5:17, 14:23] = photo()[5:17, 14:23]
        assert np.array_equal(images.decode((folder / target).read_bytes()), expected)


def test_a_face_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    words = ("--key-file", folder / "key", "--out", folder / "back.png", "--face", 0, 7)
    assert run(folder / "out/a.png.png", *words) == 1
    assert printed(capsys)[0]["error"] == "there is no face 7; there are: 0, 1"
    assert not (folder / "back.png").exists()


@pytest.mark.parametrize("published", ["out", "jpeg"])
def test_a_folder_comes_back(folder: Path, capsys: pytest.CaptureFixture[str], published: str) -> None:
    capsys.readouterr()
    assert run(folder / published, "--key-file", folder / "key", "--out", folder / "back") == 0
    assert [line["status"] for line in printed(capsys)] == ["restored"] * 2
    assert np.array_equal(images.decode((folder / "back/a.png.png").read_bytes()), photo())
    assert np.array_equal(images.decode((folder / "back/sub/b.png.png").read_bytes()), photo(40, 32))


def test_a_folder_with_a_swapped_and_a_missing_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out/a.png.png").write_bytes((folder / "out/sub/b.png.png").read_bytes())
    (folder / "out/gone.png.g2face").write_bytes((folder / "out/a.png.png.g2face").read_bytes())
    capsys.readouterr()
    assert run(folder / "out", "--key-file", folder / "key", "--out", folder / "back") == 1
    errors = {line["name"]: line.get("error") for line in printed(capsys)}
    assert errors == {
        "a.png.png": "the payload file belongs to another image",
        "gone.png": "No such file or directory",
        "sub/b.png.png": None,
    }
    assert os.listdir(folder / "back") == ["sub"]


def test_a_missing_payload_file_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out/a.png.png.g2face").unlink()
    capsys.readouterr()
    assert run(folder / "out/a.png.png", "--key-file", folder / "key", "--out", folder / "back.png") == 1
    assert "payload file is not there" in str(printed(capsys)[0]["error"])


def test_another_key_gives_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload_file.create_key_file(folder / "other")
    capsys.readouterr()
    assert run(folder / "out/a.png.png", "--key-file", folder / "other", "--out", folder / "back.png") == 1
    assert printed(capsys)[0]["error"] == "the payload file was sealed with another key"
    assert not (folder / "back.png").exists()


def test_a_key_file_is_never_made(folder: Path) -> None:
    with pytest.raises(RecoveryError, match="cannot be read"):
        run(folder / "out/a.png.png", "--key-file", folder / "none", "--out", folder / "back.png")
    assert not (folder / "none").exists()


@pytest.mark.parametrize("victim", ["key", "out/a.png.png", "out/a.png.png.g2face"])
def test_what_is_read_is_never_overwritten(folder: Path, capsys: pytest.CaptureFixture[str], victim: str) -> None:
    (folder / "link.png").symlink_to(folder / victim)
    before = (folder / victim).read_bytes()
    capsys.readouterr()
    assert run(folder / "out/a.png.png", "--key-file", folder / "key", "--out", folder / "link.png") == 1
    assert "overwrite" in str(printed(capsys)[0]["error"])
    assert (folder / victim).read_bytes() == before


def test_bad_usage_is_status_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    key = ("--key-file", folder / "key", "--out")
    for words, said in (
        ((folder / "none.png", *key, folder / "x.png"), "no such file or folder: none.png"),
        ((folder / "out/a.png.png", *key, folder / "x.jpg"), "do not keep every bit"),
        ((folder / "out/a.png.png", *key, folder / "out"), "do not keep every bit"),
        ((folder / "empty", *key, folder / "x"), "no payload file"),
        ((folder / "out", *key, folder / "key"), "have to be folders"),
    ):
        assert run(*words) == 2
        assert said in capsys.readouterr().err


def test_the_key_may_be_raw_bytes(folder: Path) -> None:
    raw = folder / "raw"
    raw.write_bytes(base64.b64decode((folder / "key").read_bytes()))
    raw.chmod(0o600)
    assert run(folder / "out/a.png.png", "--key-file", raw, "--out", folder / "back.png") == 0
