"""Layers over a face with what they do to its labels, and the brushes they are drawn with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator as Chance
from numpy.typing import ArrayLike

from g2face_model.types import Floats, Image

FINE = 3  # brushes draw at this multiple of the size, for smooth edges


@dataclass(frozen=True, slots=True)
class Layer:
    """`colour` (3,) or (S, S, 3) in 0..255 over the picture where `cover` (S, S) in 0..1; `label` (S, S) in 0..1 is no
    longer face afterwards but glasses, or something else."""

    colour: Floats
    cover: Floats
    label: Floats
    glasses: bool = False


@dataclass(frozen=True)
class Scene:
    """A face to draw on: picture (S, S, 3), mesh (478, 3) px, soft masks (S, S) of face, hair and of glasses that are
    already `worn`, and `texture`, which gives pictures (S, S, 3) of anything."""

    picture: Image
    mesh: Floats
    face: Floats
    hair: Floats
    texture: Callable[[Chance], Image]
    worn: Floats

    @property
    def size(self) -> int:
        return int(self.picture.shape[0])

    def noise(self, chance: Chance, grain_px: float) -> Floats:
        """(S, S) smooth noise in 0..1 with blobs of about `grain_px`."""
        cells = max(2, round(self.size / grain_px))
        grid = chance.random((cells, cells), dtype=np.float32)
        return np.asarray(cv2.resize(grid, (self.size, self.size), interpolation=cv2.INTER_CUBIC), np.float32)

    def colour_of(self, mask: Floats) -> Floats:
        """(3,) mean colour under a mask."""
        weight = mask[..., None] + 1e-6
        mean: Floats = ((self.picture * weight).sum((0, 1)) / weight.sum((0, 1))).astype(np.float32)
        return mean


def floats(values: ArrayLike) -> Floats:
    """Anything that becomes an array, as float32."""
    return np.asarray(values, np.float32)


def stroke(size: int, line: Floats, width_px: float) -> Floats:
    """(S, S) cover of a polyline (N, 2) px; lines thinner than a pixel are fainter."""
    canvas = np.zeros((size * FINE, size * FINE), np.uint8)
    points = np.round((line + 0.5) * FINE - 0.5).astype(np.int32)
    cv2.polylines(canvas, [points], isClosed=False, color=255, thickness=max(1, round(width_px * FINE)))
    return _coarse(canvas, size)


def strokes(size: int, lines: list[tuple[Floats, float, float]]) -> tuple[Floats, Floats]:
    """(S, S) cover and (S, S) brightness of many polylines: points (N, 2) px, width in px, brightness in 0..2."""
    canvas = np.zeros((size * FINE, size * FINE), np.uint8)
    tone = np.full_like(canvas, 127)
    for line, width_px, brightness in lines:
        points, thickness = [np.round((line + 0.5) * FINE - 0.5).astype(np.int32)], max(1, round(width_px * FINE))
        cv2.polylines(canvas, points, isClosed=False, color=255, thickness=thickness)
        cv2.polylines(tone, points, isClosed=False, color=brightness * 127, thickness=thickness)
    return _coarse(canvas, size), _coarse(tone, size) * np.float32(2)


def fill(size: int, outline: Floats) -> Floats:
    """(S, S) cover of the inside of a polygon (N, 2) px."""
    canvas = np.zeros((size * FINE, size * FINE), np.uint8)
    cv2.fillPoly(canvas, [np.round((outline + 0.5) * FINE - 0.5).astype(np.int32)], 255)
    return _coarse(canvas, size)


def _coarse(canvas: Image, size: int) -> Floats:
    return floats(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)) / np.float32(255)


def soft_shade(mask: Floats, shift: tuple[float, float], *, blur: float) -> Floats:
    """A mask (S, S) moved by (x, y) px and blurred: the shadow it casts."""
    moved = cv2.warpAffine(mask, floats([[1, 0, shift[0]], [0, 1, shift[1]]]), (mask.shape[1], mask.shape[0]))
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), blur), np.float32)


def smooth_closed(points: Floats, count: int = 96) -> Floats:
    """A closed curve (count, 2) through points (N, 2): Catmull-Rom."""
    n = len(points)
    t = np.linspace(0, n, count, endpoint=False)
    k, f = t.astype(int), (t % 1)[:, None]
    a, b, c, d = (points[(k + o) % n] for o in (-1, 0, 1, 2))
    curve: Floats = 0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3)
    return curve.astype(np.float32)


def compose(picture: Image, labels: Floats, layers: list[Layer]) -> tuple[Image, Floats]:
    """Lay layers over a picture (S, S, 3) with labels (S, S, 3) of face, glasses and other."""
    canvas = picture.astype(np.float32)
    labels = labels.copy()
    for layer in layers:
        cover = layer.cover[..., None]
        canvas += (layer.colour - canvas) * cover
        gone = layer.label
        if layer.glasses:  # only in front of the face or of other glasses
            gone = gone * np.maximum(labels[..., 0], labels[..., 1]) if gone.any() else gone
        labels *= 1 - layer.label[..., None] if not layer.glasses else 1 - gone[..., None]
        labels[..., 1 if layer.glasses else 2] += gone
    return np.clip(canvas, 0, 255).astype(np.uint8), labels / np.maximum(labels.sum(-1, keepdims=True), 1e-6)
