"""Everything that is measured of one face in one picture, by networks that are told nothing of how it was made.

To measure more of every face, add a field to FaceMeasurement and to `look`, or an array to `arrays`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from g2face_model.alignment import warp
from g2face_model.attributes import skin_tone
from g2face_model.evaluation.emotion import EmotionEstimator
from g2face_model.evaluation.landmarker import FaceApiLandmarker, Seen, pose
from g2face_model.evaluation.measurements import Array
from g2face_model.evaluation.methods import Setup
from g2face_model.evaluation.observer import Observer
from g2face_model.geometry import GeometryModel
from g2face_model.recognition import RECOGNISERS, align_square
from g2face_model.types import Box, FaceMesh, Floats, Image
from g2face_model.weights import WeightStore

CROP_PX = 128
GATE_EXPRESSION, OTHER_EXPRESSION = "gate", "emotion"
_EYES = ((468, 33, 133), (473, 362, 263))  # iris, corners from left to right in the picture


class Judges:
    """Detector, landmarkers, recognisers and expression estimators of one process. Raises WeightsError."""

    def __init__(self, setup: Setup) -> None:
        store = WeightStore(setup.weights_dir)
        self.observer = Observer(store, RECOGNISERS, threads=setup.threads)
        self._landmarker = FaceApiLandmarker(store)
        self._emotion = EmotionEstimator(store)
        self._mean_face = GeometryModel.load(store).mean

    def look(self, image: Image, mesh: FaceMesh, seen: Seen) -> dict[str, Any]:
        """The fields of FaceMeasurement that a picture alone decides."""
        gate, other = self.observer.expression(image, mesh), self._emotion.probabilities(image, mesh)
        return {
            "expressions": {GATE_EXPRESSION: _tuple(gate), OTHER_EXPRESSION: _tuple(other)},
            "pose": _tuple(pose(seen.points, self._mean_face)),
            "landmark_spread": seen.spread,
            "gaze": gaze(mesh),
            "skin": _tuple(skin_tone(image, mesh)),
        }

    def landmarks(self, image: Image, box: Box, *, roll_degrees: float) -> Seen:
        """The second landmarker's points of the face in `box`."""
        return self._landmarker.look(image, box, roll_degrees=roll_degrees)

    def arrays(self, image: Image, mesh: FaceMesh, seen: Seen) -> dict[str, Array]:
        """What is kept of a face beside its line: see `Measurements.array`."""
        embeddings = self.observer.embeddings(image, mesh)
        return {
            "landmarks": seen.points,
            "crop": warp(image, align_square(mesh, CROP_PX), (CROP_PX, CROP_PX)),
            **{f"embedding.{name}": vector for name, vector in embeddings.items()},
        }


def gaze(mesh: FaceMesh) -> tuple[float, float]:
    """Mean place of the irises along and across the line through the eyes' corners, from its middle, in eye widths."""
    places = []
    for iris, start, end in _EYES:
        points = mesh.points[[iris, start, end], :2].astype(np.float64)
        along = points[2] - points[1]
        away = points[0] - (points[1] + points[2]) / 2
        width = max(float(along @ along), 1e-9)
        places.append((away @ along / width, (away[1] * along[0] - away[0] * along[1]) / width))
    x, y = np.mean(places, axis=0)
    return float(x), float(y)


def _tuple(values: Floats) -> Any:
    return tuple(float(value) for value in values)
