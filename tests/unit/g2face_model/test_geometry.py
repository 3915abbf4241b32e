from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from g2face_model.errors import WeightsError
from g2face_model.geometry import LIPS, SURFACE, GeometryModel, angles_of, fit_model, rigid_fit
from g2face_model.types import FaceGeometry, FaceMesh, Floats
from g2face_model.weights import WeightStore

Points = NDArray[np.float64]
NOSE = 4
SMILE: Floats = np.array([0, 0, 0, 0.9, 0, 0, 0.1], np.float32)

degrees = st.floats(-180, 180)
tilts = st.floats(-80, 80)
scales = st.floats(0.01, 500)
shifts = st.tuples(*[st.floats(-5000, 5000)] * 3).map(np.array)
rotations = st.tuples(degrees, degrees, degrees).map(lambda a: Rotation.from_euler("xyz", a, degrees=True).as_matrix())


@pytest.fixture(scope="module")
def model(store: WeightStore) -> GeometryModel:
    return GeometryModel.load(store)


def _turned(yaw: float, pitch: float, roll: float) -> Points:
    """Rotation (3, 3) by pitch about x, then yaw about y, then roll about z."""
    return Rotation.from_euler("xyz", [pitch, yaw, roll], degrees=True).as_matrix()


def _mesh(points: Points) -> FaceMesh:
    """A mesh with this surface and irises anywhere."""
    return FaceMesh(np.concatenate([points, np.full((10, 3), 7.0)]).astype(np.float32), score=1.0)


def _derive(model: GeometryModel, mesh: FaceMesh) -> FaceGeometry:
    return model.derive(mesh, SMILE)


def _shape(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.8, 80).astype(np.float32)


@given(rotation=rotations, scale=scales, shift=shifts)
def test_rigid_fit_finds_a_known_motion(rotation: Points, scale: float, shift: Points) -> None:
    source = np.random.default_rng(0).normal(size=(20, 3))
    target = scale * source @ rotation.T + shift
    found = rigid_fit(source, target)
    assert found[0] == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(found[1], rotation, atol=1e-6)
    np.testing.assert_allclose(found[2], shift, atol=1e-6 * (scale + 5000))


def test_rigid_fit_does_not_mirror() -> None:
    source = np.random.default_rng(0).normal(size=(20, 3))
    _, rotation, _ = rigid_fit(source, source * [-1, 1, 1])
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_rigid_fit_is_the_best_of_its_neighbours() -> None:
    random = np.random.default_rng(1)
    source = random.normal(size=(30, 3))
    target = 2 * source @ _turned(20, -10, 5).T + [1, 2, 3] + random.normal(0, 0.3, (30, 3))
    scale, rotation, shift = rigid_fit(source, target)

    def error(scale: float, rotation: Points, shift: Points) -> float:
        return float(((scale * source @ rotation.T + shift - target) ** 2).sum())

    best = error(scale, rotation, shift)
    for sign in (-1, 1):
        assert best < error(scale * (1 + sign * 0.01), rotation, shift)
        for axis in np.eye(3):
            assert best < error(scale, rotation, shift + sign * 0.01 * axis)
            assert best < error(scale, Rotation.from_rotvec(sign * 0.01 * axis).as_matrix() @ rotation, shift)


@given(yaw=tilts, pitch=degrees, roll=degrees)
def test_angles_are_those_the_rotation_was_made_of(yaw: float, pitch: float, roll: float) -> None:
    found = angles_of(_turned(yaw, pitch, roll)) - [yaw, pitch, roll]
    np.testing.assert_allclose((found + 180) % 360 - 180, 0, atol=1e-6)


def test_angles_point_where_their_names_say(model: GeometryModel) -> None:
    """x runs to the right, y down, z away from the camera, as in a photograph."""
    left = _derive(model, _mesh(model.mean @ _turned(20, 0, 0).T))
    assert left.angles == pytest.approx([20, 0, 0], abs=0.01)
    assert (model.mean @ _turned(20, 0, 0).T)[NOSE, 0] < model.mean[NOSE, 0] - 0.1
    down = model.mean @ _turned(0, 20, 0).T
    assert down[NOSE, 1] > model.mean[NOSE, 1] + 0.1
    assert _derive(model, _mesh(down)).angles == pytest.approx([0, 20, 0], abs=0.01)
    clockwise = model.mean @ _turned(0, 0, 20).T
    assert clockwise[263, 1] > clockwise[33, 1] + 0.2  # the eye on the right has sunk
    assert _derive(model, _mesh(clockwise)).angles == pytest.approx([0, 0, 20], abs=0.01)


def test_the_mean_face_looks_at_the_camera_upright(model: GeometryModel) -> None:
    assert model.mean.shape == (SURFACE, 3)
    eyes = [model.mean[list(corners)].mean(0) for corners in ((33, 133), (362, 263))]
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(1, abs=1e-4)
    assert np.abs((eyes[1] - eyes[0])[1:]).max() < 0.02
    assert model.mean[NOSE, 2] == pytest.approx(model.mean[:, 2].min(), abs=0.1)
    assert model.mean[10, 1] < model.mean[NOSE, 1] < model.mean[152, 1]


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), yaw=tilts, pitch=tilts, roll=tilts, scale=st.floats(20, 2000), shift=shifts)
def test_shape_does_not_depend_on_where_and_how_the_face_is_held(
    model: GeometryModel, seed: int, yaw: float, pitch: float, roll: float, scale: float, shift: Points
) -> None:
    face = model.face(_shape(seed))
    here = _derive(model, _mesh(face))
    moved = _mesh(scale * face @ _turned(yaw, pitch, roll).T + shift)
    there = _derive(model, moved)
    # float32 px: a face of 20 px at 5,000 px from the corner is known to a 40,000th of its size
    np.testing.assert_allclose(there.shape, here.shape, atol=max(0.01, 60 / scale * 0.02))
    turn = _turned(yaw, pitch, roll) @ _turned(*here.angles)
    np.testing.assert_allclose(_turned(*there.angles), turn, atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_coefficients_survive_a_round_trip(model: GeometryModel, seed: int) -> None:
    """Drawn coefficients may ask for a slightly larger face, which the fit takes out; those of a mesh do not."""
    drawn = model.face(_shape(seed))
    shape = _derive(model, _mesh(drawn)).shape
    again = _derive(model, _mesh(500 * model.face(shape) + 300))
    assert np.abs(shape).max() > 1
    np.testing.assert_allclose(again.shape, shape, atol=0.06)
    assert np.abs(again.angles).max() < 0.5
    np.testing.assert_allclose(model.face(shape), drawn, atol=0.03)


def test_condition_holds_pose_in_units_of_thirty_degrees_then_shape_then_expression(model: GeometryModel) -> None:
    geometry = _derive(model, _mesh(model.face(_shape(1)) @ _turned(30, 15, -30).T))
    assert geometry.condition.shape == (90,)
    assert geometry.condition.dtype == np.float32
    assert geometry.condition[:3] == pytest.approx(geometry.angles / 30)
    assert np.array_equal(geometry.condition[3:83], geometry.shape)
    assert np.array_equal(geometry.condition[83:], SMILE)


@given(a=st.integers(0, 1000), b=st.integers(0, 1000))
def test_metric_measures_how_far_vertices_move(model: GeometryModel, a: int, b: int) -> None:
    difference = _shape(a).astype(float) - _shape(b)
    squares = ((model.face(_shape(a)) - model.face(_shape(b))) ** 2).sum(1)
    measured = difference @ model.metric() @ difference
    assert squares.min() <= measured <= squares.max() + 1e-12
    assert measured == pytest.approx(squares.mean(), rel=0.6, abs=1e-9)


def test_metric_minds_the_lips_most(model: GeometryModel) -> None:
    """Of two differences that move the vertices equally far on average, the one that moves the lips counts for more."""
    moves = model.components.reshape(80, SURFACE, 3) * model.spreads[:, None, None]
    squares = (moves**2).sum(2)
    share = squares[:, list(LIPS)].mean(1) / squares.mean(1)
    counted = np.diag(model.metric()) / squares.mean(1)
    assert counted[share.argmax()] > 1.3
    assert counted[share.argmax()] > counted[share.argmin()]


@pytest.fixture(scope="module")
def planted() -> tuple[Points, Points, Points]:
    """A made-up mean face, two ways for faces to differ, and 60 posed meshes that differ so."""
    random = np.random.default_rng(0)
    plain = random.normal(size=(SURFACE, 3)) * [0.8, 1.0, 0.4]
    for left, right in zip((33, 133, 61, 234, 127, 105, 172), (263, 362, 291, 454, 356, 334, 397), strict=True):
        plain[left, 0], plain[right] = -abs(plain[left, 0]) - 0.1, plain[left] * [-1, 1, 1]
        plain[right, 0] = -plain[left, 0]
    plain[10], plain[152] = [0, -1.5, 0], [0, 1.5, 0]
    ways = np.linalg.qr(random.normal(size=(SURFACE * 3, 2)))[0].T
    weights = random.normal(size=(60, 2)) * [3.0, 1.0]
    faces = plain + (weights @ ways).reshape(-1, SURFACE, 3)
    posed = [
        random.uniform(50, 200) * face @ _turned(*random.uniform(-30, 30, 3)).T + random.uniform(0, 1000, 3)
        for face in faces
    ]
    return plain, ways, np.stack(posed)


def test_fitting_recovers_how_faces_differ(planted: tuple[Points, Points, Points]) -> None:
    _, ways, meshes = planted
    model = fit_model(meshes, components=2)
    np.testing.assert_allclose(model.components @ model.components.T, np.eye(2), atol=1e-8)
    # The same plane of differences: each planted way lies in the span of the components, less what a rigid motion eats.
    captured = np.linalg.norm(model.components @ ways.T, axis=0)
    assert (captured > 0.97).all()
    assert model.spreads[0] > 2 * model.spreads[1] > 0


def test_fitted_mean_is_frontal_and_of_unit_eye_distance(planted: tuple[Points, Points, Points]) -> None:
    plain, _, meshes = planted
    mean = fit_model(meshes, components=2).mean
    eyes = [mean[list(corners)].mean(0) for corners in ((33, 133), (362, 263))]
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(1)
    scale, rotation, _ = rigid_fit(plain, mean)
    assert math.degrees(Rotation.from_matrix(rotation).magnitude()) < 3
    assert scale > 0


def test_fitted_coefficients_have_unit_spread(planted: tuple[Points, Points, Points]) -> None:
    model = fit_model(planted[2], components=2)
    shapes = np.stack([_derive(model, _mesh(mesh)).shape for mesh in planted[2]])
    np.testing.assert_allclose(np.sqrt((shapes**2).mean(0)), 1, atol=0.05)


def test_without_the_part_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="geometry"):
        GeometryModel.load(WeightStore(tmp_path, parts={}, trained=tmp_path))
