"""The official engine from its authors' files to a restored photograph, on the command line.

The weights are filled, so its faces are noise, and whether the gate lets one through means nothing. What must hold
whatever is drawn: the photograph is worked through, only the face changes, and the original comes back bit for bit.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from g2face_model import images
from g2face_model.__main__ import main
from g2face_model.weights import WeightStore


def test_a_photograph_goes_through_the_official_engine_and_comes_back(
    official_store: WeightStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = np.ascontiguousarray(data.astronaut()[:300, 60:400])
    (tmp_path / "photo.png").write_bytes(images.encode(original, "png"))
    key = ["--key-file", str(tmp_path / "key")]
    options = ["--out", str(tmp_path / "out"), "--new-key", "--engine", "g2face-official"]
    weights = ["--weights-dir", str(official_store.directory)]
    assert main([*weights, "anonymize", str(tmp_path / "photo.png"), *options, *key]) == 0
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert line["model_version"] == "g2face-official-1"
    [face] = line["faces"]
    assert face["outcome"] in ("anonymized", "covered")
    assert face["attempts"] >= 1
    published = images.decode((tmp_path / "out" / "photo.png.png").read_bytes())
    left, top, width, height = face["rectangle"]
    changed = (published != original).any(2)
    assert changed[top : top + height, left : left + width].mean() > 0.1
    changed[top : top + height, left : left + width] = False
    assert not changed.any()
    assert main(["restore", str(tmp_path / "out" / "photo.png.png"), *key, "--out", str(tmp_path / "back.png")]) == 0
    assert np.array_equal(images.decode((tmp_path / "back.png").read_bytes()), original)
