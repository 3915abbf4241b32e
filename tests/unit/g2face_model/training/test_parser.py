from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from g2face_model.networks.parser import SIZE, ParserNet
from g2face_model.training.face_labels import GRID
from g2face_model.training.parser import Faces, ParserConfig, Probe, fit, fit_probe, loss_of, make_sample
from g2face_model.training.people import People


@pytest.fixture(scope="module")
def faces(people: People) -> Faces:
    labels = np.zeros((len(people), 2, GRID, GRID), np.uint8)
    labels[:, 0, 20:48, 20:44] = 255
    labels[:, 1, 5:19, 20:44] = 255
    return Faces([(people, labels)], Probe(np.zeros(512, np.float32), -9.0), limit=0)


def test_who_wears_glasses_is_left_out(people: People) -> None:
    labels = np.zeros((len(people), 2, GRID, GRID), np.uint8)
    direction = people.coarse[0] - people.coarse[1:].mean(0)
    middle = (people.coarse[0] + people.coarse[1:].mean(0)) / 2
    probe = Probe(direction.astype(np.float32), -float(middle @ direction))
    kept = Faces([(people, labels)], probe, limit=0)
    assert len(kept) == int((probe.score(people.coarse) < 0).sum()) < len(people)


def test_samples_are_pictures_with_soft_labels(faces: Faces) -> None:
    chance = np.random.default_rng(0)
    covered = 0
    for _ in range(12):
        picture, labels = make_sample(faces, chance)
        assert picture.shape == labels.shape == (SIZE, SIZE, 3)
        assert picture.dtype == np.uint8
        np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-4)
        covered += labels[..., 1].max() > 0.5
    assert 0 < covered < 12


def test_a_plain_sample_is_the_crop_itself(faces: Faces) -> None:
    _, labels = make_sample(faces, np.random.default_rng(0), plain=True)
    assert 0.1 < labels[..., 0].mean() < 0.4
    assert labels[..., 1].max() == 0


def test_the_loss_prefers_the_truth() -> None:
    labels = torch.nn.functional.one_hot(torch.randint(0, 3, (2, 16, 16)), 3).permute(0, 3, 1, 2).float()
    right, wrong = labels * 8, labels.roll(1, 1) * 8
    assert loss_of(right, labels, glasses_weight=3) < 0.1 * loss_of(wrong, labels, glasses_weight=3)


def test_a_few_steps_bring_the_loss_down(faces: Faces) -> None:
    config = replace(ParserConfig(), steps=25, batch=2, average=0.5, learning_rate=2e-2)
    torch.manual_seed(0)
    before = ParserNet(norm=True)
    after = fit(faces, config, net=ParserNet(norm=True))
    chance = np.random.default_rng(5)
    picture, labels = make_sample(faces, chance, plain=True)
    crop = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    truth = torch.from_numpy(labels).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        losses = [loss_of(net.eval()(crop), truth, glasses_weight=3).item() for net in (before, after)]
    assert losses[1] < 0.8 * losses[0]


def test_the_probe_is_fitted_to_what_was_seen() -> None:
    from g2face_model.training import parser

    chance = np.random.default_rng(0)
    people = {}
    for shard, wearers in parser._WEARERS.items():
        coarse = chance.normal(0, 1, (100, 512)).astype(np.float32)
        coarse[list(wearers), 7] += 6
        empty = np.zeros((100, 478, 3), np.float32)
        people[shard] = People(coarse, coarse, empty, np.ones(100, np.float32), [b""] * 100)
    probe = fit_probe(people)
    assert int(np.abs(probe.weight).argmax()) == 7
    score = probe.score(people[1].coarse)
    assert score[list(parser._WEARERS[1])].min() > np.median(score)
