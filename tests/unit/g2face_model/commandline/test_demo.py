"""The demonstration around the engine: samples, table, proof."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
from pictures import photo
from pixelation import Pixelation

from g2face_model import images
from g2face_model.commandline import demo
from g2face_model.commandline.photos import Photo
from g2face_model.weights import WeightStore


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    (tmp_path / "originals").mkdir()
    for name, height in (("a.png", 24), ("b.png", 14)):
        (tmp_path / "originals" / name).write_bytes(images.encode(photo(height, 32), "png"))
    return [Photo(name, tmp_path / "originals" / name) for name in ("a.png", "b.png")]


def test_it_shows_the_faces_and_proves_the_way_back(
    tmp_path: Path, photos: list[Photo], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.show(Pixelation(), photos, tmp_path) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == [
        "photograph",
        "face",
        "outcome",
        "colour",
        "shape",
        "NME",
        "%",
        "expression",
        "seconds",
    ]
    assert printed[1].split()[:-1] == ["a.png", "0", "anonymized", "-", "0.25", "1.2", "0.90"]
    assert [line.split()[:2] for line in printed[1:4]] == [["a.png", "0"], ["a.png", "1"], ["b.png", "0"]]
    digests = {line.split()[0]: line.split()[1] for line in printed if len(line.split(" ")[-1]) == 64}
    assert digests["original"] == digests["restored"] != digests["anonymized"]
    assert any("with any other key: the payload file was sealed with another key" in line for line in printed)
    restored = images.decode((tmp_path / "restored" / "a.png.png").read_bytes())
    assert np.array_equal(restored, photo())
    assert sorted(os.listdir(tmp_path)) == ["anonymized", "key", "originals", "restored"]
    assert (tmp_path / "anonymized" / "contact-sheet.png").exists()


def test_it_can_be_shown_again(tmp_path: Path, photos: list[Photo], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = [], []
    for printed in (first, second):
        assert demo.show(Pixelation(), photos, tmp_path) == 0
        printed += [line for line in capsys.readouterr().out.splitlines() if "anonymized  " in line]
    assert first[-1] == second[-1]


def test_a_photograph_that_fails_is_in_the_table(
    tmp_path: Path, photos: list[Photo], capsys: pytest.CaptureFixture[str]
) -> None:
    photos[1].path.write_bytes(b"")
    assert demo.show(Pixelation(), photos, tmp_path) == 1
    assert "the file is empty" in capsys.readouterr().out


def test_without_a_face_there_is_nothing_to_prove(
    tmp_path: Path, photos: list[Photo], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.show(Pixelation(()), photos, tmp_path) == 1
    printed = capsys.readouterr().out
    assert "no face" in printed
    assert "nothing to restore" in printed


def test_the_samples_are_portraits_that_come_with_the_demo_extra_and_a_generated_group(
    tmp_path: Path, store: WeightStore
) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    photos = demo._write_samples(tmp_path, weights_dir=store.directory)
    shapes = {photo.name: images.decode(photo.read()).shape for photo in photos}
    assert shapes == {"astronaut.png": (512, 512, 3), "grace_hopper.jpg": (600, 512, 3), "group.png": (1000, 1600, 3)}


def test_missing_samples_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(demo.SAMPLES, "none.png", ("package_that_is_not_there", "none.png"))
    monkeypatch.setattr(demo, "build", lambda *_, **__: Pixelation())
    parser = argparse.ArgumentParser()
    demo.add_parser(parser.add_subparsers())
    args = parser.parse_args(["demo", "--out", str(tmp_path)])
    args.weights_dir = None
    assert demo.run(args) == 2
    assert "package_that_is_not_there: install the extra called demo" in capsys.readouterr().err
