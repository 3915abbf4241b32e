from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_face import drawn_mesh
from painted_skin import DARK_SKIN, LIGHT_SKIN, SIZE, skin

from g2face_model.light import match_chroma, relight, soften
from g2face_model.masks import outline_mask
from g2face_model.types import Floats


@pytest.fixture(scope="module")
def weight() -> Floats:
    return outline_mask(drawn_mesh(SIZE), SIZE)


def _contrast(colours: Floats, weight: Floats) -> float:
    """Spread of the brightness within the face, relative to its mean."""
    inside = colours.mean(2)[weight > 0.99]
    return float(inside.std() / inside.mean())


@pytest.mark.parametrize("colour", [LIGHT_SKIN, DARK_SKIN])
def test_relighting_by_its_own_light_changes_nothing(weight: Floats, colour: Floats) -> None:
    picture = skin(colour, 0)
    np.testing.assert_allclose(relight(picture, picture, weight, width_px=90), picture, atol=1e-4)


def test_relighting_turns_light_skin_dark_and_keeps_its_contrast(weight: Floats) -> None:
    generated, original = skin(LIGHT_SKIN, 0), skin(DARK_SKIN, 1)
    lit = relight(generated, original, weight, width_px=90)
    inside = weight > 0.99
    # exp(1.2) is as far as it goes; the tone must come at least that near.
    assert lit[inside].mean(0) == pytest.approx(np.maximum(DARK_SKIN, LIGHT_SKIN * np.exp(-1.25)), rel=0.2)
    # An added offset would leave a spread of 0.07 on a mean of 0.25: three times what skin has, chalk on black.
    assert _contrast(lit, weight) == pytest.approx(_contrast(generated, weight), rel=0.3)
    assert _contrast(generated - generated[inside].mean(0) + lit[inside].mean(0), weight) > 2.5 * _contrast(lit, weight)


@pytest.mark.parametrize("colour", [LIGHT_SKIN, DARK_SKIN])
def test_relighting_moves_the_tone_onto_the_original(weight: Floats, colour: Floats) -> None:
    near = np.clip(colour * np.float32([1.5, 1.3, 1.2]), 0, 0.95).astype(np.float32)
    original = skin(colour, 1)
    lit = relight(skin(near, 0), original, weight, width_px=90)
    inside = weight > 0.99
    np.testing.assert_allclose(lit[inside].mean(0), original[inside].mean(0), rtol=0.03)


def test_relighting_follows_light_from_one_side(weight: Floats) -> None:
    shade = np.linspace(0.5, 1.0, SIZE, dtype=np.float32)[None, :, None]
    lit = relight(skin(LIGHT_SKIN, 0), skin(LIGHT_SKIN, 1) * shade, weight, width_px=90)
    rows = slice(SIZE // 2 - 20, SIZE // 2 + 20)
    left, right = (float(lit[rows, x - 6 : x + 6].mean()) for x in (70, 122))
    assert right / left == pytest.approx(float(shade[0, 122, 0] / shade[0, 70, 0]), rel=0.06)


def test_relighting_takes_no_light_from_outside_the_face(weight: Floats) -> None:
    """A white wall or black hair beside the face must not show on it."""
    generated, original = skin(LIGHT_SKIN, 0), skin(DARK_SKIN, 1)
    wall = np.where(weight[..., None] > 0, original, np.float32(1))
    results = [relight(generated, beside, weight, width_px=90) for beside in (original, wall)]
    np.testing.assert_allclose(results[0][weight > 0], results[1][weight > 0], atol=1e-4)


def test_relighting_stays_in_range_whatever_the_photograph(weight: Floats) -> None:
    for original in (np.zeros((SIZE, SIZE, 3), np.float32), np.ones((SIZE, SIZE, 3), np.float32)):
        for generated in (1 - original, skin(DARK_SKIN, 0)):
            lit = relight(generated, original, weight, width_px=90)
            assert np.isfinite(lit).all()
            assert lit.min() >= 0
            assert lit.max() <= 1


def _coloured_face() -> Floats:
    """Skin with a red mouth and green eyes."""
    picture = skin(LIGHT_SKIN, 0)
    picture[120:135, 75:117] = [0.8, 0.15, 0.2]
    picture[80:88, 60:75] = picture[80:88, 117:132] = [0.1, 0.6, 0.3]
    return picture


def test_a_grey_photograph_gets_a_grey_face(weight: Floats) -> None:
    original = np.repeat(skin(LIGHT_SKIN, 1).mean(2, keepdims=True), 3, 2)
    lit = relight(_coloured_face(), original, weight, width_px=90)
    inside = weight > 0.99
    assert np.ptp(_coloured_face()[inside], axis=1).max() > 0.4
    assert np.ptp(lit[inside], axis=1).max() < 2 / 255
    assert lit[inside].mean(1).std() > 0.03  # grey, not blank


def test_a_sepia_photograph_gets_a_sepia_face(weight: Floats) -> None:
    sepia = np.float32([1.0, 0.85, 0.65])
    original = np.repeat(skin(LIGHT_SKIN, 1).mean(2, keepdims=True), 3, 2) * sepia
    lit = relight(_coloured_face(), original, weight, width_px=90)
    wanted = sepia / sepia.mean()
    for part in (slice(122, 133), slice(77, 115)), (slice(82, 86), slice(62, 73)):  # mouth, eye
        before, after = (
            np.abs(x[part] / x[part].mean(2, keepdims=True) - wanted).max() for x in (_coloured_face(), lit)
        )
        assert after < 0.4 * before


def test_colours_are_muted_never_boosted(weight: Floats) -> None:
    colourful, plain = _coloured_face(), skin(LIGHT_SKIN, 1)
    assert match_chroma(plain, colourful, weight) is plain
    muted = match_chroma(colourful, plain, weight)
    assert np.ptp(muted[125, 95]) < 0.5 * np.ptp(colourful[125, 95])


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_soften_makes_the_face_no_sharper_than_the_photograph(weight: Floats, sigma: float) -> None:
    generated = np.random.default_rng(0).uniform(0.4, 0.6, (SIZE, SIZE, 3)).astype(np.float32)
    original = np.asarray(cv2.GaussianBlur(generated[::-1].copy(), (0, 0), sigma), np.float32)

    def sharpness(picture: Floats) -> float:
        return float(np.abs(np.diff(picture.mean(2), axis=1))[weight[:, 1:] > 0.99].mean())

    softened = soften(generated, original, weight)
    assert sharpness(softened) < 1.5 * sharpness(original) < sharpness(generated)
    assert sharpness(softened) > 0.4 * sharpness(original)  # nor blurred for nothing


def test_soften_leaves_a_face_alone_that_is_soft_enough(weight: Floats) -> None:
    generated, original = skin(LIGHT_SKIN, 0), np.random.default_rng(0).random((SIZE, SIZE, 3), np.float32)
    assert soften(generated, original, weight) is generated


def test_soften_compares_within_the_face(weight: Floats) -> None:
    """A sharp background says nothing about the face's focus."""
    generated = np.random.default_rng(0).uniform(0.4, 0.6, (SIZE, SIZE, 3)).astype(np.float32)
    smooth = np.full_like(generated, 0.5)
    behind = np.where(cv2.dilate(weight, np.ones((15, 15)))[..., None] > 0, smooth, generated)
    assert np.array_equal(soften(generated, behind, weight), soften(generated, smooth, weight))
