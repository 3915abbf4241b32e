from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_face import drawn_mesh
from hypothesis import given, settings
from hypothesis import strategies as st

from g2face_model.alignment import square_matrix, transform
from g2face_model.compositing import Patch, cover, paste
from g2face_model.types import Box, FaceMesh, Floats, Image

SIZE = 64
centres = st.tuples(st.floats(-20, 220), st.floats(-20, 170))


def _photograph(seed: int = 0, height: int = 150, width: int = 200) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _disc(radius: float = 24) -> Floats:
    """A soft disc (SIZE, SIZE) in 0..1 that ends inside the crop."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.clip((radius - np.hypot(x, y)) / 6, 0, 1).astype(np.float32)


def _white() -> Floats:
    return np.ones((SIZE, SIZE, 3), np.float32)


def _here(photograph: Image, patch: Patch) -> Floats:
    """The patch's mask in px of the photograph."""
    whole = np.zeros(photograph.shape[:2], bool)
    whole[patch.window] = patch.mask
    return whole


@settings(max_examples=60)
@given(centre=centres, side=st.floats(20, 300), angle=st.floats(-3, 3))
def test_pasting_touches_nothing_outside_its_mask(centre: tuple[float, float], side: float, angle: float) -> None:
    photograph = _photograph()
    before = photograph.copy()
    patch = paste(photograph, _white(), _disc(), matrix=square_matrix(centre, side, angle, size=SIZE))
    assert np.array_equal(photograph, before)  # until it is applied
    left, top, width, height = patch.rectangle
    assert left >= 0
    assert top >= 0
    assert left + width <= 200
    assert top + height <= 150
    assert patch.pixels.shape == (height, width, 3)
    assert patch.mask.shape == (height, width)
    patch.apply(photograph)
    mask = _here(photograph, patch)
    assert np.array_equal(photograph[~mask], before[~mask])
    # and nothing beyond the disc's own circle, with two px for the interpolation
    y, x = np.nonzero(mask)
    if len(x):
        reach = np.hypot(x - centre[0], y - centre[1]).max()
        assert reach <= 24 * side / SIZE + 2 * max(1, side / SIZE)


def test_pasted_pixels_are_the_crops_where_the_mask_is_full() -> None:
    photograph = _photograph()
    patch = paste(photograph, _white(), _disc(), matrix=square_matrix((100, 75), 64, 0.0, size=SIZE))
    patch.apply(photograph)
    y, x = np.mgrid[:150, :200]
    distance = np.hypot(x - 100, y - 75)
    assert (photograph[distance < 17] == 255).all()
    assert not _here(photograph, patch)[distance > 26].any()


def test_half_a_mask_blends_halfway() -> None:
    photograph = np.full((150, 200, 3), 100, np.uint8)
    half = np.where(_disc() == 1, np.float32(0.5), _disc() / 2)
    patch = paste(photograph, _white(), half, matrix=square_matrix((100, 75), 64, 0.2, size=SIZE))
    patch.apply(photograph)
    assert photograph[75, 100] == pytest.approx([178, 178, 178], abs=1)


def test_a_crop_lands_where_it_was_cut() -> None:
    """A dot drawn at a crop pixel appears at that pixel's place in the photograph."""
    matrix = square_matrix((110.3, 60.7), 100, 0.5, size=SIZE)
    crop = np.zeros((SIZE, SIZE, 3), np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    crop += np.exp(-((x - 40) ** 2 + (y - 25) ** 2) / 8)[..., None].astype(np.float32)
    photograph = np.zeros((150, 200, 3), np.uint8)
    paste(photograph, crop, _disc(30), matrix=matrix).apply(photograph)
    light = photograph[..., 0].astype(float)
    y, x = np.mgrid[:150, :200]
    found = np.array([(x * light).sum(), (y * light).sum()]) / light.sum()
    back = transform(found[None], matrix)[0]
    assert back == pytest.approx([40, 25], abs=0.3)


def test_an_empty_mask_changes_nothing() -> None:
    photograph = _photograph()
    before = photograph.copy()
    patch = paste(
        photograph, _white(), np.zeros((SIZE, SIZE), np.float32), matrix=square_matrix((0, 75), 64, 0, size=64)
    )
    assert not patch.mask.any()
    patch.apply(photograph)
    assert np.array_equal(photograph, before)


@pytest.mark.parametrize("centre", [(0, 0), (199, 149), (0, 75), (100, 149), (-500, -500), (900, 75)])
def test_faces_at_and_beyond_the_border_stay_inside(centre: tuple[int, int]) -> None:
    photograph = _photograph()
    patch = paste(photograph, _white(), _disc(), matrix=square_matrix(centre, 80, 0.3, size=SIZE))
    left, top, width, height = patch.rectangle
    assert 0 <= left < left + width <= 200
    assert 0 <= top < top + height <= 150
    y, x = np.mgrid[:150, :200]
    inside = np.hypot(x - centre[0], y - centre[1]) < 15
    assert _here(photograph, patch)[inside].all()


def test_without_gives_up_what_another_face_has() -> None:
    photograph = _photograph()
    patch = paste(photograph, _white(), _disc(), matrix=square_matrix((100, 75), 64, 0, size=SIZE))
    taken = np.zeros((150, 200), bool)
    taken[:, 100:] = True
    rest = patch.without(taken)
    assert np.array_equal(_here(photograph, rest), _here(photograph, patch) & ~taken)
    assert rest.mask.any()
    before = photograph.copy()
    rest.apply(photograph)
    assert np.array_equal(photograph[:, 100:], before[:, 100:])
    assert not patch.without(np.ones((150, 200), bool)).mask.any()


def _noise(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@functools.cache
def _smooth() -> Image:
    """A picture with structure at every scale and room for noise."""
    noise = np.random.default_rng(7).normal(size=(300, 400, 3)).astype(np.float32)
    layers = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1, 4, 16))
    return np.clip(127 + 20 * layers, 40, 215).astype(np.uint8)


boxes = st.tuples(st.floats(-40, 380), st.floats(-40, 280), st.floats(4, 200), st.floats(4, 200)).map(
    lambda b: Box(b[0], b[1], b[0] + b[2], b[1] + b[3], 1.0)
)


@settings(max_examples=60)
@given(box=boxes)
def test_cover_hides_every_pixel_of_the_box(box: Box) -> None:
    photograph = _smooth()
    patch = cover(photograph, box, None, noise=_noise())
    covered = photograph.copy()
    patch.apply(covered)
    mask = _here(photograph, patch)
    y, x = np.mgrid[:300, :400]
    inside = (x >= box.left) & (x <= box.right) & (y >= box.top) & (y <= box.bottom)
    assert mask[inside].all()
    assert np.array_equal(covered[~mask], photograph[~mask])


def test_cover_hides_the_mesh_where_it_leaves_the_box() -> None:
    photograph = _smooth()
    drawn = drawn_mesh(200)
    mesh = FaceMesh(drawn.points + np.float32([120, 60, 0]), 1.0)
    patch = cover(photograph, Box(200, 150, 240, 190, 1.0), mesh, noise=_noise())
    x, y = mesh.points[:, :2].round().astype(int).T
    assert _here(photograph, patch)[y, x].all()


@pytest.mark.parametrize("box", [Box(120, 80, 240, 220, 1.0), Box(-60, 80, 60, 220, 1.0), Box(340, 240, 460, 380, 1.0)])
def test_cover_keeps_a_handful_of_colours(box: Box) -> None:
    """Six blocks across the covered area, and no more for the part of a face that the picture's border leaves."""
    photograph = _smooth()
    patch = cover(photograph, box, None, noise=_noise())
    assert len(np.unique(patch.pixels.reshape(-1, 3), axis=0)) <= 36
    across = 1.5 * box.width / 6
    changes = np.flatnonzero((patch.pixels[:, 1:] != patch.pixels[:, :-1]).any((0, 2)))
    assert np.diff([0, *changes, patch.pixels.shape[1]]).min() >= 0.7 * across
    down = 1.5 * box.height / 6
    changes = np.flatnonzero((patch.pixels[1:] != patch.pixels[:-1]).any((1, 2)))
    assert np.diff([0, *changes, patch.pixels.shape[0]]).min() >= 0.7 * down


def test_cover_does_not_even_keep_the_averages() -> None:
    photograph, box = _smooth(), Box(120, 80, 240, 220, 1.0)
    one, same, two = (cover(photograph, box, None, noise=_noise(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.pixels, same.pixels)
    plain = photograph[one.window].astype(float)
    rows, columns = (np.linspace(0, n, 7).round().astype(int) for n in plain.shape[:2])
    errors = []
    for patch in (one, two):
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(columns):
                middle = patch.pixels[(top + bottom) // 2, (left + right) // 2].astype(float)
                errors.append((middle - plain[top:bottom, left:right].mean((0, 1))).mean())
    assert 15 < np.std(errors) < 35
    assert np.abs(one.pixels.astype(float) - two.pixels).mean() > 10


def test_covering_tells_two_people_apart_no_more() -> None:
    """What differs finely between two faces is gone; what is left of their difference drowns in the noise."""
    photograph, box = _smooth(), Box(120, 80, 240, 220, 1.0)
    other = photograph.copy()
    fine = _photograph(3, 300, 400).astype(int) - 128
    other[80:220, 120:240] = np.clip(photograph[80:220, 120:240] + fine[80:220, 120:240] // 2, 0, 255)
    assert np.abs(other[80:220, 120:240].astype(int) - photograph[80:220, 120:240]).mean() > 25
    one, two = (cover(face, box, None, noise=_noise(1)).pixels.astype(int) for face in (photograph, other))
    assert np.abs(one - two).mean() < 6


def test_patches_are_values() -> None:
    patch = Patch((0, 0, 1, 1), np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), bool))
    with pytest.raises(AttributeError):
        patch.rectangle = (1, 1, 1, 1)  # type: ignore[misc]
    assert replace(patch, rectangle=(2, 3, 1, 1)).window == (slice(3, 4), slice(2, 3))
