from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_face import drawn_mesh
from painted_skin import LIGHT_SKIN, SIZE, skin

from g2face_model.fusion import deform, lay_out_mouth, reshape
from g2face_model.types import FaceMesh, Floats
from g2face_model.verification import landmark_nme


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return drawn_mesh(SIZE)


@pytest.fixture(scope="module")
def other() -> FaceMesh:
    """Another face, smaller and off centre."""
    shape = np.random.default_rng(5).normal(0, 0.7, 80).astype(np.float32)
    drawn = drawn_mesh(SIZE, shape=shape, eyes_px=42)
    return replace(drawn, points=drawn.points + np.float32([5, -4, 0]))


def _blob(size: int, point: Floats, sigma: float) -> Floats:
    """A soft white dot (size, size, 3) around a point."""
    y, x = np.mgrid[:size, :size]
    dot = np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * sigma**2))
    return np.repeat(dot[..., None], 3, 2).astype(np.float32)


def _centre(image: Floats) -> Floats:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    light = image[..., 0].astype(float) ** 2
    return np.array([(x * light).sum(), (y * light).sum()], np.float32) / light.sum()


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
    picture, within = skin(LIGHT_SKIN, 0), slice(3, -3)  # the coarse grid does not reach the last two px
    moved = deform(picture, mesh, mesh, size=SIZE)
    np.testing.assert_allclose(moved[within, within], picture[within, within], atol=0.01)


def test_deform_carries_further_layers_along(mesh: FaceMesh, other: FaceMesh) -> None:
    layers = np.concatenate([skin(LIGHT_SKIN, 0), _blob(SIZE, mesh.points[4], 3)[..., :1]], 2)
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
    picture = skin(LIGHT_SKIN, 0)
    results = [deform(picture, replace(mesh, points=p), mesh, size=SIZE) for p in (points, stray)]
    assert np.array_equal(*results) != follows


def test_deform_ignores_an_iris_that_left_its_eye(mesh: FaceMesh) -> None:
    one, two = mesh.points.copy(), mesh.points.copy()
    one[468:473, 1] -= 30
    two[468:473, 1] -= 40
    picture = skin(LIGHT_SKIN, 0)
    results = [deform(picture, replace(mesh, points=points), mesh, size=SIZE) for points in (one, two)]
    assert np.array_equal(*results)


def laughing(mesh: FaceMesh, *, px: float) -> FaceMesh:
    """The same face with lips `px` apart."""
    points = mesh.points.copy()
    points[[191, 80, 81, 82, 13, 312, 311, 310, 415], 1] = points[[78, 308], 1].mean() - px / 2
    points[[324, 318, 402, 317, 14, 87, 178, 88, 95], 1] = points[[78, 308], 1].mean() + px / 2
    return replace(mesh, points=points)


def test_teeth_come_where_the_original_shows_them_and_their_gaps_do_not(mesh: FaceMesh) -> None:
    wide = laughing(mesh, px=20)
    x, y = wide.points[[13, 14], :2].mean(0).round().astype(int)
    original = skin(LIGHT_SKIN, 0, contrast=0.02)
    original[y - 9 : y, x - 20 : x + 20] = 0.9  # teeth above
    original[y : y + 9, x - 20 : x + 20] = 0.1  # dark below
    original[y - 9 : y, x - 1 : x + 1] = 0.2  # a gap that everybody knows
    generated = skin(LIGHT_SKIN, 1, contrast=0.02)
    laid_out = lay_out_mouth(generated, original, wide)
    assert laid_out[y - 5, x - 8].mean() > 2.5 * laid_out[y + 5, x - 8].mean()
    assert laid_out[y - 5, x].mean() > 0.6 * laid_out[y - 5, x - 8].mean()
    outside = np.ones((SIZE, SIZE), bool)
    outside[y - 11 : y + 12] = False
    assert np.array_equal(laid_out[outside], generated[outside])


def test_closed_lips_stay_as_they_were_generated(mesh: FaceMesh) -> None:
    generated = skin(LIGHT_SKIN, 1)
    assert lay_out_mouth(generated, 1 - generated, laughing(mesh, px=0.5)) is generated
