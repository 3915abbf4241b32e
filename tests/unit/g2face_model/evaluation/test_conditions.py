from __future__ import annotations

import numpy as np
import pytest

from g2face_model.evaluation.conditions import CONDITIONS, moved
from g2face_model.types import Box


def test_as_it_is_nothing_changes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    found = CONDITIONS["as-is"](image, (), np.random.default_rng(0))
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.matrix, np.eye(2, 3))


def test_boxes_move_and_grow_with_the_picture_but_stay_upright() -> None:
    box = Box(10, 20, 30, 50, 0.5)
    half_and_turned = np.array([[0.0, -0.5, 100.0], [0.5, 0.0, 0.0]])
    found = moved(box, half_and_turned)
    assert (found.left, found.top, found.right, found.bottom) == pytest.approx((77.5, 2.5, 87.5, 17.5))
    assert found.score == 0.5
