"""Values that flow between rooms. Frozen, numpy only: importing this module never loads torch.

Pixels are HxWx3 uint8 RGB. Coordinates are in pixels of the whole photograph unless a name says otherwise, with (0, 0)
at the centre of the top left pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Floats = NDArray[np.float32]
Engine = Literal["gallery", "g2face", "g2face-official"]  # who makes the new faces: see `ModelConfig.engine`


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned face rectangle in px; score in [0, 1]."""

    left: float
    top: float
    right: float
    bottom: float
    score: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The 68 iBUG points, (68, 2) float32 px."""

    points: Floats


@dataclass(frozen=True, slots=True)
class FaceMesh:
    """The dense mesh, (478, 3) float32 px: 468 surface points, then 2 x 5 iris points; z on the scale of x, towards
    the camera negative. `score` is the landmarker's confidence in [0, 1] that this is a face."""

    points: Floats
    score: float


@dataclass(frozen=True, slots=True)
class Crop:
    """An aligned face: pixels (S, S, 3) and the (2, 3) float64 similarity from photograph px to crop px."""

    pixels: Image
    matrix: NDArray[np.float64]

    @property
    def size(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class FaceGeometry:
    """What is kept of a face. `shape` (80,) float32: coefficients of the mesh model, form and movement together;
    `expression` (7,) float32: probabilities of the seven expressions; `angles` (3,) float32: yaw, pitch, roll in
    degrees."""

    shape: Floats
    expression: Floats
    angles: Floats

    @property
    def condition(self) -> Floats:
        """(90,) float32: what the generator is conditioned on: angles / 30 degrees, shape, expression."""
        return np.concatenate([self.angles / 30.0, self.shape, self.expression]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Face:
    """One face found in a photograph."""

    index: int
    box: Box
    landmarks: Landmarks
    mesh: FaceMesh
    crop: Crop
    geometry: FaceGeometry


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured on one anonymized face. `outcome` is "anonymized" (passed every gate) or "covered" (failed,
    and was made unrecognisable by pixelation and noise). `reasons` names each gate that the last attempt failed."""

    outcome: str
    similarities: Mapping[str, float] = field(default_factory=dict)
    landmark_nme: float | None = None
    expression_agreement: float | None = None
    attempts: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.outcome == "anonymized"


@dataclass(frozen=True, slots=True)
class AnonymizedFace:
    """A replaced face: box, landmarks and expression probabilities (7,) of the original, rectangle (left, top, width,
    height) in whole px of the photograph, the boolean mask (height, width) of the pixels that may differ from the
    original, and the verdict. Masks of one photograph are disjoint."""

    index: int
    box: Box
    landmarks: Landmarks
    expression: Floats
    rectangle: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class AnonymizedImage:
    """The result: pixels, one entry per face found (empty when there is none), and the model that made it."""

    image: Image
    faces: tuple[AnonymizedFace, ...]
    model_version: str
