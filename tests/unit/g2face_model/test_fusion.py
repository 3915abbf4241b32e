from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_face import drawn_mesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from g2face_model.fusion import (
    deform,
    face_width,
    foreign_shade,
    fusion_mask,
    lens_mask,
    lost_detail,
    match_chroma,
    outline_mask,
    relight,
    reshape,
    soften,
)
from g2face_model.types import FaceMesh, Floats
from g2face_model.verification import landmark_nme

SIZE = 192
LIGHT_SKIN, DARK_SKIN = np.float32([0.85, 0.68, 0.60]), np.float32([0.16, 0.10, 0.075])


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return drawn_mesh(SIZE)


@pytest.fixture(scope="module")
def other() -> FaceMesh:
    """Another face, smaller and off centre."""
    shape = np.random.default_rng(5).normal(0, 0.7, 80).astype(np.float32)
    drawn = drawn_mesh(SIZE, shape=shape, eyes_px=42)
    return replace(drawn, points=drawn.points + np.float32([5, -4, 0]))


@pytest.fixture(scope="module")
def weight(mesh: FaceMesh) -> Floats:
    return outline_mask(mesh, SIZE)


def _blob(size: int, point: Floats, sigma: float) -> Floats:
    """A soft white dot (size, size, 3) around a point."""
    y, x = np.mgrid[:size, :size]
    dot = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))
    return np.repeat(dot[..., None], 3, 2).astype(np.float32)


def _centre(image: Floats) -> Floats:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    light = image[..., 0].astype(float) ** 2
    return np.array([(x * light).sum(), (y * light).sum()], np.float32) / light.sum()


def _skin(colour: Floats, seed: int, *, contrast: float = 0.1) -> Floats:
    """Skin (SIZE, SIZE, 3) with structure of a few px: brighter and darker by `contrast`, all channels alike."""
    structure = np.random.default_rng(seed).normal(size=(SIZE, SIZE)).astype(np.float32)
    structure = cv2.GaussianBlur(structure, (0, 0), 2)
    return np.clip(colour * (1 + contrast * structure / structure.std())[..., None], 0, 1).astype(np.float32)


def _contrast(colours: Floats, weight: Floats) -> float:
    """Spread of the brightness within the face, relative to its mean."""
    inside = colours.mean(2)[weight > 0.99]
    return float(inside.std() / inside.mean())


@pytest.mark.parametrize("amount", [0.004, 0.01])
def test_reshape_moves_landmarks_just_so_far(mesh: FaceMesh, other: FaceMesh, amount: float) -> None:
    assert landmark_nme(mesh, other) > 0.05
    moved = reshape(mesh, other, amount=amount)
    assert landmark_nme(mesh, moved) == pytest.approx(amount, rel=1e-3)
    assert np.array_equal(reshape(mesh, mesh, amount=amount).points, mesh.points)


def test_reshape_takes_shape_alone(mesh: FaceMesh, other: FaceMesh) -> None:
    """A face of the same shape elsewhere, of another size and turned, asks for nothing."""
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    elsewhere = replace(mesh, points=(1.3 * mesh.points @ turn.T + [40, -10, 5]).astype(np.float32))
    assert landmark_nme(mesh, reshape(mesh, elsewhere, amount=0.01)) < 1e-3
    moved, moved_too = (
        reshape(mesh, replace(other, points=p.astype(np.float32)), amount=0.01)
        for p in (other.points, other.points @ turn.T * 0.7 + 20)
    )
    np.testing.assert_allclose(moved.points, moved_too.points, atol=0.02)


def test_reshape_goes_six_tenths_of_the_way_at_most(mesh: FaceMesh, other: FaceMesh) -> None:
    far = reshape(mesh, other, amount=9.0)
    assert landmark_nme(mesh, far) == pytest.approx(landmark_nme(mesh, reshape(mesh, other, amount=99.0)))
    again = reshape(far, other, amount=9.0)  # six tenths of the four that are left
    assert landmark_nme(far, again) == pytest.approx(landmark_nme(mesh, far) * 0.4, rel=0.1)


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("vertex", [4, 33, 263, 61, 291, 152, 10, 234, 468, 473])
def test_deform_takes_landmarks_where_the_original_has_them(
    mesh: FaceMesh, other: FaceMesh, vertex: int, ratio: int
) -> None:
    """Nose, corners of eyes and mouth, chin, top, ear, irises; rendered at crop size and at twice that."""
    source = replace(mesh, points=mesh.points * np.float32(ratio) + np.float32([ratio / 2 - 0.5] * 2 + [0]))
    generated = _blob(SIZE * ratio, source.points[vertex], 2.0 * ratio)
    moved = deform(generated, source, other, size=SIZE)
    assert moved.shape == (SIZE, SIZE, 3)
    assert np.linalg.norm(mesh.points[vertex, :2] - other.points[vertex, :2]) > 1.5  # there was something to move
    # Between differently shaped triangles a dot becomes lopsided, at the outline most.
    assert np.linalg.norm(_centre(moved) - other.points[vertex, :2]) < 1.0


def test_deform_onto_itself_changes_nothing(mesh: FaceMesh) -> None:
    picture, within = _skin(LIGHT_SKIN, 0), slice(3, -3)  # the coarse grid does not reach the last two px
    moved = deform(picture, mesh, mesh, size=SIZE)
    np.testing.assert_allclose(moved[within, within], picture[within, within], atol=0.01)


def test_deform_carries_further_layers_along(mesh: FaceMesh, other: FaceMesh) -> None:
    layers = np.concatenate([_skin(LIGHT_SKIN, 0), _blob(SIZE, mesh.points[4], 3)[..., :1]], 2)
    moved = deform(layers, mesh, other, size=SIZE)
    assert moved.shape == (SIZE, SIZE, 4)
    assert np.linalg.norm(_centre(moved[..., 3:]) - other.points[4, :2]) < 0.5


@pytest.mark.parametrize(("open_px", "follows"), [(6.0, True), (1.0, False)])
def test_deform_trusts_irises_of_open_eyes_alone(mesh: FaceMesh, open_px: float, follows: bool) -> None:
    """Where lids are closed the landmarker still gives an iris, somewhere."""
    points = mesh.points.copy()
    middle = points[[159, 145], 1].mean()
    points[159, 1], points[145, 1] = middle - open_px / 2, middle + open_px / 2
    stray = points.copy()
    stray[468:473, 0] += 4
    picture = _skin(LIGHT_SKIN, 0)
    results = [deform(picture, replace(mesh, points=p), mesh, size=SIZE) for p in (points, stray)]
    assert np.array_equal(*results) != follows


def test_deform_ignores_an_iris_that_left_its_eye(mesh: FaceMesh) -> None:
    one, two = mesh.points.copy(), mesh.points.copy()
    one[468:473, 1] -= 30
    two[468:473, 1] -= 40
    picture = _skin(LIGHT_SKIN, 0)
    results = [deform(picture, replace(mesh, points=points), mesh, size=SIZE) for points in (one, two)]
    assert np.array_equal(*results)


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


@pytest.mark.parametrize("colour", [LIGHT_SKIN, DARK_SKIN])
def test_relighting_by_its_own_light_changes_nothing(weight: Floats, colour: Floats) -> None:
    picture = _skin(colour, 0)
    np.testing.assert_allclose(relight(picture, picture, weight, width_px=90), picture, atol=1e-4)


def test_relighting_turns_light_skin_dark_and_keeps_its_contrast(weight: Floats) -> None:
    generated, original = _skin(LIGHT_SKIN, 0), _skin(DARK_SKIN, 1)
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
    original = _skin(colour, 1)
    lit = relight(_skin(near, 0), original, weight, width_px=90)
    inside = weight > 0.99
    np.testing.assert_allclose(lit[inside].mean(0), original[inside].mean(0), rtol=0.03)


def test_relighting_follows_light_from_one_side(weight: Floats) -> None:
    shade = np.linspace(0.5, 1.0, SIZE, dtype=np.float32)[None, :, None]
    lit = relight(_skin(LIGHT_SKIN, 0), _skin(LIGHT_SKIN, 1) * shade, weight, width_px=90)
    rows = slice(SIZE // 2 - 20, SIZE // 2 + 20)
    left, right = (float(lit[rows, x - 6 : x + 6].mean()) for x in (70, 122))
    assert right / left == pytest.approx(float(shade[0, 122, 0] / shade[0, 70, 0]), rel=0.06)


def test_relighting_takes_no_light_from_outside_the_face(weight: Floats) -> None:
    """A white wall or black hair beside the face must not show on it."""
    generated, original = _skin(LIGHT_SKIN, 0), _skin(DARK_SKIN, 1)
    wall = np.where(weight[..., None] > 0, original, np.float32(1))
    results = [relight(generated, beside, weight, width_px=90) for beside in (original, wall)]
    np.testing.assert_allclose(results[0][weight > 0], results[1][weight > 0], atol=1e-4)


def test_relighting_stays_in_range_whatever_the_photograph(weight: Floats) -> None:
    for original in (np.zeros((SIZE, SIZE, 3), np.float32), np.ones((SIZE, SIZE, 3), np.float32)):
        for generated in (1 - original, _skin(DARK_SKIN, 0)):
            lit = relight(generated, original, weight, width_px=90)
            assert np.isfinite(lit).all()
            assert lit.min() >= 0
            assert lit.max() <= 1


def _coloured_face() -> Floats:
    """Skin with a red mouth and green eyes."""
    picture = _skin(LIGHT_SKIN, 0)
    picture[120:135, 75:117] = [0.8, 0.15, 0.2]
    picture[80:88, 60:75] = picture[80:88, 117:132] = [0.1, 0.6, 0.3]
    return picture


def test_a_grey_photograph_gets_a_grey_face(weight: Floats) -> None:
    original = np.repeat(_skin(LIGHT_SKIN, 1).mean(2, keepdims=True), 3, 2)
    lit = relight(_coloured_face(), original, weight, width_px=90)
    inside = weight > 0.99
    assert np.ptp(_coloured_face()[inside], axis=1).max() > 0.4
    assert np.ptp(lit[inside], axis=1).max() < 2 / 255
    assert lit[inside].mean(1).std() > 0.03  # grey, not blank


def test_a_sepia_photograph_gets_a_sepia_face(weight: Floats) -> None:
    sepia = np.float32([1.0, 0.85, 0.65])
    original = np.repeat(_skin(LIGHT_SKIN, 1).mean(2, keepdims=True), 3, 2) * sepia
    lit = relight(_coloured_face(), original, weight, width_px=90)
    wanted = sepia / sepia.mean()
    for part in (slice(122, 133), slice(77, 115)), (slice(82, 86), slice(62, 73)):  # mouth, eye
        before, after = (
            np.abs(x[part] / x[part].mean(2, keepdims=True) - wanted).max() for x in (_coloured_face(), lit)
        )
        assert after < 0.4 * before


def test_colours_are_muted_never_boosted(weight: Floats) -> None:
    colourful, plain = _coloured_face(), _skin(LIGHT_SKIN, 1)
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
    generated, original = _skin(LIGHT_SKIN, 0), np.random.default_rng(0).random((SIZE, SIZE, 3), np.float32)
    assert soften(generated, original, weight) is generated


def test_soften_compares_within_the_face(weight: Floats) -> None:
    """A sharp background says nothing about the face's focus."""
    generated = np.random.default_rng(0).uniform(0.4, 0.6, (SIZE, SIZE, 3)).astype(np.float32)
    smooth = np.full_like(generated, 0.5)
    behind = np.where(cv2.dilate(weight, np.ones((15, 15)))[..., None] > 0, smooth, generated)
    assert np.array_equal(soften(generated, behind, weight), soften(generated, smooth, weight))


NO_GLASSES = np.zeros((SIZE, SIZE), np.float32)


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


def test_a_blurred_face_has_lost_detail_and_a_sharper_one_has_not(weight: Floats) -> None:
    sharp = _skin(LIGHT_SKIN, 0)
    sharp[80:84, 60:130] = 0.1
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 2.0), np.float32)
    assert lost_detail(soft, sharp, weight) > 0.4
    assert lost_detail(sharp, soft, weight) == 0
    assert lost_detail(sharp, sharp, weight) == pytest.approx(0, abs=1e-6)


def test_a_shadow_of_its_own_is_foreign_and_plain_darkness_is_not(weight: Floats) -> None:
    original = _skin(LIGHT_SKIN, 0)
    shadow = original.copy()
    shadow[:, : SIZE // 2] *= 0.6
    assert foreign_shade(original * np.float32(0.7), original, weight, width_px=90) < 0.02
    assert foreign_shade(shadow, original, weight, width_px=90) > 0.15
