import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2face_model.alignment import (
    compose,
    crop_size,
    extract,
    ffhq_matrix,
    into_crop,
    invert,
    resized,
    scale_of,
    square_matrix,
    transform,
    warp,
)
from g2face_model.types import Crop, FaceMesh

coordinates = st.floats(-2000, 2000)
angles = st.floats(-math.pi, math.pi)
sides = st.floats(5, 3000)


def _face(eye_left, eye_right, mouth_left, mouth_right):
    """68 points of which only eyes and mouth corners matter to the alignment."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[48], points[54] = eye_left, eye_right, mouth_left, mouth_right
    return points


UPRIGHT = _face((80, 100), (120, 100), (85, 140), (115, 140))


@given(x=coordinates, y=coordinates, side=sides, angle=angles, size=st.integers(16, 512))
def test_transform_and_invert_round_trip(x, y, side, angle, size):
    matrix = square_matrix((x, y), side, angle, size=size)
    points = np.array([[0.0, 0.0], [x, y], [123.25, -7.5]])
    assert np.allclose(transform(transform(points, matrix), invert(matrix)), points, atol=1e-6)
    assert np.allclose(compose(invert(matrix), matrix), [[1, 0, 0], [0, 1, 0]], atol=1e-7)


@given(x=coordinates, y=coordinates, side=sides, angle=angles, size=st.integers(16, 512))
def test_square_fills_the_crop_to_its_outer_edges(x, y, side, angle, size):
    matrix = square_matrix((x, y), side, angle, size=size)
    along = np.array([math.cos(angle), math.sin(angle)]) * side / 2
    down = np.array([-along[1], along[0]])
    corners = np.stack([-along - down, along - down, along + down]) + np.array([x, y])
    edge = size - 0.5
    assert np.allclose(transform(corners, matrix), [[-0.5, -0.5], [edge, -0.5], [edge, edge]], atol=1e-6)
    assert scale_of(matrix) == pytest.approx(size / side)


def test_ffhq_square_of_an_upright_face_follows_the_recipe():
    # Eyes 40 apart at (100, 100), mouth 40 below: half side max(40 * 2.0, 40 * 1.8) = 80, centre a tenth down.
    matrix = ffhq_matrix(UPRIGHT, 256)
    assert crop_size(UPRIGHT) == pytest.approx(160)
    assert np.allclose(transform([[100, 104]], matrix), [[127.5, 127.5]])
    assert np.allclose(transform([[20, 24], [180, 184]], matrix), [[-0.5, -0.5], [255.5, 255.5]])


def test_ffhq_square_of_a_long_face_takes_the_mouth_distance():
    points = _face((90, 100), (110, 100), (95, 180), (105, 180))
    assert crop_size(points) == pytest.approx(2 * 80 * 1.8)


@given(angle=angles, scale=st.floats(0.2, 5), x=coordinates, y=coordinates)
def test_ffhq_crop_moves_with_the_face(angle, scale, x, y):
    motion = square_matrix((x, y), 100 / scale, angle, size=100)
    original, moved = ffhq_matrix(UPRIGHT, 128), ffhq_matrix(transform(UPRIGHT, motion), 128)
    assert np.allclose(compose(moved, motion), original, atol=1e-5)


def _ramp(height, width):
    """An image whose channels are linear in x and y: bilinear sampling and area means of it are exact."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x, y, x + y], axis=2)


@pytest.mark.parametrize("side", [40.0, 64.0, 90.0, 150.0, 300.0, 377.0])
@pytest.mark.parametrize("angle", [0.0, 0.3, 2.0, -1.5])
def test_warp_keeps_pixel_centres_at_any_scale(side, angle):
    matrix = square_matrix((300.25, 299.5), side, angle, size=64)
    result = warp(_ramp(600, 600), matrix, (64, 64))
    y, x = np.mgrid[:64, :64]
    expected = transform(np.stack([x.ravel(), y.ravel()], axis=1), invert(matrix)).reshape(64, 64, 2)
    error = result[..., :2] - expected
    # An area mean takes source pixels for flat squares: its centre jitters by parts of a px, but does not lean.
    assert np.abs(error).max() < 0.07 * max(1, side / 64)
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.003


def test_shrinking_by_a_whole_number_is_the_block_mean():
    image = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    matrix = square_matrix((159.5, 159.5), 320, 0.0, size=64)
    blocks = image.reshape(64, 5, 64, 5, 3).mean(axis=(1, 3))
    assert np.abs(warp(image, matrix, (64, 64)) - blocks).max() <= 1


@pytest.mark.parametrize("side", [128.0, 201.0, 333.0])
def test_shrinking_a_checkerboard_leaves_no_moire(side):
    y, x = np.mgrid[:400, :400]
    board = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    result = warp(board, square_matrix((200, 200), side, 0.2, size=64), (64, 64)).astype(float)
    assert result.mean() == pytest.approx(127.5, abs=1.5)
    assert result.std() < 26  # plain bilinear sampling: 40 to 90


def test_warp_reaches_beyond_the_picture():
    image = np.full((50, 50, 3), 200, np.uint8)
    far = square_matrix((25, 25), 200, 0.4, size=64)
    assert (warp(image, far, (64, 64)) == 200).all()
    outside = warp(image, far, (64, 64), border=cv2.BORDER_CONSTANT)
    assert (outside == 0).mean() > 0.8
    away = warp(image, square_matrix((900, 900), 200, 0.0, size=64), (64, 64), border=cv2.BORDER_CONSTANT)
    assert not away.any()


def test_extract_gives_pixels_and_their_matrix():
    image = np.random.default_rng(1).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    crop = extract(image, UPRIGHT, 160)
    assert crop.size == 160
    assert crop.pixels.dtype == np.uint8
    # At the natural size this upright crop is a plain cut: left edge 20, top edge 24, in whole px from 20.5 on.
    assert np.allclose(crop.matrix, [[1, 0, -20.5], [0, 1, -24.5]])


def test_a_mesh_follows_its_face_into_the_crop_depth_included():
    mesh = FaceMesh(np.array([[10, 20, 3], [30, 20, -6]], np.float32), 0.9)
    matrix = square_matrix((20, 20), 40, 0.0, size=80)
    moved = into_crop(mesh, Crop(np.zeros((80, 80, 3), np.uint8), matrix))
    assert np.allclose(moved.points[:, :2], transform(mesh.points[:, :2], matrix))
    assert moved.points[:, 2].tolist() == [6, -12]  # twice the size, twice the depth
    assert moved.score == mesh.score


def test_a_mesh_keeps_its_place_in_a_picture_of_another_size():
    corners = np.array([[-0.5, -0.5, 1], [63.5, 31.5, 2]], np.float32)
    assert resized(FaceMesh(corners, 1.0), 4).points.tolist() == [[-0.5, -0.5, 4], [255.5, 127.5, 8]]
