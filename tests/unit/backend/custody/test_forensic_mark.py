"""The mark is seen by nobody, found in what was saved and cut, and not found where it is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from backend.custody import forensic_mark
from g2face_model import images
from g2face_model.types import Image

GOLDEN = [
    [-1, -1, 1, 1, 0, -2, -2, -1],
    [-3, -3, -1, 0, 0, -1, -1, -1],
    [-3, -4, -2, 0, 0, 0, 0, 0],
    [-1, -1, 0, 1, 1, 1, 2, 2],
]
REQUESTS = [f"{number:032x}" for number in range(40)]
MINE = REQUESTS[23]


def scene(height: int = 420, width: int = 560, *, seed: int = 0) -> Image:
    """Something like a photograph: light, edges, texture of several sizes and a camera's noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    image = 110 + 60 * np.sin(columns / 97) + 40 * np.cos(rows / 61)
    for size in (4, 8, 16, 32):
        coarse = random.normal(0, size / 3, (height // size + 1, width // size + 1))
        image += np.kron(coarse, np.ones((size, size)))[:height, :width]
    image[(rows // 70 + columns // 90) % 2 == 0] += 25
    return np.clip(image[..., None] + random.normal(0, 2, (height, width, 3)), 0, 255).astype(np.uint8)


def oval(
    shape: tuple[int, ...], *, height: int = 190, width: int = 150
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((rows - 210) * 2 / height) ** 2 + ((columns - 260) * 2 / width) ** 2 <= 1


IMAGE = scene()
FACE = oval(IMAGE.shape)
MARKED = forensic_mark.embed(IMAGE, FACE, MINE)


def as_jpeg(image: Image, quality: int) -> Image:
    """As most programs save it, with colour at half the resolution."""
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "JPEG", quality=quality)
    return images.decode(file.getvalue())


def test_nobody_sees_it() -> None:
    difference = MARKED[FACE].astype(float) - IMAGE[FACE]
    assert 10 * np.log10(255**2 / np.mean(difference**2)) > 45
    assert np.abs(difference).max() <= 6


def test_no_other_pixel_is_touched() -> None:
    assert np.array_equal(MARKED[~FACE], IMAGE[~FACE])
    assert np.array_equal(forensic_mark.embed(IMAGE, np.zeros_like(FACE), MINE), IMAGE)


def test_it_is_found_in_the_saved_file() -> None:
    assert forensic_mark.detect(images.decode(images.encode(MARKED, "png")), REQUESTS) == MINE


@pytest.mark.parametrize("quality", [95, 90])
def test_it_is_found_after_jpeg(quality: int) -> None:
    assert forensic_mark.detect(as_jpeg(MARKED, quality), REQUESTS) == MINE
    assert forensic_mark.detect(images.decode(images.encode(MARKED, "jpeg", quality=quality)), REQUESTS) == MINE


@pytest.mark.parametrize("at", [(100, 170), (113, 185), (131, 201)])
def test_it_is_found_in_a_part(at: tuple[int, int]) -> None:
    part = MARKED[at[0] : at[0] + 170, at[1] : at[1] + 140]
    assert forensic_mark.detect(part, REQUESTS) == MINE
    assert forensic_mark.detect(as_jpeg(part, 90), REQUESTS) == MINE


def test_it_is_found_beside_other_peoples_faces_and_on_flat_ground() -> None:
    flat = np.full_like(IMAGE, 128)
    assert forensic_mark.detect(forensic_mark.embed(flat, FACE, MINE), REQUESTS) == MINE
    for white in (0, 255):
        edge = np.full_like(IMAGE, white)
        assert forensic_mark.detect(forensic_mark.embed(edge, FACE, MINE), REQUESTS) == MINE


def test_a_picture_without_a_mark_names_nobody() -> None:
    for seed in range(4):
        assert forensic_mark.detect(scene(seed=seed), REQUESTS) is None
    assert forensic_mark.detect(np.zeros((100, 100, 3), np.uint8), REQUESTS) is None
    assert forensic_mark.detect(np.zeros((1, 1, 3), np.uint8), REQUESTS) is None


def test_another_requests_mark_names_nobody() -> None:
    assert forensic_mark.detect(MARKED, [one for one in REQUESTS if one != MINE]) is None
    assert forensic_mark.detect(MARKED, []) is None


def test_the_mark_is_the_same_for_ever() -> None:
    """What was given out years ago is to be recognised."""
    added = forensic_mark.embed(np.full((4, 8, 3), 100, np.uint8), np.ones((4, 8), np.bool_), "0" * 32)
    assert (added[..., 0].astype(int) - 100).tolist() == GOLDEN


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32))
def test_pictures_of_any_size(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    where = random.random((height, width)) < 0.5
    marked = forensic_mark.embed(image, where, MINE)
    assert np.array_equal(marked[~where], image[~where])
    assert forensic_mark.detect(image, REQUESTS[:3]) is None
