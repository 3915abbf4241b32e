from __future__ import annotations

from pathlib import Path

import pytest
import torch

from g2face_model.build import build_anonymizer, choose_device
from g2face_model.config import ModelConfig
from g2face_model.errors import WeightsError
from g2face_model.recognition import OnnxSpec
from g2face_model.weights import WeightStore


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building sets the number of torch's threads for the whole process."""
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)


def _config(store: WeightStore, **changed: object) -> ModelConfig:
    return ModelConfig(weights_dir=store.directory, device="cpu", threads=1, **changed)  # type: ignore[arg-type]


def test_no_weights_no_engine(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="python -m g2face_model weights pull") as caught:
        build_anonymizer(ModelConfig(weights_dir=tmp_path, device="cpu", threads=1))
    assert str(tmp_path) not in str(caught.value)


def test_the_weights_of_one_recogniser_missing_is_enough(store: WeightStore, tmp_path: Path) -> None:
    """It must not be left out in silence: the others would pass faces that it recognises."""
    for part in store.directory.iterdir():
        if part.name != "converted":
            (tmp_path / part.name).symlink_to(part)
    (tmp_path / "converted").mkdir()
    for part in (store.directory / "converted").iterdir():
        if part.stem != "mobileface":
            (tmp_path / "converted" / part.name).symlink_to(part)
    with pytest.raises(WeightsError, match="mobileface"):
        build_anonymizer(ModelConfig(weights_dir=tmp_path, device="cpu", threads=1))


def test_the_official_engine_says_how_to_hand_in_its_weights(store: WeightStore, tmp_path: Path) -> None:
    for part in store.directory.iterdir():
        (tmp_path / part.name).symlink_to(part)
    with pytest.raises(WeightsError, match=r"'g2face-official' are missing; hand them in: .* weights import-official"):
        build_anonymizer(ModelConfig(engine="g2face-official", weights_dir=tmp_path, device="cpu", threads=1))


def test_an_unknown_recogniser_is_named_with_those_there_are(store: WeightStore) -> None:
    with pytest.raises(WeightsError, match=r"arcface.*dlib, faceres, mobileface"):
        build_anonymizer(_config(store, recognisers=("dlib", "arcface")))


def test_nothing_is_anonymous_to_no_recogniser(store: WeightStore) -> None:
    with pytest.raises(WeightsError, match="no recogniser"):
        build_anonymizer(_config(store, recognisers=()))


def test_a_recogniser_of_ones_own_has_to_be_readable(store: WeightStore, tmp_path: Path) -> None:
    spec = OnnxSpec("mine", tmp_path / "mine.onnx", threshold=0.4, threshold_far_1=0.3)
    with pytest.raises(WeightsError, match="'mine'") as caught:
        build_anonymizer(_config(store, recognisers=(), onnx_recognisers=(spec,)))
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_not_replaced_in_silence() -> None:
    for device in ("cuda", "cuda:1"):
        with pytest.raises(WeightsError, match="CUDA"):
            build_anonymizer(ModelConfig(device=device, threads=1))


def test_auto_takes_what_there_is() -> None:
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == "cpu"
