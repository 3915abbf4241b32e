"""weights pull | verify | list on the real parts."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import torch
from official_weights import drawn, filled

from g2face_model.__main__ import main
from g2face_model.networks.official.coefficients import Coefficients
from g2face_model.sources import PARTS
from g2face_model.weights import WeightStore


@pytest.fixture
def copy(store: WeightStore, tmp_path: Path) -> Path:
    """A copy of the pulled weights that a test may spoil."""
    return Path(shutil.copytree(store.directory, tmp_path / "weights"))


def test_verify_passes_on_pulled_weights(store: WeightStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--weights-dir", str(store.directory), "weights", "verify"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: ready" for name in store.names]


def test_verify_names_each_fault_and_fails(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(copy.rglob("SynthesisNetwork.bin")).unlink()
    next(copy.rglob("centerface.onnx")).write_bytes(b"spoilt")
    assert main(["--weights-dir", str(copy), "weights", "verify"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "generator: missing" in lines
    assert "centerface.onnx: damaged" in lines
    assert "dlib: ready" in lines


def test_pull_is_quick_when_all_is_there(store: WeightStore, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.process_time()
    assert main(["--weights-dir", str(store.directory), "weights", "pull"]) == 0
    assert time.process_time() - started < 1.0
    assert capsys.readouterr().out == f"all ready: {len(PARTS)} of {len(PARTS)}\n"


def test_list_tells_origin_and_licence_of_every_part(store: WeightStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--weights-dir", str(store.directory), "weights", "list"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["PART", "ROLE", "SOURCE", "VERSION", "LICENCE", "SIZE", "STATE"]
    assert [row.split()[0] for row in rows] == list(store.names)
    generator = next(row for row in rows if row.startswith("generator"))
    assert all(word in generator for word in ("pypi random-face", "2021.7.21.1", "Apache-2.0", "MB", "ready"))


def test_files_of_the_official_engine_that_do_not_fit_are_named_and_none_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"map_2_id": filled("map_2_id")}, tmp_path / "G2Face.pth")
    torch.save({"net_recon": drawn(Coefficients, 1), "epoch": 20}, tmp_path / "epoch_20.pth")
    files = [str(tmp_path / "G2Face.pth"), "--arcface", str(tmp_path / "none.pth"), "--recon"]
    store = WeightStore(tmp_path / "weights")
    command = [
        "--weights-dir",
        str(store.directory),
        "weights",
        "import-official",
        *files,
        str(tmp_path / "epoch_20.pth"),
    ]
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.out == "epoch_20.pth: all 332 tensors are there and fit; passed over: epoch\n"
    assert said.err.splitlines() == [
        "G2Face.pth: anonymous_net is missing; style_mlp is missing; hiding_extractor is missing",
        "none.pth: No such file or directory",
        "nothing was taken in: all three files are needed",
    ]
    assert store.handed_in == ()


def test_what_was_handed_in_is_listed_and_verified(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    WeightStore(copy).keep("arcface-r50", {"fc.bias": torch.zeros(1)}, made_from="0" * 64)
    assert main(["--weights-dir", str(copy), "weights", "list"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert all(word in last for word in ("arcface-r50", "insightface", "non-commercial research", "MB", "ready"))
    (copy / "converted" / "arcface-r50.safetensors").write_bytes(b"spoilt")
    assert main(["--weights-dir", str(copy), "weights", "verify"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "arcface-r50: damaged"
