from __future__ import annotations

import numpy as np
import pytest
from sample_portraits import portrait

from g2face_model.errors import ModelError
from g2face_model.evaluation import deface, methods
from g2face_model.evaluation.methods import METHODS, Setup, changed_places, entry, left_out, mosaic, whole
from g2face_model.evaluation.observer import Observer, found_again
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


def test_what_was_changed_is_found() -> None:
    before = np.zeros((100, 120, 3), np.uint8)
    after = before.copy()
    after[10:40, 20:60:2] = 9  # not every pixel of a place need be another one
    after[70:90, 90:110, 2] = 1
    after[5, 100] = 255  # a speck
    assert sorted(changed_places(before, after)) == [(20, 10, 39, 30), (90, 70, 20, 20)]
    assert changed_places(before, before) == []


@pytest.mark.skipif(deface.find() is None, reason="needs the command deface")
def test_the_blurring_tool_covers_the_face_that_our_detector_finds(setup: Setup) -> None:
    image = portrait()
    treatment = entry("deface-blur").make(setup).anonymize(image, _seeds)
    (face,) = treatment.faces
    (found,) = Observer(WeightStore(setup.weights_dir), (), threads=1).boxes(image)
    assert found_again(found, [face.box])
    assert treatment.seconds is not None


def test_a_blurring_tool_that_is_missing_is_said(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deface, "find", lambda: None)
    with pytest.raises(ModelError, match="not installed"):
        entry("deface-blur").make(setup)
