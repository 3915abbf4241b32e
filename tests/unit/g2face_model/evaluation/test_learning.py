from __future__ import annotations

import numpy as np
import pytest

from g2face_model.evaluation import learning
from g2face_model.evaluation.learning import Learner, kernel_ridge, network, ridge

_GROUPS = [str(number) for number in range(80)]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("size", [5, 300])
def test_what_is_linear_is_learned(size: int, random: np.random.Generator) -> None:
    inner = random.standard_normal((80, 4))
    inputs = inner @ random.standard_normal((4, size))
    targets = inner @ random.standard_normal((4, 3)) + 7
    np.testing.assert_allclose(ridge(inputs[:60], targets[:60], inputs[60:]), targets[60:], atol=0.05)


def test_a_kernel_learns_what_is_not_linear(random: np.random.Generator) -> None:
    inputs = random.uniform(-2, 2, (400, 1))
    found = kernel_ridge(inputs[:300], np.abs(inputs[:300]), inputs[300:])
    assert np.abs(found - np.abs(inputs[300:])).mean() < 0.05


def test_a_network_points_where_the_targets_point(random: np.random.Generator) -> None:
    inputs = random.standard_normal((200, 8))
    targets = inputs @ random.standard_normal((8, 6))
    found = network(inputs[:160], targets[:160], inputs[160:])
    cosines = (
        (found * targets[160:]).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(targets[160:], axis=1)
    )
    assert cosines.mean() > 0.9
    np.testing.assert_array_equal(found, network(inputs[:160], targets[:160], inputs[160:]))


def test_a_group_is_never_on_both_sides() -> None:
    fold = learning.folds(["a", "b", "a", "c", "b", "d", "e", "f"])
    assert fold[0] == fold[2]
    assert fold[1] == fold[4]
    assert set(fold) == set(range(5))


@pytest.mark.parametrize("learner", [ridge, kernel_ridge])
def test_sets_apart_are_told_apart_and_equal_ones_are_not(learner: Learner, random: np.random.Generator) -> None:
    first = random.standard_normal((80, 6))
    assert learning.told_apart(learner, first, first + 6 * np.eye(6)[0], _GROUPS) >= 158
    assert learning.told_apart(learner, first, first.copy(), _GROUPS) == 80
    other = random.standard_normal((80, 6))
    assert 50 < learning.told_apart(learner, first, other, _GROUPS) < 110


def test_nothing_is_predicted_from_nobody_else(random: np.random.Generator) -> None:
    inputs = random.standard_normal((4, 3))
    assert np.isnan(learning.predicted(ridge, inputs, inputs, ["a"] * 4)).all()
