from __future__ import annotations

import numpy as np

from g2face_model.training.layers import Layer, compose, fill, floats, soft_shade, stroke, strokes
from g2face_model.types import Floats


def _labels(face: Floats) -> Floats:
    return np.dstack([face, np.zeros_like(face), 1 - face])


def test_a_layer_colours_and_relabels_what_it_covers() -> None:
    face, cover = np.zeros((2, 4, 4), np.float32)
    face[:, :2] = 1
    cover[:2] = 1
    picture, labels = compose(
        np.full((4, 4, 3), 200, np.uint8), _labels(face), [Layer(floats([10, 20, 30]), cover, cover)]
    )
    assert (picture[:2] == [10, 20, 30]).all()
    assert (picture[2:] == 200).all()
    assert (labels[:2, :, 2] == 1).all()
    assert (labels[2:, :2, 0] == 1).all()


def test_glasses_count_only_in_front_of_the_face() -> None:
    face, cover = np.zeros((2, 4, 4), np.float32)
    face[:, :2] = 1
    cover[1] = 1
    _, labels = compose(
        np.zeros((4, 4, 3), np.uint8), _labels(face), [Layer(np.zeros(3, np.float32), cover, cover, glasses=True)]
    )
    assert (labels[1, :2, 1] == 1).all()
    assert (labels[1, 2:, 2] == 1).all()
    np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-6)


def test_a_shadow_changes_no_label() -> None:
    face = np.ones((6, 6), np.float32)
    half = np.full((6, 6), 0.5, np.float32)
    picture, labels = compose(
        np.full((6, 6, 3), 100, np.uint8), _labels(face), [Layer(np.zeros(3, np.float32), half, half * 0)]
    )
    assert (picture == 50).all()
    assert (labels[..., 0] == 1).all()


def test_brushes_cover_the_right_area() -> None:
    square = fill(40, floats([[9.5, 9.5], [29.5, 9.5], [29.5, 29.5], [9.5, 29.5]]))
    assert abs(square.sum() - 400) < 20
    assert abs(stroke(40, floats([[5, 20], [34, 20]]), 3.0).sum() - 3 * 33) < 20
    thin = stroke(40, floats([[5, 20], [34, 20]]), 0.35)
    assert 0.1 < thin.max() < 0.7
    cover, tone = strokes(40, [(floats([[5, 20], [34, 20]]), 3.0, 1.4)])
    assert cover[20, 20] == 1
    assert abs(tone[20, 20] - 1.4) < 0.03


def test_a_shade_moves() -> None:
    mask = np.zeros((21, 21), np.float32)
    mask[10, 10] = 1
    moved = soft_shade(mask, (4, -3), blur=0.8)
    assert np.unravel_index(moved.argmax(), moved.shape) == (7, 14)
