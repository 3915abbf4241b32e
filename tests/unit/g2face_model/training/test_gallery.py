from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_people import describe_made_up, made_up_people, stock
from numpy.typing import NDArray

from g2face_model.geometry import GeometryModel
from g2face_model.training.gallery import choose_members, make_gallery
from g2face_model.training.people import write_shard
from g2face_model.types import FaceMesh
from g2face_model.weights import WeightStore

ZERO, ONE = np.zeros(512, np.float32), np.ones(512, np.float32)


@pytest.fixture(scope="module")
def geometry() -> GeometryModel:
    return GeometryModel.load(WeightStore())


def _kinds() -> NDArray[np.intp]:
    """2,000 people of whom 1 in 20 is of one of four rare kinds."""
    random = np.random.default_rng(0)
    return np.concatenate([random.integers(0, 6, 1900), random.integers(6, 10, 100)]).astype(np.intp)


def test_rare_looks_are_not_rare_in_the_gallery() -> None:
    kinds = _kinds()
    members = choose_members(kinds, size=240)
    assert len(members) == len(set(members)) == 240
    assert members == sorted(members)
    counts = np.bincount(kinds[members], minlength=10)
    assert counts.min() > 15
    assert counts.max() <= 27
    assert (kinds >= 6).mean() == pytest.approx(0.05)


def test_a_gallery_cannot_be_larger_than_the_people() -> None:
    assert choose_members(_kinds()[:50], size=1000) == list(range(50))


def test_the_choice_repeats_and_depends_on_the_seed() -> None:
    kinds = _kinds()
    assert choose_members(kinds, size=100) == choose_members(kinds, size=100)
    assert choose_members(kinds, size=100, seed=1) != choose_members(kinds, size=100, seed=2)


def test_rare_people_come_from_a_folder_of_their_own(tmp_path: Path, geometry: GeometryModel) -> None:
    stock(tmp_path / "rare", count=10)
    stock(tmp_path, count=20)
    both = make_gallery(tmp_path / "rare", tmp_path, geometry=geometry, mean=ZERO, spread=ONE, size=100)
    alone = make_gallery(tmp_path, geometry=geometry, mean=ZERO, spread=ONE, size=100)
    assert 0 < len(alone["ages"]) < len(both["ages"])


def test_a_gallery_holds_the_people_it_was_made_of(tmp_path: Path, geometry: GeometryModel) -> None:
    [people] = stock(tmp_path, count=30)
    mean, spread = people.coarse.mean(0), people.coarse.std(0)
    gallery = make_gallery(tmp_path, geometry=geometry, mean=mean, spread=spread, size=30)
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in gallery.items()}
    assert shapes == {
        "latents": (512,),
        "colours": (512,),
        "conditions": (90,),
        "ages": (),
        "masculinity": (),
        "ancestry": (5,),
        "tones": (13, 3),
    }
    first = gallery["latents"][0].float().numpy() * spread + mean
    who = int(np.abs(people.coarse - first).sum(1).argmin())
    np.testing.assert_allclose(first, people.coarse[who], atol=0.02)
    np.testing.assert_allclose(gallery["colours"][0].float(), people.fine[who], atol=0.01)
    assert gallery["ages"][0].item() == pytest.approx(40 + 10 * people.coarse[who, 82], abs=0.1)
    smiling = people.coarse[who, 0] > 0
    expression = np.full(7, 0.2 / 7) + 0.8 * np.eye(7)[3 if smiling else 6]
    condition = geometry.derive(FaceMesh(people.meshes[who], 1.0), expression.astype(np.float32)).condition
    np.testing.assert_allclose(gallery["conditions"][0].float(), condition, atol=0.01)


@pytest.mark.parametrize("fault", ["not found", "behind a fringe", "turned away"])
def test_people_who_would_make_poor_donors_are_left_out(tmp_path: Path, geometry: GeometryModel, fault: str) -> None:
    people = made_up_people(20)
    poor, visible = np.arange(20) % 4 == 0, np.ones(20, np.float32)
    if fault == "not found":
        people.scores[poor] = 0.5
    elif fault == "behind a fringe":
        visible[poor] = 0.6
    else:
        people.meshes[poor] = people.meshes[poor] @ np.float32([[0, 0, -1], [0, 1, 0], [1, 0, 0]])
    write_shard(tmp_path / "0000.npz", people)
    describe_made_up(people, tmp_path / "0000.npz", visible=visible)
    latents = make_gallery(tmp_path, geometry=geometry, mean=ZERO, spread=ONE, size=100)["latents"].float().numpy()
    distance = np.abs(latents[:, None] - people.coarse[None]).mean(2)
    kept = set(distance.argmin(1).tolist())
    usual = {n for n in range(20) if abs(12 * people.coarse[n, 0]) < 28}
    assert kept & set(np.flatnonzero(poor).tolist()) == set()
    assert kept >= usual - set(np.flatnonzero(poor).tolist())
