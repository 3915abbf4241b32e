"""Mesh -> FaceGeometry: pose by a rigid fit to the mean face, shape and expression as coefficients of a linear model.

The model is statistical (mean and principal components of the meshes of generated faces, made by training/geometry.py),
so it depends on no licensed 3D face model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from g2face_model.types import FaceGeometry, FaceMesh, Floats

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

SURFACE = 468  # points that the model describes; the irises follow gaze, not shape
Points = NDArray[np.float64]

# Mesh vertices in left-right pairs (eye corners, mouth corners, temples, brows, jaw), as seen in the picture.
_LEFT, _RIGHT = [33, 133, 61, 234, 127, 105, 172], [263, 362, 291, 454, 356, 334, 397]
_FOREHEAD, _CHIN = 10, 152
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
EYELIDS = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246,
    263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466,
)  # fmt: skip
_LIPS_WEIGHT, _EYELIDS_WEIGHT = 5.0, 3.0


def interocular(mesh: FaceMesh) -> float:
    """Distance in px between the centres of the eyes."""
    left, right = mesh.points[[33, 133], :2].mean(0), mesh.points[[362, 263], :2].mean(0)
    return float(np.linalg.norm(left - right))


def rigid_fit(source: Points, target: Points) -> tuple[float, Points, Points]:
    """Scale, rotation (3, 3) and translation (3,) that bring source (N, 3) nearest to target (N, 3).

    Least squares after Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    1991, eq. 40 to 43.
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred, wanted = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(wanted.T @ centred / len(source))
    sign = np.ones(3)
    sign[2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / centred.var(0).sum())
    return scale, rotation, target_mean - scale * rotation @ source_mean


def angles_of(rotation: Points) -> Points:
    """Yaw, pitch and roll in degrees of a rotation (3, 3) from the mean face to the camera; 0, 0, 0 is frontal.

    Yaw is positive when the face turns to the picture's left, pitch when it looks down, roll clockwise.
    """
    yaw = np.arcsin(np.clip(-rotation[2, 0], -1.0, 1.0))
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2])
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return np.degrees([yaw, pitch, roll])


class GeometryModel:
    """Mean face (468, 3) with unit inter-ocular distance, and K components (K, 1404) with their spreads (K,)."""

    def __init__(self, mean: Points, components: Points, spreads: Points) -> None:
        self.mean, self.components, self.spreads = mean, components, spreads

    @classmethod
    def load(cls, store: WeightStore) -> GeometryModel:
        """From the part "geometry" of the store. Raises WeightsError when it is not there."""
        tensors = store.tensors("geometry")
        mean, components, spreads = (tensors[k].double().numpy() for k in ("mean", "components", "spreads"))
        return cls(mean, components, spreads)

    def derive(self, mesh: FaceMesh, expression: Floats) -> FaceGeometry:
        """Pose and shape of a mesh in px of the photograph or of a crop, beside the measured expression (7,)."""
        points = mesh.points[:SURFACE].astype(np.float64)
        scale, rotation, translation = rigid_fit(points, self.mean)
        residual = (points @ (scale * rotation).T + translation - self.mean).reshape(-1)
        shape = self.components @ residual / self.spreads
        angles = angles_of(rotation.T).astype(np.float32)
        return FaceGeometry(shape.astype(np.float32), expression, angles)

    def metric(self) -> Points:
        """(K, K): d @ metric @ d is the mean square distance of the vertices, in inter-ocular distances, that a
        difference d of shape coefficients makes; lips and eyelids, which carry expression, count several times."""
        weights = np.ones(SURFACE)
        weights[list(LIPS)], weights[list(EYELIDS)] = _LIPS_WEIGHT, _EYELIDS_WEIGHT
        scaled = self.components * self.spreads[:, None] * np.repeat(np.sqrt(weights / weights.sum()), 3)
        metric: Points = scaled @ scaled.T
        return metric

    def face(self, shape: NDArray[np.float32]) -> Points:
        """(468, 3) frontal face of unit inter-ocular distance with these coefficients (K,)."""
        return self.mean + ((shape * self.spreads) @ self.components).reshape(SURFACE, 3)


def fit_model(meshes: Points, *, components: int = 80) -> GeometryModel:
    """Generalised Procrustes mean and principal components of meshes (N, 468, 3)."""
    eyes = ([33, 133], [362, 263])
    mean = meshes[0].copy()
    for _ in range(4):
        fitted = np.stack([_fitted(mesh, mean) for mesh in meshes])
        mean = fitted.mean(0)
        mean -= mean.mean(0)
        mean /= np.linalg.norm(mean[eyes[0]].mean(0) - mean[eyes[1]].mean(0))
        mean = mean @ _frontal(mean).T
    flat = (np.stack([_fitted(mesh, mean) for mesh in meshes]) - mean).reshape(len(meshes), -1)
    variances, basis = np.linalg.eigh(flat.T @ flat / len(meshes))
    largest = slice(None, -components - 1, -1)
    return GeometryModel(mean, np.ascontiguousarray(basis.T[largest]), np.sqrt(variances[largest]))


def _fitted(mesh: Points, mean: Points) -> Points:
    scale, rotation, translation = rigid_fit(mesh, mean)
    return mesh @ (scale * rotation).T + translation


def _frontal(mean: Points) -> Points:
    """Rotation (3, 3) that turns a mean face to the camera: its left-right pairs along x, forehead above chin."""
    across = (mean[_RIGHT] - mean[_LEFT]).mean(0)
    across /= np.linalg.norm(across)
    down = mean[_CHIN] - mean[_FOREHEAD]
    down -= across * (down @ across)
    down /= np.linalg.norm(down)
    return np.stack([across, down, np.cross(across, down)])
