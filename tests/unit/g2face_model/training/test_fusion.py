from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from g2face_model.build import build_parts
from g2face_model.config import ModelConfig
from g2face_model.networks.generator import Generator
from g2face_model.training.draws import mean_latent
from g2face_model.training.fusion import CONFIGS, FusionConfig, Trainer, read_config
from g2face_model.training.fusion_pairs import PairMaker, sample
from g2face_model.training.runs import CHECKPOINT, LOG
from g2face_model.weights import WeightStore


@pytest.fixture(scope="module")
def maker(store: WeightStore) -> PairMaker:
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    generator.eval().requires_grad_(False)
    mean = mean_latent(generator)
    generator.synthesis.to(torch.bfloat16).to(memory_format=torch.channels_last)
    return PairMaker(build_parts(ModelConfig(threads=torch.get_num_threads())), generator, mean, same=0.25)


def _log(folder: Path, *fields: str) -> dict[str, list[float]]:
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    return {field: [line[field] for line in lines if field in line] for field in fields}


def test_a_run_learns_eight_pairs_by_heart(store: WeightStore, maker: PairMaker, tmp_path: Path) -> None:
    trainer = Trainer(store, maker, CONFIGS["smoke"], tmp_path)
    trainer.train()
    found = _log(tmp_path, "head", "loss", "pixel", "held_out_psnr_db")
    assert np.mean(found["head"][-5:]) < np.mean(found["head"][:5]) / 4
    assert np.mean(found["pixel"][-5:]) < np.mean(found["pixel"][:3]) / 2
    assert np.mean(found["loss"][-5:]) < np.mean(found["loss"][:3]) * 0.65
    assert found["held_out_psnr_db"][-1] > 17  # fused pictures are near their answers
    assert list(tmp_path.glob("sheet-*.png"))


def test_a_broken_off_run_goes_on_where_it_stopped(store: WeightStore, maker: PairMaker, tmp_path: Path) -> None:
    config = replace(CONFIGS["smoke"], head_steps=2, fusion_steps=2, first=2, critic_from=0, check_every=100)
    for until in (1, 3, None):  # in the first stage, in the second, and to the end
        Trainer(store, maker, config, tmp_path).train(until=until)
    steps = [json.loads(line)["step"] for line in (tmp_path / LOG).read_text().splitlines()]
    assert steps == [0, 1, 2, 3]
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 4
    assert Trainer(store, maker, config, tmp_path).train() == {}


def test_the_same_number_gives_the_same_pair(maker: PairMaker) -> None:
    pair, again, other = maker.make(3), maker.make(3), maker.make(4)
    assert np.array_equal(pair.wanted, again.wanted)
    assert np.array_equal(pair.styles, again.styles)
    assert not np.array_equal(pair.original, other.original)


def test_the_answer_is_the_original_but_for_the_face(maker: PairMaker) -> None:
    pair = next(pair for pair in map(maker.make, range(20)) if not pair.same)
    changed = np.abs(pair.wanted.astype(int) - pair.original.astype(int)).max(2) > 8
    assert changed[pair.face > 0.9].mean() > 0.3
    assert changed[pair.face < 0.1].mean() < 0.02
    cosines = {name: float(pair.of_original[name] @ pair.of_alone[name]) for name in pair.of_original}
    assert cosines["faceres"] < 0.637  # someone else, by the threshold of "same person"


def test_whoever_keeps_an_identity_comes_out_as_they_were(maker: PairMaker) -> None:
    pair = next(pair for pair in map(maker.make, range(30)) if pair.same)
    assert np.array_equal(pair.original, pair.wanted)
    assert np.array_equal(pair.of_original["dlib"], pair.of_alone["dlib"])


def test_what_is_in_front_of_an_original_is_in_front_of_its_answer(maker: PairMaker) -> None:
    pairs = [maker.make(3), maker.make(4)]
    pair = replace(pairs[0], wanted=pairs[0].original)  # then both must stay alike, whatever is done to them
    for seed in range(12):
        original, wanted, face = sample(pair, pairs, np.random.default_rng(seed), plain=0.0)
        assert np.array_equal(original, wanted)
        assert (face <= pair.face).all()
    spoiled = [sample(pair, pairs, np.random.default_rng(seed), plain=0.0)[0] for seed in range(12)]
    assert sum(not np.array_equal(picture, pair.original) for picture in spoiled) >= 8
    assert np.array_equal(sample(pair, pairs, np.random.default_rng(0), plain=1.0)[0], pair.original)


def test_a_configuration_is_a_name_or_what_differs_from_cpu(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("batch = 2\n[weights]\npixel = 9.0\n")
    config = read_config(str(file))
    assert (config.batch, config.weights["pixel"], config.weights["feature"]) == (2, 9.0, 1.0)
    assert config.fusion_steps == FusionConfig().fusion_steps
    assert read_config("gpu").device == "cuda"


@pytest.mark.parametrize(("text", "said"), [("batches = 2", "batches"), (None, "known: smoke, cpu, gpu")])
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "mine.toml"
    if text:
        file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_config(str(file))
