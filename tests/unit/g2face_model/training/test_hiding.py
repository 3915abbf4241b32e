from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from g2face_model.training import hiding
from g2face_model.training.people import People, write_shard
from g2face_model.training.runs import CHECKPOINT, LOG

SMOKE = hiding.CONFIGS["smoke"]


@pytest.fixture(scope="module")
def folder(people: People, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    write_shard(folder / "0000.npz", people)
    return folder


@pytest.fixture(scope="module")
def hosts(folder: Path) -> hiding.Hosts:
    return hiding.gather(folder)[0]


def test_cells_lie_where_faces_are(hosts: hiding.Hosts) -> None:
    template = hosts.template[0, 0]
    assert template.sum() == hiding.CELLS == len(np.unique(hosts.cells))
    assert template[12:20, 12:20].all()
    assert not template[0].any()
    assert not template[:, 0].any()


def test_an_unpublished_crop_is_read_as_it_was_written(hosts: hiding.Hosts) -> None:
    """Where nothing is added, cutting the crop again from the photograph gives the same crop."""
    chance = np.random.default_rng(0)
    sample = hiding.draw(hosts, SMOKE, chance)
    still = dataclasses.replace(SMOKE, shift_px=0, turn_degrees=0, stretch=0, files=0)
    found = hiding.filed(sample.published(torch.zeros_like(sample.crops())), still, chance)
    again = hiding.resample(found, hiding.misplaced(sample, still, chance), hiding.SIZE)
    torch.testing.assert_close(again, sample.crops(), atol=2 / 255, rtol=0)


def test_a_residual_comes_back_where_it_was_put(hosts: hiding.Hosts) -> None:
    sample = hiding.draw(hosts, SMOKE, np.random.default_rng(3))
    residual = torch.zeros(SMOKE.batch, 3, hiding.SIZE, hiding.SIZE)
    residual[..., 100:140, 80:120] = 0.1
    difference = sample.published(residual) - sample.photographs
    back = hiding.resample(difference, sample.to_crop, hiding.SIZE)
    assert back[..., 105:135, 85:115].mean() > 0.08
    assert back[..., :90, :].abs().max() < 0.01


def test_the_smoke_run_learns_and_can_go_on(folder: Path, hosts: hiding.Hosts) -> None:
    """An extractor that has forgotten what to look for reads as chance has it, and most bits after a few steps, through
    files and misplaced crops."""
    blank = hiding.Pair()
    for parameter in blank.extractor.head.parameters():
        torch.nn.init.zeros_(parameter)
    before = hiding.measure(blank, hosts, SMOKE, batches=6)
    half = dataclasses.replace(SMOKE, steps=SMOKE.steps // 2)
    hiding.fit(hosts, half, folder / "run", start=blank)
    assert (folder / "run" / CHECKPOINT).exists()
    after = hiding.measure(hiding.fit(hosts, SMOKE, folder / "run"), hosts, SMOKE, batches=6)
    steps = [json.loads(line)["step"] for line in (folder / "run" / LOG).read_text().splitlines()]
    assert steps == [half.steps, SMOKE.steps]
    assert before["bits"] == pytest.approx(0.5, abs=0.05)
    assert after["bits"] > 0.6


def test_an_untrained_pair_reads_most_bits(hosts: hiding.Hosts) -> None:
    assert hiding.measure(hiding.Pair(), hosts, SMOKE, batches=6)["bits"] > 0.8


def test_noise_is_read_as_chance_has_it(hosts: hiding.Hosts) -> None:
    sample = hiding.draw(hosts, SMOKE, np.random.default_rng(4))
    bits, cells = hiding.accuracy_of(hiding.Pair().extractor(sample.crops()), sample)
    assert bits == pytest.approx(0.5, abs=0.06)
    assert cells < 0.05


def test_what_was_trained_is_kept_in_half_precision(hosts: hiding.Hosts, tmp_path: Path) -> None:
    hiding.save(hiding.Pair(), hosts, metadata={"steps": "0"}, folder=tmp_path)
    assert (tmp_path / "hiding.safetensors").stat().st_size < 2 * 2**20
    assert set(json.loads((tmp_path / "digests.json").read_text())) == {"hiding"}
