from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from g2face_model.training.runs import CHECKPOINT, LOG, Average, Chance, Run


class _Trial:
    """A line that is fitted to noise: every step depends on weights, optimizer and randomness."""

    def __init__(self, folder: Path) -> None:
        self.chance = Chance(3)
        self.model = nn.Linear(4, 1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.1)
        self.average = Average(dict(self.model.named_parameters()), keep=0.9)
        parts = {"model": self.model, "optimizer": self.optimizer, "average": self.average, "chance": self.chance}
        self.run = Run(folder, parts)

    def step(self) -> None:
        x = torch.randn(8, 4) + float(self.chance.numpy.normal())
        self.optimizer.zero_grad()
        (self.model(x) - 1).square().mean().backward()
        self.optimizer.step()
        self.average.update(dict(self.model.named_parameters()))


def test_a_run_that_was_interrupted_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = _Trial(tmp_path / "whole")
    for _ in range(6):
        whole.step()
    first = _Trial(tmp_path / "parted")
    for _ in range(4):
        first.step()
    first.run.save(4)
    first.step()  # lost: it was never saved
    second = _Trial(tmp_path / "parted")
    assert second.run.resume() == 4
    for _ in range(2):
        second.step()
    assert torch.equal(second.model.weight, whole.model.weight)
    assert torch.equal(second.average.values["weight"], whole.average.values["weight"])


def test_a_new_folder_begins_at_step_nought(tmp_path: Path) -> None:
    trial = _Trial(tmp_path / "new" / "run")
    assert trial.run.resume() == 0
    trial.run.save(0)
    assert [path.name for path in trial.run.folder.iterdir()] == [CHECKPOINT]


def test_a_broken_off_save_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = _Trial(tmp_path)
    trial.run.save(1)
    monkeypatch.setattr(trial.average, "state_dict", lambda: {"values": lambda: None})  # cannot be written
    with pytest.raises(AttributeError):
        trial.run.save(2)
    assert _Trial(tmp_path).run.resume() == 1


def test_the_log_is_json_lines(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    run.log(1, {"loss": 0.123456789})
    run.log(2, {"loss": torch.tensor(0.5).item()})
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 0.12346), (2, 0.5)]


def test_the_average_soon_forgets_the_start_and_then_follows_slowly() -> None:
    value = {"w": torch.tensor([0.0])}
    average = Average(value, keep=0.99)
    value["w"].fill_(1.0)
    for _ in range(30):
        average.update(value)
    assert 0.9 < float(average.values["w"]) < 1
    value["w"].fill_(0.0)
    average.update(value)
    assert float(average.values["w"]) > 0.6
