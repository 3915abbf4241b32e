"""What people wear on a face, drawn along its mesh: flat, made up, and not to be taken for photographs of the thing.

Each function draws on a picture (H, W, 3) in place, for a mesh in px of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2face_model.types import FaceMesh, Image

_MASK = (  # along the jaw from ear to ear, and back over the cheeks and the bridge of the nose
    323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 50, 197, 280,
)  # fmt: skip
_EYES = ((33, 133), (263, 362))  # outer and inner corner
_EARS = (127, 356)  # where the temples of glasses end
_MASK_COLOURS = ((235, 240, 245), (150, 190, 215), (40, 40, 45))
_FRAME, _LENS = (30, 25, 25), (20, 20, 25)
_RADIUS, _THICK = 0.8, 0.12  # of a lens and of a frame, over the eye's width
_FOLD = 0.85  # of the mask's light, in its folds
_FINE = 4  # binary places of a px


def mask(image: Image, mesh: FaceMesh, random: np.random.Generator) -> None:
    """A mask over mouth, nose and chin, of one of three colours."""
    points = mesh.points[:, :2]
    colour = np.array(_MASK_COLOURS[int(random.integers(len(_MASK_COLOURS)))], np.float64)
    cv2.fillPoly(image, [_fine(points[list(_MASK)])], colour.tolist(), lineType=cv2.LINE_AA, shift=_FINE)
    thick = max(1, round(0.02 * _distance(points[93], points[323])))
    for above, below in ((1, 2), (2, 1)):  # folds from cheek to cheek, at a third and two thirds of the way down
        ends = [(above * points[top] + below * points[low]) / 3 for top, low in ((50, 150), (4, 152), (280, 379))]
        _line(image, ends, (colour * _FOLD).tolist(), thick)


def glasses(image: Image, mesh: FaceMesh, random: np.random.Generator) -> None:  # noqa: ARG001
    """Dark round frames with clear lenses."""
    _glasses(image, mesh, filled=False)


def sunglasses(image: Image, mesh: FaceMesh, random: np.random.Generator) -> None:  # noqa: ARG001
    """Round frames with black lenses."""
    _glasses(image, mesh, filled=True)


def _glasses(image: Image, mesh: FaceMesh, *, filled: bool) -> None:
    points = mesh.points[:, :2].astype(np.float64)
    inner = []
    for (outer_corner, inner_corner), ear in zip(_EYES, _EARS, strict=True):
        centre = (points[outer_corner] + points[inner_corner]) / 2
        outwards = points[outer_corner] - points[inner_corner]
        width = max(float(np.linalg.norm(outwards)), 1.0)
        middle, radius = _fine(centre), round(_RADIUS * width * 2**_FINE)
        thick = max(1, round(_THICK * width))
        if filled:
            cv2.circle(image, middle.tolist(), radius, _LENS, cv2.FILLED, cv2.LINE_AA, _FINE)
        cv2.circle(image, middle.tolist(), radius, _FRAME, thick, cv2.LINE_AA, _FINE)
        _line(image, [centre + outwards * _RADIUS, points[ear]], _FRAME, thick)
        inner.append(centre - outwards * _RADIUS)
    _line(image, inner, _FRAME, thick)


def _line(image: Image, points: Sequence[NDArray[Any]], colour: Sequence[float], thick: int) -> None:
    cv2.polylines(image, [_fine(np.stack(points))], False, colour, thick, cv2.LINE_AA, _FINE)


def _fine(points: ArrayLike) -> NDArray[np.int32]:
    return np.asarray(np.round(np.asarray(points, np.float64) * 2**_FINE), np.int32)


def _distance(a: ArrayLike, b: ArrayLike) -> float:
    return float(np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64)))
