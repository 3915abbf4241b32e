"""Harder photographs: what a condition does to a photograph before it is anonymized.

A condition is a function (photograph, its faces, random generator) -> `Degraded`; to add one, put it into CONDITIONS.
It knows the faces of the photograph as it is, so that a condition can size, cover or turn them, and says where they are
afterwards: a face that the detector misses under the condition is still judged where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from g2face_model.alignment import Matrix, scale_of, transform, warp
from g2face_model.evaluation import wear
from g2face_model.evaluation.trials import AS_IS
from g2face_model.types import Box, FaceMesh, Image

_DARK, _GAMMA = 1 / 8, 2.2
_NOISE_LEVELS = np.float32(20)
_BLUR = 1 / 40


@dataclass(frozen=True, slots=True)
class Subject:
    """A face of the photograph as it is."""

    box: Box
    mesh: FaceMesh


@dataclass(frozen=True, slots=True)
class Degraded:
    """The harder photograph, and the similarity (2, 3) from px of the photograph to px of it."""

    image: Image
    matrix: Matrix = field(default_factory=lambda: np.eye(2, 3))


Degrade = Callable[[Image, Sequence[Subject], np.random.Generator], Degraded]
Wear = Callable[[Image, FaceMesh, np.random.Generator], None]


def as_is(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
    return Degraded(image)


def face_of(size_px: int) -> Degrade:
    """The photograph made smaller, until the shorter side of its largest face is so many px; never enlarged."""

    def shrunk(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
        largest = max((min(face.box.width, face.box.height) for face in faces), default=0.0)
        if largest <= size_px:
            return Degraded(image)
        height, width = image.shape[:2]
        small = max(round(width * size_px / largest), 1), max(round(height * size_px / largest), 1)
        across, down = small[0] / width, small[1] / height
        matrix = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5]])
        return Degraded(np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8), matrix)

    return shrunk


def dark(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
    """An eighth of the light, three stops."""
    levels = np.rint(255 * (_DARK * (np.arange(256) / 255) ** _GAMMA) ** (1 / _GAMMA))
    return Degraded(levels.astype(np.uint8)[image])


def noisy(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
    """Gaussian noise of 20 levels in every px and colour."""
    noise = random.standard_normal(image.shape, dtype=np.float32) * _NOISE_LEVELS
    return Degraded(np.clip(np.rint(image + noise), 0, 255).astype(np.uint8))


def blurred(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
    """Out of focus by a fortieth of the largest face's shorter side."""
    largest = max((min(face.box.width, face.box.height) for face in faces), default=float(min(image.shape[:2])))
    return Degraded(np.asarray(cv2.GaussianBlur(image, (0, 0), max(_BLUR * largest, 0.5)), np.uint8))


def jpeg(quality: int) -> Degrade:
    """Saved as JPEG and read again."""

    def compressed(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return Degraded(np.ascontiguousarray(pixels[..., ::-1]))

    return compressed


def grey(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
    """Without colours."""
    return Degraded(np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2))


def worn(draw: Wear) -> Degrade:
    """Every face wears it."""

    def drawn(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:
        result = image.copy()
        for face in faces:
            draw(result, face.mesh, random)
        return Degraded(result)

    return drawn


def rotated(degrees: float) -> Degrade:
    """Turned clockwise around its centre, on a canvas that loses no corner; its border is repeated outwards."""

    def turned(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
        height, width = image.shape[:2]
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        size = np.ceil([width * abs(cos) + height * abs(sin), width * abs(sin) + height * abs(cos)]).astype(int)
        linear = np.array([[cos, -sin], [sin, cos]])
        matrix = np.column_stack([linear, (size - 1) / 2 - linear @ [(width - 1) / 2, (height - 1) / 2]])
        return Degraded(warp(image, matrix, (int(size[1]), int(size[0])), border=cv2.BORDER_REPLICATE), matrix)

    return turned


CONDITIONS: Mapping[str, Degrade] = {
    AS_IS: as_is,
    **{f"face-{size_px}": face_of(size_px) for size_px in (96, 64, 48, 32)},
    "dark": dark,
    "noisy": noisy,
    "blurred": blurred,
    **{f"jpeg-{quality}": jpeg(quality) for quality in (90, 75, 50)},
    "grey": grey,
    "mask": worn(wear.mask),
    "glasses": worn(wear.glasses),
    "sunglasses": worn(wear.sunglasses),
    **{f"rotated-{degrees}": rotated(degrees) for degrees in (15, 30, 45)},
}


def moved(box: Box, matrix: Matrix) -> Box:
    """The upright box around the same face after a similarity: its centre moves, its size is scaled."""
    centre: NDArray[np.float64] = transform([((box.left + box.right) / 2, (box.top + box.bottom) / 2)], matrix)[0]
    half = np.array([box.width, box.height]) * scale_of(matrix) / 2
    (left, top), (right, bottom) = centre - half, centre + half
    return Box(float(left), float(top), float(right), float(bottom), box.score)
