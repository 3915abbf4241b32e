"""Looks at a published photograph as a stranger would: nothing is known of how it was made.

The networks are those that the engine's gate uses; what is independent is the way: the face is detected again, and its
landmarks are placed from that box instead of from the original's mesh.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from g2face_model.detection import FaceDetector
from g2face_model.expression import ExpressionEstimator
from g2face_model.landmarks import MeshLandmarker
from g2face_model.recognition import TorchRecogniser, load_recognisers
from g2face_model.types import Box, FaceMesh, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

_SAME_PLACE = 0.4  # overlap of two boxes of one face


class Observer:
    """Detector, landmarker, expressions and the named recognisers. Raises WeightsError when one is not there."""

    def __init__(self, store: WeightStore, names: Sequence[str], *, threads: int = 1) -> None:
        self.recognisers: tuple[TorchRecogniser, ...] = load_recognisers(store, names)
        self._detector = FaceDetector(store, threads=threads)
        self._landmarker = MeshLandmarker(store, threads=threads)
        self._expressions = ExpressionEstimator(store, threads=threads)

    def boxes(self, image: Image) -> tuple[Box, ...]:
        """All faces, largest first."""
        return self._detector.detect(image)

    def mesh(self, image: Image, box: Box) -> FaceMesh:
        return self._landmarker.mesh(image, box)

    def expression(self, image: Image, mesh: FaceMesh) -> Floats:
        """(7,) probabilities."""
        return self._expressions.probabilities(image, mesh)

    def embeddings(self, image: Image, mesh: FaceMesh) -> dict[str, Floats]:
        """Unit vectors by recogniser."""
        return {recogniser.name: recogniser.embed(image, mesh) for recogniser in self.recognisers}


def found_again(box: Box, boxes: Sequence[Box]) -> Box | None:
    """The one of `boxes` that lies where `box` lay, or None."""
    best = max(boxes, key=lambda other: overlap(box, other), default=None)
    return best if best is not None and overlap(box, best) >= _SAME_PLACE else None


def overlap(a: Box, b: Box) -> float:
    """Intersection over union in 0..1."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    common = max(width, 0.0) * max(height, 0.0)
    return common / max(a.width * a.height + b.width * b.height - common, 1e-9)
