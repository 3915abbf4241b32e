"""A frontal face made of nothing but the statistical model's mean: a mesh of known size and place, without networks."""

from __future__ import annotations

import numpy as np

from g2face_model.geometry import GeometryModel
from g2face_model.types import FaceMesh, Floats
from g2face_model.weights import WeightStore

_CORNERS = ((33, 133), (362, 263))
_RIM = np.array([[0, 0], [0.07, 0], [0, -0.07], [-0.07, 0], [0, 0.07]])  # an iris: its centre and four points


def drawn_mesh(size: int, *, shape: Floats | None = None, eyes_px: float | None = None) -> FaceMesh:
    """The mean face, or that of 80 shape coefficients, with open eyes in the middle of a crop of `size` px; `eyes_px`
    is the distance between the eyes, by default a quarter of the crop, as in FFHQ."""
    model = GeometryModel.load(WeightStore())  # "geometry" ships with the package
    eyes_px = size / 4 if eyes_px is None else eyes_px
    surface = model.face(np.zeros(80, np.float32) if shape is None else shape) * eyes_px
    irises = [surface[list(corners)].mean(0) + np.column_stack([_RIM * eyes_px, np.zeros(5)]) for corners in _CORNERS]
    points = np.concatenate([surface, *irises])
    points[:, :2] += [(size - 1) / 2, (size - 1) / 2]
    return FaceMesh(points.astype(np.float32), score=1.0)
