from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_face import drawn_mesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from painted_skin import LIGHT_SKIN, SIZE

from g2face_model.masks import face_width, fusion_mask, lens_mask, lips_mask, mouth_mask, mouth_opening, outline_mask
from g2face_model.types import FaceMesh, Floats

NO_GLASSES = np.zeros((SIZE, SIZE), np.float32)


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return drawn_mesh(SIZE)


def test_outline_holds_the_face_and_nothing_else(mesh: FaceMesh) -> None:
    mask = outline_mask(mesh, SIZE)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) > {0.0, 1.0}  # smooth at the rim
    for vertex in (4, 33, 263, 61, 291, 105, 334):
        x, y = mesh.points[vertex, :2].round().astype(int)
        assert mask[y, x] == 1
    assert mask.sum() == pytest.approx(face_width(mesh) ** 2, rel=0.03)
    left, top = np.floor(mesh.points[:468, :2].min(0)).astype(int)
    assert not mask[:, : left - 1].any()
    assert not mask[: top - 1].any()


def test_outline_grows_over_the_forehead_only(mesh: FaceMesh) -> None:
    plain, raised = outline_mask(mesh, SIZE), outline_mask(mesh, SIZE, forehead=0.3)
    brows = int(mesh.points[168, 1])
    assert np.array_equal(plain[brows + 2 :], raised[brows + 2 :])
    assert (raised >= plain - 1e-6).all()
    top = mesh.points[10, 1]
    height = mesh.points[168, 1] - top
    assert np.flatnonzero(raised.max(1))[0] == pytest.approx(top - 0.3 * height, abs=1.5)


def test_face_width_grows_with_the_face_and_not_with_its_tilt(mesh: FaceMesh) -> None:
    width = face_width(mesh)
    assert face_width(replace(mesh, points=mesh.points * np.float32(3))) == pytest.approx(3 * width, rel=1e-4)
    tilt = np.float32([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    assert face_width(replace(mesh, points=mesh.points @ tilt.T)) == pytest.approx(width, rel=1e-4)


def _patches(seed: int) -> Floats:
    """A mask (96, 96) of a few soft blobs."""
    noise = np.random.default_rng(seed).normal(size=(96, 96)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 12)
    return np.clip(0.5 + smooth / smooth.std(), 0, 1).astype(np.float32)


@settings(max_examples=40)
@given(seeds=st.tuples(*[st.integers(0, 10_000)] * 4), width_px=st.floats(5, 120))
def test_mask_never_leaves_what_may_be_replaced(seeds: tuple[int, int, int, int], width_px: float) -> None:
    *layers, glasses = (_patches(seed) for seed in seeds)
    mask = fusion_mask(*layers, glasses=glasses, width_px=width_px)
    assert mask.shape == (96, 96)
    assert mask.min() >= 0
    assert mask.max() <= 1
    replaceable, pasteable, outline = layers
    assert not mask[
        (np.maximum(replaceable, glasses) <= 0.3) | (glasses >= 0.5) | (pasteable <= 0.6) | (outline == 0)
    ].any()
    assert (mask <= outline + 1e-6).all()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_mask_is_empty_where_any_layer_forbids(which: int, mesh: FaceMesh) -> None:
    layers = [outline_mask(mesh, SIZE)] * 3
    assert fusion_mask(*layers, glasses=NO_GLASSES, width_px=90).max() > 0.99
    layers[which] = np.zeros((SIZE, SIZE), np.float32)
    assert not fusion_mask(*layers, glasses=NO_GLASSES, width_px=90).any()


def test_mask_is_whole_inside_and_soft_at_the_edge(mesh: FaceMesh) -> None:
    outline, width = outline_mask(mesh, SIZE), face_width(mesh)
    everywhere = np.ones((SIZE, SIZE), np.float32)
    mask = fusion_mask(everywhere, everywhere, outline, glasses=NO_GLASSES, width_px=width)
    core = cv2.erode(outline, np.ones((21, 21))) > 0.99
    assert (mask[core] > 0.95).all()
    assert not mask[outline == 0].any()
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.35  # a hard edge steps by 1


def test_mask_bends_around_a_hand(mesh: FaceMesh) -> None:
    outline = outline_mask(mesh, SIZE)
    bare = outline.copy()
    bare[110:, :90] = 0
    everywhere = np.ones((SIZE, SIZE), np.float32)
    mask = fusion_mask(bare, everywhere, outline, glasses=NO_GLASSES, width_px=face_width(mesh))
    assert not mask[110:, :90].any()
    assert mask[80, 80] > 0.95
    assert mask[115, 100] > 0.9


def test_mask_is_full_right_beside_a_frame(mesh: FaceMesh) -> None:
    """A lens is small: were the edge as wide along a frame as along hair, half the original's eye would stay."""
    outline, glasses = outline_mask(mesh, SIZE), NO_GLASSES.copy()
    glasses[60:100:8, 50:140] = 1  # bars, eight px apart
    skin = np.clip(outline - glasses, 0, 1)
    everywhere = np.ones((SIZE, SIZE), np.float32)
    mask = fusion_mask(skin, everywhere, outline, glasses=glasses, width_px=face_width(mesh))
    assert not mask[60:100:8, 50:140].any()
    assert mask[64:100:8, 80:110].min() > 0.95
    wide = fusion_mask(skin, everywhere, outline, glasses=NO_GLASSES, width_px=face_width(mesh))
    assert wide[64:100:8, 80:110].max() < 0.95


def _spectacles(mesh: FaceMesh, *, lens: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """A face with glasses, where the parser sees glasses (lenses and frames), and the frames alone."""
    colours = np.broadcast_to(LIGHT_SKIN, (SIZE, SIZE, 3)).astype(np.float32)
    whole, inner = np.zeros((2, SIZE, SIZE), np.uint8)
    for corners in ((33, 133), (362, 263)):
        ends = mesh.points[list(corners), :2]
        centre, width = ends.mean(0), float(np.linalg.norm(ends[1] - ends[0]))
        for mask, share in ((whole, 1.0), (inner, 0.85)):
            low, high = (np.round(centre + sign * share * width * np.float32([1, 0.7])).astype(int) for sign in (-1, 1))
            mask[low[1] : high[1], low[0] : high[0]] = 1
    frames = (whole - inner).astype(bool)
    colours[inner > 0] = lens
    colours[frames] = 0.05
    return colours, whole.astype(np.float32), frames


def test_a_clear_lens_is_seen_through_but_its_frame_stays(mesh: FaceMesh) -> None:
    colours, glasses, frames = _spectacles(mesh, lens=LIGHT_SKIN)
    found = lens_mask(colours, mesh, glasses)
    assert found[(glasses > 0) & ~frames].min() > 0.9
    assert found[frames].max() < 0.1
    assert not found[glasses == 0].any()


def test_nothing_is_seen_through_a_dark_lens(mesh: FaceMesh) -> None:
    colours, glasses, _ = _spectacles(mesh, lens=np.float32([0.08, 0.07, 0.06]))
    assert not lens_mask(colours, mesh, glasses).any()


def test_without_glasses_there_is_no_lens(mesh: FaceMesh) -> None:
    colours, _, _ = _spectacles(mesh, lens=LIGHT_SKIN)
    assert not lens_mask(colours, mesh, NO_GLASSES).any()


def opened(mesh: FaceMesh, px: float) -> FaceMesh:
    """The same face with lips `px` apart."""
    points = mesh.points.copy()
    upper, lower = [191, 80, 81, 82, 13, 312, 311, 310, 415], [324, 318, 402, 317, 14, 87, 178, 88, 95]
    middle = (points[78, 1] + points[308, 1]) / 2
    points[upper, 1], points[lower, 1] = middle - px / 2, middle + px / 2
    return replace(mesh, points=points)


def test_the_mouth_is_between_open_lips_alone(mesh: FaceMesh) -> None:
    wide = opened(mesh, 14)
    assert mouth_opening(wide) == pytest.approx(14, rel=1e-3)
    mask, centre = mouth_mask(wide, SIZE), wide.points[[13, 14], :2].mean(0).round().astype(int)
    assert mask[centre[1], centre[0]] > 0.99
    assert mask[centre[1] - 9, centre[0]] == mask[centre[1] + 9, centre[0]] == 0
    assert not mouth_mask(opened(mesh, 0.5), SIZE).any()


def test_the_mouth_opens_without_a_jump(mesh: FaceMesh) -> None:
    strongest = [mouth_mask(opened(mesh, px), SIZE).max() for px in np.arange(0, 12, 0.5)]
    assert strongest[0] == 0
    assert strongest[-1] > 0.99
    assert np.abs(np.diff(strongest)).max() < 0.5


def test_lips_are_covered_to_beyond_their_outline_and_cheeks_are_not(mesh: FaceMesh) -> None:
    mask = lips_mask(mesh, SIZE)
    across, down = mesh.points[[0, 17, 61, 291], :2].round().astype(int).T
    assert mask[down, across].min() > 0.5
    for cheek in mesh.points[[50, 280, 4], :2].round().astype(int):
        assert mask[cheek[1], cheek[0]] < 0.01
