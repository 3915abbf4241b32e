"""weights pull | verify | list on the real parts."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from g2face_model.__main__ import main
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
