"""The generated group photograph of the demonstration."""

from __future__ import annotations

import numpy as np

from g2face_model.detection import FaceDetector
from g2face_model.group_photo import _PLACES, group_photo
from g2face_model.types import Box
from g2face_model.weights import WeightStore


def test_every_person_is_found_where_they_were_put_and_nobody_else(store: WeightStore) -> None:
    photograph = group_photo(store)
    assert photograph.shape == (1000, 1600, 3)
    boxes = FaceDetector(store, threads=1).detect(photograph)
    assert len(boxes) == len(_PLACES) == 8
    for place in _PLACES:
        assert sum(_holds(box, *place.middle) for box in boxes) == 1
    widths = sorted(box.width for box in boxes)
    assert widths[0] < 90
    assert widths[-1] > 170


def test_it_is_the_same_every_time(store: WeightStore) -> None:
    assert np.array_equal(group_photo(store), group_photo(store))


def _holds(box: Box, x: float, y: float) -> bool:
    return box.left < x < box.right and box.top < y < box.bottom
