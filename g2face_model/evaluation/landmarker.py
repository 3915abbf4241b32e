"""A landmarker that the engine does not know: face-api's 68 points, and the pose that follows from them.

The engine moves pixels until MediaPipe's mesh is where it was, so that mesh cannot judge how well that worked. This
network (four dense blocks, 112 px, from face-api.js) shares neither weights nor training with it; the detector's box is
all that both are given. It is looked through five crops that differ a little: their median is steady to 0.5 % of the
inter-ocular distance when the box moves by 5 %, where a single crop is to 3 %, and their spread tells when it is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from g2face_model.alignment import Matrix, compose, invert, square_matrix, transform, warp
from g2face_model.geometry import angles_of
from g2face_model.landmarks import sixty_eight
from g2face_model.networks.graph import GraphNetwork
from g2face_model.types import Box, FaceMesh, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

    Points = NDArray[np.float64]  # (68, 2) px

NAME = "face-api, 68 points"
SURE = 0.03  # of the spread: faces that are found have 0.007 to 0.016, lost ones 0.07 and more
_SIZE, _MARGIN = 112, 1.2
_SHIFTS = tuple((x * _SIZE, y * _SIZE) for x, y in ((0, 0), (0.06, 0), (-0.06, 0), (0, 0.06), (0, -0.06)))
_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)
_INNER = slice(17, 68)  # brows, nose, eyes, mouth: a mesh's outline is not the jaw of the 68 points


@dataclass(frozen=True, slots=True)
class Seen:
    """68 points (68, 2) float32 px in iBUG order. `spread`: how far the crops disagree, over the inter-ocular distance;
    above SURE the face was not found."""

    points: Floats
    spread: float

    @property
    def sure(self) -> bool:
        return self.spread <= SURE


class FaceApiLandmarker:
    """Reads "face_landmarks" from the store and raises its WeightsError. Not for concurrent use."""

    def __init__(self, store: WeightStore) -> None:
        self._network = GraphNetwork(store.metadata("face_landmarks")["graph"], store.tensors("face_landmarks")).eval()

    def look(self, image: Image, box: Box, *, roll_degrees: float = 0.0) -> Seen:
        """The points of the face in `box`, which is turned clockwise by about `roll_degrees`."""
        centre = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
        side_px = max(box.width, box.height, 1.0)
        first, _ = self._median(image, square_matrix(centre, side_px, math.radians(roll_degrees), size=_SIZE))
        points, spread = self._median(image, _level(first))
        return Seen(np.asarray(points, np.float32), spread)

    def _median(self, image: Image, matrix: Matrix) -> tuple[Points, float]:
        matrices = [compose(np.array([[1.0, 0.0, x], [0.0, 1.0, y]]), matrix) for x, y in _SHIFTS]
        crops = np.stack([warp(image, own, (_SIZE, _SIZE), border=cv2.BORDER_REPLICATE) for own in matrices])
        with torch.inference_mode():
            faces = torch.from_numpy(crops).permute(0, 3, 1, 2).to(torch.float32)
            shares = self._network(faces)["points"].numpy().reshape(-1, 68, 2)
        found = np.stack(
            [transform(own * _SIZE - 0.5, invert(matrix)) for own, matrix in zip(shares, matrices, strict=True)]
        )
        median = np.median(found, axis=0)
        spread = np.linalg.norm(found - median, axis=2).mean() / max(interocular(median), 1e-6)
        return median, float(spread)


def _level(points: Points) -> Matrix:
    """The square crop around 68 points, turned so that the eyes are level."""
    across = points[_RIGHT_EYE].mean(axis=0) - points[_LEFT_EYE].mean(axis=0)
    angle = math.atan2(across[1], across[0])
    level = transform(points, square_matrix((0, 0), 1, angle, size=1))
    low, high = level.min(axis=0), level.max(axis=0)
    centre = transform([(low + high) / 2], square_matrix((0, 0), 1, -angle, size=1))[0]
    return square_matrix(centre, max(float((high - low).max()), 1.0) * _MARGIN, angle, size=_SIZE)


def interocular(points: NDArray[np.floating[Any]]) -> float:
    """Distance in px between the centres of the eyes of 68 points (68, 2)."""
    return float(np.linalg.norm(points[_RIGHT_EYE].mean(axis=0) - points[_LEFT_EYE].mean(axis=0)))


def pose(points: NDArray[np.floating[Any]], mean_face: NDArray[np.float64]) -> Floats:
    """Yaw, pitch and roll (3,) in degrees that 68 points (68, 2) show, as `geometry.angles_of` defines them.

    `mean_face` (468, 3) is seen by a scaled orthographic camera; the brows, nose, eyes and mouth decide.
    """
    model = sixty_eight_in_space(mean_face)[_INNER]
    seen = points[_INNER].astype(np.float64)
    centred = model - model.mean(axis=0)
    rows, *_ = np.linalg.lstsq(centred, seen - seen.mean(axis=0), rcond=None)
    u, _, vt = np.linalg.svd(rows.T, full_matrices=False)  # the nearest two rows that are at right angles
    first, second = u @ vt
    return np.asarray(angles_of(np.stack([first, second, np.cross(first, second)])), np.float32)


def sixty_eight_in_space(face: NDArray[np.float64]) -> NDArray[np.float64]:
    """(68, 3): the vertices of a mesh (468, 3) that stand for the 68 points."""
    planar, deep = (sixty_eight(FaceMesh(part.astype(np.float32), 1.0)).points for part in (face, face[:, [2, 2, 2]]))
    return np.column_stack([planar, deep[:, 0]]).astype(np.float64)
