from __future__ import annotations

import numpy as np
import pytest

from g2face_model.evaluation.seams import seam

_RECTANGLE = (20, 20, 40, 40)


def _smooth() -> np.ndarray:
    return np.repeat(np.linspace(60, 180, 80).astype(np.uint8)[None, :, None], 80, axis=0).repeat(3, axis=2)


def test_a_hard_edge_is_seen_and_a_soft_one_is_not() -> None:
    original = _smooth()
    hard, soft = original.astype(np.float64), original.astype(np.float64)
    hard[20:60, 20:60] += 40
    y, x = np.mgrid[:80, :80]
    away = np.minimum.reduce([x - 20, 59 - x, y - 20, 59 - y])
    soft += (np.clip(away / 12, 0, 1) * 40)[..., None]
    steps = [seam(original, image.round().astype(np.uint8), _RECTANGLE) for image in (hard, soft)]
    assert steps[0] is not None
    assert steps[1] is not None
    assert steps[0] > 8
    assert steps[1] < 3


def test_an_edge_that_the_original_has_there_is_no_seam() -> None:
    original = _smooth()
    original[20:60, 20:60] //= 2
    changed = original.copy()
    changed[20:60, 20:60] += 1
    assert seam(original, changed, _RECTANGLE) == pytest.approx(0.0, abs=1.0)


def test_nothing_changed_no_seam() -> None:
    assert seam(_smooth(), _smooth(), _RECTANGLE) is None


def test_changes_at_the_pictures_edge_are_measured() -> None:
    changed = _smooth()
    changed[:10, :10] = 255
    assert seam(_smooth(), changed, (0, 0, 10, 10)) is not None
