from __future__ import annotations

import numpy as np
import pytest
import torch

from g2face_model.networks.parser import ParserNet
from g2face_model.training.parser import ParserConfig, fit, loss_of, measure
from g2face_model.training.scenes import Faces, make_sample


def test_the_loss_prefers_the_truth() -> None:
    labels = torch.nn.functional.one_hot(torch.randint(0, 3, (2, 16, 16)), 3).permute(0, 3, 1, 2).float()
    right, wrong = labels * 8, labels.roll(1, 1) * 8
    assert loss_of(right, labels, glasses_weight=3) < 0.1 * loss_of(wrong, labels, glasses_weight=3)


def test_missed_glasses_cost_more_than_missed_face() -> None:
    labels = torch.zeros(1, 3, 16, 16)
    labels[:, 0, :8], labels[:, 1, 8:] = 1, 1
    logits = labels * 8
    no_face, no_glasses = logits.clone(), logits.clone()
    no_face[:, :, :8] = no_face[:, [2, 1, 0], :8]
    no_glasses[:, :, 8:] = no_glasses[:, [0, 2, 1], 8:]
    assert loss_of(no_glasses, labels, glasses_weight=3) > 1.5 * loss_of(no_face, labels, glasses_weight=3)


def test_a_few_steps_bring_the_loss_down(faces: Faces) -> None:
    torch.manual_seed(0)
    config = ParserConfig(steps=25, batch=2, average=0.5, learning_rate=2e-2)
    before = ParserNet(norm=True)
    after = fit(faces, config, net=ParserNet(norm=True))
    picture, labels = make_sample(faces, np.random.default_rng(5), plain=True)
    crop = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    truth = torch.from_numpy(labels).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        losses = [loss_of(net.eval()(crop), truth, glasses_weight=3).item() for net in (before, after)]
    assert losses[1] < 0.8 * losses[0]


def test_a_parser_that_sees_nothing_scores_nothing(faces: Faces) -> None:
    class Blind(ParserNet):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand_as(crops)

    figures = measure(Blind(), faces, plain=True, count=3)
    assert figures["face"] == 0
    assert figures["other"] == pytest.approx(0.75, abs=0.15)
