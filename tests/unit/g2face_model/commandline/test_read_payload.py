"""anonymize --in-image and read-payload, as they are called."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from sample_portraits import portrait

from g2face_model import images
from g2face_model.__main__ import main
from g2face_model.payload_file import create_key_file
from g2face_model.weights import WeightStore


def test_what_anonymize_hid_is_read_from_a_jpeg(
    store: WeightStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ["--weights-dir", str(store.directory)]
    photo, out, key = tmp_path / "a.png", tmp_path / "out", tmp_path / "secret.key"
    photo.write_bytes(images.encode(portrait(1), "png"))
    command = ["anonymize", str(photo), "--out", str(out), "--key-file", str(key), "--new-key", "--in-image"]
    assert main([*weights, *command, "--format", "jpeg"]) == 0
    written = json.loads(capsys.readouterr().out)
    (record_id,) = written["in_image"]
    assert main([*weights, "read-payload", str(out / "a.png.jpg"), "--key-file", str(key)]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["status"] == "read"
    assert [face["record_id"] for face in line["faces"]] == [record_id]
    assert len(bytes.fromhex(record_id)) == 16

    command = ["read-payload", str(out / "a.png.jpg"), "--key-file", str(key), "--likeness", str(tmp_path / "like")]
    assert main([*weights, *command]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["likeness"], line["drawn"]) == ("a.png.jpg.png", [0])
    drawn = tmp_path / "like" / "a.png.jpg.png"
    assert stat.S_IMODE(drawn.stat().st_mode) == 0o600
    assert (images.decode(drawn.read_bytes()) != images.decode((out / "a.png.jpg").read_bytes())).any()

    create_key_file(tmp_path / "other.key")
    pictures = [str(out / "a.png.jpg"), str(key)]
    assert main([*weights, "read-payload", *pictures, "--key-file", str(tmp_path / "other.key")]) == 1
    unread, no_picture = (json.loads(text) for text in capsys.readouterr().out.splitlines())
    assert unread["status"] == "nothing read"
    assert [face["record_id"] for face in unread["faces"]] == [None]
    assert no_picture["status"] == "failed"


def test_a_payload_without_a_key_would_be_anybodys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"")
    assert main(["anonymize", str(photo), "--out", str(tmp_path / "out"), "--in-image"]) == 2
    assert "--key-file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_picture_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read-payload", str(tmp_path / "none.png"), "--key-file", str(tmp_path / "key")]) == 2
    assert "none.png" in capsys.readouterr().err
