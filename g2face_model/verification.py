"""The gate: every anonymized face is measured again, and one that fails any test does not pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from g2face_model.config import GateConfig
from g2face_model.expression import EXPRESSIONS, ExpressionEstimator
from g2face_model.geometry import SURFACE, interocular
from g2face_model.landmarks import MeshLandmarker
from g2face_model.recognition import Recogniser, similarity
from g2face_model.types import FaceMesh, Floats, Image, Verdict


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What must change (an embedding per recogniser) and what must not (mesh and expression) of one face."""

    embeddings: Mapping[str, Floats]
    mesh: FaceMesh
    expression: Floats


def landmark_nme(before: FaceMesh, after: FaceMesh) -> float:
    """Mean distance of the surface points over the inter-ocular distance, both in px of one photograph."""
    distances = np.linalg.norm(before.points[:SURFACE, :2] - after.points[:SURFACE, :2], axis=1)
    return float(distances.mean() / max(interocular(before), 1e-6))


def expression_agreement(before: Floats, after: Floats) -> float:
    """1 minus the total variation distance of two probability vectors (7,): 1 is the same, 0 the opposite."""
    return float(1 - 0.5 * np.abs(before - after).sum())


class Gate:
    """Measures and judges. Holds every configured recogniser: one that is missing fails at loading, never here."""

    def __init__(
        self,
        recognisers: Sequence[Recogniser],
        landmarker: MeshLandmarker,
        expressions: ExpressionEstimator,
        *,
        config: GateConfig,
    ) -> None:
        self.recognisers = tuple(recognisers)
        self._landmarker, self._expressions, self._config = landmarker, expressions, config

    def expression(self, image: Image, mesh: FaceMesh) -> Floats:
        """(7,) probabilities in the order of EXPRESSIONS."""
        return self._expressions.probabilities(image, mesh)

    def measure(self, image: Image, mesh: FaceMesh, expression: Floats) -> Fingerprint:
        """Take the fingerprint of the face under `mesh` with its measured expression."""
        embeddings = {recogniser.name: recogniser.embed(image, mesh) for recogniser in self.recognisers}
        return Fingerprint(embeddings, mesh, expression)

    def measure_again(self, before: Fingerprint, image: Image) -> Fingerprint:
        """Look at the changed photograph where the face was. The landmarker starts from the old mesh."""
        mesh = self._landmarker.refine(image, before.mesh)
        return self.measure(image, mesh, self.expression(image, mesh))

    def judge(self, before: Fingerprint, after: Fingerprint, *, attempts: int) -> Verdict:
        """Compare a face with what became of it."""
        similarities = {
            name: similarity(embedding, after.embeddings[name]) for name, embedding in before.embeddings.items()
        }
        nme = landmark_nme(before.mesh, after.mesh)
        agreement = expression_agreement(before.expression, after.expression)
        reasons = [
            *self._recognised(similarities),
            *(["face not found again"] if not after.mesh.score >= self._config.min_mesh_score else []),
            *(["landmarks moved"] if not nme <= self._config.max_landmark_nme else []),
            *(["expression changed"] if self._changed(before.expression, after.expression, agreement) else []),
        ]
        outcome = "covered" if reasons else "anonymized"
        return Verdict(outcome, similarities, nme, agreement, attempts, tuple(reasons))

    def limit(self, recogniser: Recogniser) -> float:
        """The similarity that a released face stays below."""
        step = recogniser.threshold - recogniser.threshold_far_1
        return recogniser.threshold - self._config.similarity_margin * step

    def shortfall(self, verdict: Verdict) -> dict[str, float]:
        """Recogniser -> how far it is from the similarity that is aimed at, in steps between its two thresholds;
        nought or less where the aim is reached."""
        return {
            recogniser.name: (verdict.similarities[recogniser.name] - self.limit(recogniser))
            / (recogniser.threshold - recogniser.threshold_far_1)
            + self._config.similarity_aim
            for recogniser in self.recognisers
        }

    def _recognised(self, similarities: Mapping[str, float]) -> list[str]:
        # "not below" and not "above": a similarity that is no number must fail too
        return [
            f"recognised by {recogniser.name}"
            for recogniser in self.recognisers
            if not similarities[recogniser.name] < self.limit(recogniser)
        ]

    def _changed(self, before: Floats, after: Floats, agreement: float) -> bool:
        same = EXPRESSIONS[int(before.argmax())] == EXPRESSIONS[int(after.argmax())]
        close = agreement >= 1 - self._config.max_expression_change
        return not (math.isfinite(agreement) and (same or close))
