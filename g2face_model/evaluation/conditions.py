"""Harder photographs: what a condition does to a photograph before it is anonymized.

A condition is a function (photograph, its faces, random generator) -> `Degraded`; to add one, put it into CONDITIONS.
It knows the faces of the photograph as it is, so that a condition can size, cover or turn them, and says where they are
afterwards: a face that the detector misses under the condition is still judged where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from g2face_model.alignment import Matrix, scale_of, transform
from g2face_model.evaluation.trials import AS_IS
from g2face_model.types import Box, FaceMesh, Image


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


def as_is(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
    return Degraded(image)


def grey(image: Image, faces: Sequence[Subject], random: np.random.Generator) -> Degraded:  # noqa: ARG001
    """Without colours."""
    return Degraded(np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2))


CONDITIONS: Mapping[str, Degrade] = {AS_IS: as_is, "grey": grey}


def moved(box: Box, matrix: Matrix) -> Box:
    """The upright box around the same face after a similarity: its centre moves, its size is scaled."""
    centre: NDArray[np.float64] = transform([((box.left + box.right) / 2, (box.top + box.bottom) / 2)], matrix)[0]
    half = np.array([box.width, box.height]) * scale_of(matrix) / 2
    (left, top), (right, bottom) = centre - half, centre + half
    return Box(float(left), float(top), float(right), float(bottom), box.score)
