from __future__ import annotations

import numpy as np
import pytest
from sample_portraits import portrait

from g2face_model.errors import ModelError
from g2face_model.evaluation import methods
from g2face_model.evaluation.methods import METHODS, Setup, entry, left_out, mosaic, whole
from g2face_model.recognition import RECOGNISERS
from g2face_model.types import Box
from g2face_model.weights import WeightStore


def _seeds(index: int) -> bytes:
    return bytes([index]) * 32


@pytest.fixture(scope="module")
def setup(store: WeightStore) -> Setup:
    return Setup(weights_dir=store.directory)


def test_the_engine_tells_its_stages_and_what_recovery_needs(setup: Setup) -> None:
    image = portrait()
    treatment = entry("g2face").make(setup).anonymize(image, _seeds)
    (face,) = treatment.faces
    assert face.outcome == treatment.replaced[0].verdict.outcome
    assert face.attempts >= 1
    left, top, width, height = face.rectangle
    changed = (treatment.image != image).any(axis=2)
    assert changed[top : top + height, left : left + width].sum() == changed.sum() > 1000
    assert {"detect", "render", "fuse", "judge"} <= treatment.stages.keys()


def test_an_engine_without_one_recogniser_has_no_say_of_it() -> None:
    assert entry("g2face").gate == RECOGNISERS
    alone = entry(left_out("dlib"))
    assert alone.left_out
    assert set(alone.gate) == set(RECOGNISERS) - {"dlib"}


@pytest.mark.parametrize("name", ["oracle", "g2face without oracle", "dlib"])
def test_an_unknown_method_is_said(name: str) -> None:
    with pytest.raises(ModelError, match="there is no method"):
        entry(name)
    assert name not in METHODS


def test_the_engine_is_built_with_the_recognisers_that_are_left(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(methods, "build_parts", lambda config: asked.append(config.recognisers))
    entry(left_out("mobileface")).make(setup)
    assert asked == [("dlib", "faceres")]


def test_pixelation_leaves_ten_squares_across_a_face(setup: Setup) -> None:
    image = portrait()
    treatment = entry("pixelate").make(setup).anonymize(image, _seeds)
    (face,) = treatment.faces
    left, top, width, height = face.rectangle
    window = treatment.image[top : top + height, left : left + width]
    assert len(np.unique(window.reshape(-1, 3), axis=0)) <= 10 * 16
    outside = treatment.image.copy()
    outside[top : top + height, left : left + width] = image[top : top + height, left : left + width]
    np.testing.assert_array_equal(outside, image)
    assert treatment.replaced == ()


def test_a_mosaic_of_a_tiny_face_is_still_one() -> None:
    pixels = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
    assert mosaic(pixels).shape == pixels.shape
    assert mosaic(pixels[:1, :1]).shape == (1, 1, 3)


def test_boxes_that_leave_the_picture_are_cut() -> None:
    image = np.zeros((50, 60, 3), np.uint8)
    assert whole(Box(-3.5, 10.2, 20.1, 30.0, 1.0), image) == (0, 10, 21, 20)
    assert whole(Box(55.0, 45.0, 90.0, 90.0, 1.0), image) == (55, 45, 5, 5)
    for box in (Box(-20, -20, -10, -10, 1.0), Box(100, 100, 120, 120, 1.0)):
        left, top, width, height = whole(box, image)
        assert 0 <= left < left + width <= 60
        assert 0 <= top < top + height <= 50
