"""Photograph <-> Crop: similarity matrices and resampling. Pixel centres lie on whole numbers everywhere.

A matrix is (2, 3) float64 and maps (x, y, 1) to (x', y'). A crop of side S covers [-0.5, S - 0.5] on both axes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2face_model.types import Crop, FaceMesh, Image

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]
Pixel = TypeVar("Pixel", np.uint8, np.float32)

_AREA_BELOW = 0.8  # scale under which plain bilinear sampling starts to skip source pixels


def transform(points: ArrayLike, matrix: Matrix) -> Points:
    """Points (N, 2) px -> (N, 2) float64 under a (2, 3) matrix."""
    result: Points = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return result


def invert(matrix: Matrix) -> Matrix:
    """The (2, 3) matrix of the opposite direction."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The (2, 3) matrix that applies `inner` first, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def scale_of(matrix: Matrix) -> float:
    """Crop px per photograph px of a similarity; the geometric mean of both axes for any other matrix."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def square_matrix(centre: ArrayLike, side_px: float, angle: float, *, size: int) -> Matrix:
    """Similarity that fills a crop of `size` px with the square of `side_px` around `centre`, whose upper edge points
    along `angle` (radians, clockwise on screen)."""
    factor = size / side_px
    cos, sin = math.cos(angle) * factor, math.sin(angle) * factor
    linear = np.array([[cos, sin], [-sin, cos]])
    middle = (size - 1) / 2
    return np.column_stack([linear, middle - linear @ np.asarray(centre, np.float64)])


def ffhq_matrix(points68: ArrayLike, size: int) -> Matrix:
    """Similarity photograph -> crop of `size` px, from the 68 iBUG points (68, 2).

    The alignment recipe of FFHQ (Karras, Laine and Aila, "A style-based generator architecture for generative
    adversarial networks", 2019, appendix A): the crop's axis bisects the line of the eyes and the perpendicular of the
    line from eyes to mouth; its half side is max(2.0 eye distance, 1.8 eye-to-mouth distance); its centre lies a
    tenth of the way from the eyes to the mouth.
    """
    centre, axis = _ffhq_square(points68)
    return square_matrix(centre, 2 * math.hypot(*axis), math.atan2(axis[1], axis[0]), size=size)


def crop_size(points68: ArrayLike) -> float:
    """Side in photograph px of the FFHQ crop of these 68 points: the crop size that neither shrinks nor enlarges."""
    return 2 * math.hypot(*_ffhq_square(points68)[1])


def _ffhq_square(points68: ArrayLike) -> tuple[Points, Points]:
    """Centre and half-side vector (image left to right along the eyes) of the FFHQ square."""
    points = np.asarray(points68, np.float64)
    eye_left, eye_right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes = (eye_left + eye_right) / 2
    eye_to_eye = eye_right - eye_left
    eye_to_mouth = (points[48] + points[54]) / 2 - eyes
    axis = eye_to_eye - np.array([-eye_to_mouth[1], eye_to_mouth[0]])
    axis *= max(math.hypot(*eye_to_eye) * 2.0, math.hypot(*eye_to_mouth) * 1.8) / math.hypot(*axis)
    return eyes + eye_to_mouth * 0.1, axis


def extract(image: Image, points68: ArrayLike, size: int) -> Crop:
    """The FFHQ crop (size, size, 3) uint8 of a face; what lies outside the photograph is mirrored in."""
    matrix = ffhq_matrix(points68, size)
    return Crop(pixels=warp(image, matrix, (size, size)), matrix=matrix)


def into_crop(mesh: FaceMesh, crop: Crop) -> FaceMesh:
    """A mesh in px of the photograph -> in px of the crop."""
    planar = transform(mesh.points[:, :2], crop.matrix)
    depth = mesh.points[:, 2:] * scale_of(crop.matrix)
    return replace(mesh, points=np.concatenate([planar, depth], 1).astype(np.float32))


def resized(mesh: FaceMesh, ratio: float) -> FaceMesh:
    """A mesh in px of one picture -> in px of the same picture at `ratio` times its size."""
    points = mesh.points * np.float32(ratio)
    points[:, :2] += np.float32(0.5 * ratio - 0.5)
    return replace(mesh, points=points)


def warp(
    image: NDArray[Pixel], matrix: Matrix, shape: tuple[int, int], *, border: int = cv2.BORDER_REFLECT_101
) -> NDArray[Pixel]:
    """Resample `image` (H, W) or (H, W, C), uint8 or float32, into `shape` (height, width); matrix: image -> result.

    Enlarging is bilinear. Shrinking averages the area that each result pixel covers, so no source pixel is skipped.
    """
    scale = scale_of(matrix)
    if scale < _AREA_BELOW:
        image, to_small = _shrink(image, _window(image, matrix, shape), scale)
        matrix = compose(matrix, invert(to_small))
    size = (shape[1], shape[0])
    return cast("NDArray[Pixel]", cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border))


def _window(image: NDArray[Pixel], matrix: Matrix, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part (left, top, right, bottom) of the image that the result can touch, with one result px to spare."""
    height, width = shape
    corners = np.array([[-1, -1], [width, -1], [width, height], [-1, height]])
    around = transform(corners, invert(matrix))
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(around.min(axis=0)), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(around.max(axis=0)) + 1, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _shrink(image: NDArray[Pixel], window: tuple[int, int, int, int], scale: float) -> tuple[NDArray[Pixel], Matrix]:
    """Area-average a window of the image to about `scale`; also the exact matrix image px -> px of the result."""
    left, top, right, bottom = window
    part = np.ascontiguousarray(image[top:bottom, left:right])
    to_small = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    # Whole-number block means are many times faster than fractional ones, so they take the largest part of the way.
    for factor in (1 / math.floor(1 / scale), None):
        height, width = part.shape[:2]
        wanted = factor or scale / scale_of(to_small)
        small_width, small_height = max(1, round(width * wanted)), max(1, round(height * wanted))
        if factor and factor < 1:
            block = round(1 / factor)
            part, width, height = _pad(part, block)
            small_width, small_height = width // block, height // block
        part = cast("NDArray[Pixel]", cv2.resize(part, (small_width, small_height), interpolation=cv2.INTER_AREA))
        fx, fy = small_width / width, small_height / height
        to_small = compose(np.array([[fx, 0, fx / 2 - 0.5], [0, fy, fy / 2 - 0.5]]), to_small)
    return part, to_small


def _pad(part: NDArray[Pixel], block: int) -> tuple[NDArray[Pixel], int, int]:
    """Repeat the last row and column until both sides are multiples of `block`; also the new width and height."""
    height, width = part.shape[:2]
    down, right = -height % block, -width % block
    if down or right:
        part = cast("NDArray[Pixel]", cv2.copyMakeBorder(part, 0, down, 0, right, cv2.BORDER_REPLICATE))
    return part, width + right, height + down
