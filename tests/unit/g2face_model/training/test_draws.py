from __future__ import annotations

import numpy as np
import pytest
import torch

from g2face_model.identity import IdentityModel
from g2face_model.networks.generator import Generator
from g2face_model.training.draws import cells, moved, plain, rare, spread_evenly
from g2face_model.weights import WeightStore

COUNT = 40


@pytest.fixture(scope="module")
def identities(store: WeightStore) -> IdentityModel:
    return IdentityModel.load(store)


def test_shards_draw_different_people_around_one_mean(generator: Generator) -> None:
    draw = plain(generator)
    (one, fine), (two, _) = draw(0, COUNT), draw(1, COUNT)
    assert one.shape == fine.shape == (COUNT, 512)
    assert not torch.allclose(one, two)
    spreads = [w.sub(w.mean(0)).norm(dim=1).mean() for w in (one, two, fine)]
    assert min(spreads[:2]) > spreads[2]  # colours are kept nearer to the mean than structure
    assert one.mean(0).sub(two.mean(0)).norm() < 0.4 * spreads[0]


def test_rare_looks_are_drawn_as_often_as_common_ones(generator: Generator, identities: IdentityModel) -> None:
    usual = cells(identities.predicted_attributes(plain(generator)(0, 200)[0].numpy()))
    people, colours = rare(generator, identities)(0, 100)
    assert torch.equal(people, colours)
    drawn = cells(identities.predicted_attributes(people.numpy()))
    assert len(np.unique(drawn)) > len(np.unique(usual))  # with half as many people
    assert np.bincount(drawn).max() < 0.1 * len(drawn) < np.bincount(usual).max()


@pytest.mark.parametrize("name", ["plain", "rare", "moved"])
def test_a_draw_depends_on_the_shard_alone(generator: Generator, identities: IdentityModel, name: str) -> None:
    make = {
        "plain": lambda: plain(generator),
        "rare": lambda: rare(generator, identities),
        "moved": lambda: moved(identities),
    }[name]
    first, again, other = make()(3, 5), make()(3, 5), make()(4, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.allclose(first[0], other[0])


def test_moved_people_left_their_place_in_the_gallery_but_kept_their_colours(identities: IdentityModel) -> None:
    coarse, fine = moved(identities)(0, 20)
    assert coarse.shape == fine.shape == (20, 512)
    colours = torch.from_numpy(identities.gallery.colours)
    differences = (fine[:, None] - colours[None]).abs().amax(2)  # cdist is not exact near nought
    assert differences.min(1).values.max() < 1e-6
    standard = (coarse - coarse.mean(0)) / coarse.std(0)
    nearest = torch.cdist(standard, torch.from_numpy(identities.gallery.latents)).min(1).values
    assert nearest.min() > 1


def test_cells_tell_sex_age_and_ancestry_apart() -> None:
    someone = np.array([3.0, 0.9, 0.8, 0.1, 0, 0, 0.1, 0.95], np.float32)
    others = np.tile(someone, (4, 1))
    others[1, 1], others[2, 0] = 0.1, 6.5
    others[3, 2:7] = 0.05, 0.9, 0, 0, 0.05
    assert len(set(cells(others).tolist())) == 4
    assert cells(others[:1]) == cells(others[:1] + np.float32(0.01))


def test_one_of_each_kind_in_turn_the_rarest_first() -> None:
    kinds = np.array([5, 5, 5, 5, 2, 2, 9])
    assert spread_evenly(kinds, 3) == [6, 4, 0]
    assert spread_evenly(kinds, 6) == [6, 4, 0, 5, 1, 2]
    assert sorted(spread_evenly(kinds, 100)) == list(range(7))
