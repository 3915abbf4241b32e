"""Put a changed crop back into its photograph under a soft mask, and cover what could not be anonymized."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from g2face_model.alignment import Matrix, compose, invert, transform, warp
from g2face_model.types import Box, FaceMesh, Floats, Image

_BLOCKS = 6  # a covered face keeps this many blocks across: no recogniser and no eye gets anything from it
_COVER_MARGIN = 0.25  # of the face's size, on every side
_NOISE_LEVELS = 24.0
_VISIBLE = 1 / 512  # a weaker mask could not change any level


@dataclass(frozen=True, slots=True)
class Patch:
    """New pixels for a rectangle (left, top, width, height) of the photograph, and which of them are new."""

    rectangle: tuple[int, int, int, int]
    pixels: Image
    mask: NDArray[np.bool_]

    def without(self, taken: NDArray[np.bool_]) -> Patch:
        """The patch less the pixels of the photograph (H, W) that another face has already claimed."""
        return Patch(self.rectangle, self.pixels, self.mask & ~taken[self.window])

    @property
    def window(self) -> tuple[slice, slice]:
        left, top, width, height = self.rectangle
        return slice(top, top + height), slice(left, left + width)

    def apply(self, photograph: Image) -> None:
        """Write the new pixels into the photograph."""
        photograph[self.window][self.mask] = self.pixels[self.mask]


def paste(photograph: Image, crop: Floats, alpha: Floats, *, matrix: Matrix) -> Patch:
    """Blend a crop (S, S, 3) in 0..1 over the photograph where alpha (S, S) says so.

    What alpha does not touch stays bit for bit, whatever the crop's resampling would have done to it.
    """
    rectangle = _covered_rectangle(alpha, matrix, photograph.shape[:2])
    left, top, width, height = rectangle
    back = compose(np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]]), invert(matrix))
    weight = warp(alpha, back, (height, width), border=cv2.BORDER_CONSTANT)[..., None]
    colours = warp(np.ascontiguousarray(crop, np.float32), back, (height, width), border=cv2.BORDER_REPLICATE)
    below = photograph[top : top + height, left : left + width]
    mixed = below * (1 - weight) + colours * (255 * weight)
    return Patch(rectangle, np.clip(np.rint(mixed), 0, 255).astype(np.uint8), weight[..., 0] > _VISIBLE)


def _covered_rectangle(alpha: Floats, matrix: Matrix, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The smallest whole rectangle of the photograph that holds every crop pixel with alpha above 0."""
    rows, columns = np.flatnonzero(alpha.max(1) > 0), np.flatnonzero(alpha.max(0) > 0)
    if not len(rows):
        return 0, 0, 1, 1
    left, right, top, bottom = columns[0] - 1, columns[-1] + 1, rows[0] - 1, rows[-1] + 1
    corners = transform([(left, top), (right, top), (right, bottom), (left, bottom)], invert(matrix))
    return _clip(corners.min(0), corners.max(0), shape)


def _clip(
    low: Floats | NDArray[np.float64], high: Floats | NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    height, width = shape[:2]
    left, top = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
    right, bottom = min(width, math.ceil(high[0]) + 1), min(height, math.ceil(high[1]) + 1)
    return min(left, width - 1), min(top, height - 1), max(right - left, 1), max(bottom - top, 1)


def cover(photograph: Image, box: Box, mesh: FaceMesh | None, *, noise: np.random.Generator) -> Patch:
    """Make a face irreversibly unrecognisable: block averages plus noise, over an ellipse larger than the face.

    Where the photograph ends, ellipse and blocks are cut off, not shrunk: otherwise corners of the face would show
    and its visible part be drawn more finely.
    """
    low, high = np.array([box.left, box.top]), np.array([box.right, box.bottom])
    if mesh is not None:
        low, high = np.minimum(low, mesh.points[:, :2].min(0)), np.maximum(high, mesh.points[:, :2].max(0))
    margin = _COVER_MARGIN * (high - low)
    low, high = low - margin, high + margin
    rectangle = _clip(low, high, photograph.shape)
    left, top, width, height = rectangle
    below = photograph[top : top + height, left : left + width]
    columns, rows = (
        max(1, round(_BLOCKS * min(1.0, n / max(side, 1.0))))
        for n, side in zip((width, height), high - low, strict=True)
    )
    blocks = cv2.resize(below, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    blocks = np.clip(blocks + noise.normal(0, _NOISE_LEVELS, (rows, columns, 1)), 0, 255).astype(np.uint8)
    pixels = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    return Patch(rectangle, np.asarray(pixels, np.uint8), _ellipse(low, high, rectangle))


def _ellipse(
    low: NDArray[np.float64], high: NDArray[np.float64], rectangle: tuple[int, int, int, int]
) -> NDArray[np.bool_]:
    """(height, width): the part of the ellipse between the corners `low` and `high` that lies in the rectangle."""
    left, top, width, height = rectangle
    centre, radius = (low + high) / 2, np.maximum((high - low) / 2, 1.0)
    x, y = (np.arange(width) + left - centre[0]) / radius[0], (np.arange(height) + top - centre[1]) / radius[1]
    inside: NDArray[np.bool_] = x**2 + y[:, None] ** 2 <= 1
    return inside
