"""The second landmarker on a real face, moved and turned by known amounts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_face import drawn_mesh
from numpy.typing import NDArray
from sample_portraits import portrait

from g2face_model.detection import FaceDetector
from g2face_model.evaluation import landmarker
from g2face_model.evaluation.landmarker import FaceApiLandmarker, interocular, pose
from g2face_model.geometry import GeometryModel
from g2face_model.landmarks import MeshLandmarker, sixty_eight
from g2face_model.types import Box, Image
from g2face_model.weights import WeightStore


@pytest.fixture(scope="module")
def judge(store: WeightStore) -> FaceApiLandmarker:
    return FaceApiLandmarker(store)


@pytest.fixture(scope="module")
def face(store: WeightStore) -> tuple[Image, Box]:
    image = portrait()
    return image, FaceDetector(store, threads=1).detect(image)[0]


def _moved(box: Box, x: float, y: float) -> Box:
    return Box(box.left + x, box.top + y, box.right + x, box.bottom + y, 1.0)


def test_it_agrees_with_the_engines_landmarks_on_an_untouched_face(
    judge: FaceApiLandmarker, face: tuple[Image, Box], store: WeightStore
) -> None:
    image, box = face
    seen = judge.look(image, box)
    assert seen.sure
    mesh = sixty_eight(MeshLandmarker(store).mesh(image, box)).points
    inner = np.linalg.norm(seen.points - mesh, axis=1)[17:].mean()
    assert inner / interocular(mesh) < 0.08  # two annotators' habits differ by about 4 %


def test_a_known_shift_is_seen_as_that_shift(judge: FaceApiLandmarker, face: tuple[Image, Box]) -> None:
    image, box = face
    shifted = np.roll(image, (5, 9), axis=(0, 1))
    first, second = judge.look(image, box), judge.look(shifted, _moved(box, 9, 5))
    assert (second.points - first.points).mean(axis=0) == pytest.approx([9, 5], abs=0.3)


def test_it_does_not_mind_how_exactly_the_box_lies(judge: FaceApiLandmarker, face: tuple[Image, Box]) -> None:
    image, box = face
    first = judge.look(image, box)
    step = 0.05 * box.width
    for x, y in ((step, 0), (-step, step), (0, -step)):
        again = judge.look(image, _moved(box, x, y))
        assert np.linalg.norm(again.points - first.points, axis=1).mean() / interocular(first.points) < 0.015


@pytest.mark.parametrize("degrees", [30, -45, 90])
def test_turned_faces_are_seen_where_they_are_told_to_be(
    judge: FaceApiLandmarker, face: tuple[Image, Box], degrees: float
) -> None:
    image, box = face
    centre = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
    matrix = cv2.getRotationMatrix2D(centre, -degrees, 1.0)  # OpenCV counts against the clock
    turned = np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1]), np.uint8)
    seen = judge.look(turned, box, roll_degrees=degrees)
    expected = judge.look(image, box).points @ matrix[:, :2].T + matrix[:, 2]
    assert seen.sure
    assert np.linalg.norm(seen.points - expected, axis=1).mean() / interocular(seen.points) < 0.03


def test_where_there_is_no_face_it_is_not_sure(judge: FaceApiLandmarker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert not judge.look(noise, Box(40, 40, 160, 160, 1.0)).sure


def _turned(points: NDArray[np.float64], yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """A face in space turned by angles as geometry.angles_of counts them."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    result: NDArray[np.float64] = points @ (about_z @ about_y @ about_x).T
    return result


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (0, -15, 0), (0, 0, 40), (-30, 10, 20)])
def test_the_pose_of_the_mean_face_is_what_it_was_turned_by(store: WeightStore, angles: tuple[float, ...]) -> None:
    mean = GeometryModel.load(store).mean
    points = _turned(landmarker.sixty_eight_in_space(mean), *angles)[:, :2] * 80 + 300
    assert pose(points, mean) == pytest.approx(angles, abs=0.01)


def test_points_in_space_are_those_of_the_layout() -> None:
    mesh = drawn_mesh(256)
    points = landmarker.sixty_eight_in_space(mesh.points[:468].astype(np.float64))
    np.testing.assert_allclose(points[:, :2], sixty_eight(mesh).points, atol=1e-4)
