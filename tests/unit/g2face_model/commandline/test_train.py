from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_people import stock

from g2face_model import weights
from g2face_model.__main__ import main
from g2face_model.geometry import GeometryModel
from g2face_model.networks.mapping import Mapping
from g2face_model.training import mapping
from g2face_model.types import FaceMesh
from g2face_model.weights import WeightStore


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stages put their results instead of the package."""
    folder = tmp_path / "trained"
    monkeypatch.setattr(weights, "save_trained", partial(weights.save_trained, folder=folder))
    return folder


@pytest.fixture
def people(tmp_path: Path) -> Path:
    folder = tmp_path / "people"
    stock(folder, count=165, shards=2)
    return folder


def _train(stage: str, people: Path, *options: str) -> int:
    threads = str(torch.get_num_threads())
    return main(["train", stage, "--people", str(people), "--threads", threads, *options])


def _store(trained: Path) -> WeightStore:
    return WeightStore(trained, parts={}, trained=trained)


def test_geometry_makes_a_model_that_can_be_loaded(people: Path, trained: Path) -> None:
    assert _train("geometry", people) == 0
    model, shipped = GeometryModel.load(_store(trained)), GeometryModel.load(WeightStore())
    assert model.components.shape == (80, 1404)
    assert np.linalg.norm(model.mean - shipped.mean, axis=1).mean() < 0.05  # the people were made from the shipped one
    assert _store(trained).metadata("geometry") == {"people": "330"}
    face = shipped.face(np.zeros(80, np.float32)) * 100 + 300
    mesh = FaceMesh(np.concatenate([face, np.zeros((10, 3))]).astype(np.float32), 1.0)
    assert np.abs(model.derive(mesh, np.full(7, 1 / 7, np.float32)).angles).max() < 3


def test_mapping_reports_figures_and_saves_in_half_precision(
    people: Path, trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = partial(mapping.MappingConfig, predictor_epochs=2, mapping_epochs=2)
    monkeypatch.setattr(mapping, "MappingConfig", short)
    assert _train("mapping", people) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.pop("people") == 330
    assert all(np.isfinite(value) for value in figures.values())
    tensors = _store(trained).tensors("mapping")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    names = {name for name in tensors if name.startswith("mapping.")}
    assert names == {f"mapping.{name}" for name in Mapping(352).state_dict()}


def test_gallery_keeps_as_many_as_it_is_told(people: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train("gallery", people, "--size", "40") == 0
    assert capsys.readouterr().out == "40 people\n"
    assert all(len(tensor) == 40 for tensor in _store(trained).tensors("gallery").values())


def test_results_lie_in_the_package_only_when_they_are_meant_to(people: Path, trained: Path) -> None:
    before = (weights.TRAINED / "digests.json").read_bytes()
    _train("geometry", people)
    assert (weights.TRAINED / "digests.json").read_bytes() == before
    assert sorted(path.name for path in trained.iterdir()) == ["digests.json", "geometry.safetensors"]


def test_a_stage_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--people", "anywhere"])
    assert "people" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "people"])
    assert "--people" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["geometry", "parser", "describe", "mapping", "gallery"])
def test_without_people_there_is_nothing_to_learn_from(
    stage: str, tmp_path: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert _train(stage, folder) == 2
        assert "train people" in capsys.readouterr().err
    assert not trained.exists()


def test_fusion_says_what_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, empty = tmp_path / "run", tmp_path / "empty"
    empty.mkdir()
    for options, said in (
        (["--config", "huge"], "known: smoke, cpu, gpu"),
        (["--photos", str(empty)], "no .jpg"),
        (["--photos", str(empty), "--folders", "official"], "no .jpg"),
    ):
        assert main(["train", "fusion", "--run", str(run), *options]) == 2
        assert said in capsys.readouterr().err
    assert not run.exists()


def test_hiding_is_tried_without_touching_the_weights(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = WeightStore().digest("hiding")
    assert _train("hiding", people, "--config", "smoke") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["bits"] > 0.6  # better than guessing, after steps enough to see that it learns
    assert WeightStore().digest("hiding") == before
    assert (people / "hiding" / "checkpoint.pt").exists()
