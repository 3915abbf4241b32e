"""What the ledger keeps of an anonymized face once its pixels are gone."""

from __future__ import annotations

import numpy as np

from backend.labelstudio.labels import EXPRESSIONS
from backend.ledger.records import FaceNote
from g2face_model.types import AnonymizedFace, Floats


def note(face: AnonymizedFace) -> FaceNote:
    """Box, landmarks and verdict, and the original's most likely expression."""
    expression, score = likeliest(face.expression)
    box, verdict = face.box, face.verdict
    return FaceNote(
        index=face.index,
        box=(float(box.left), float(box.top), float(box.right), float(box.bottom)),
        landmarks=tuple((float(x), float(y)) for x, y in face.landmarks.points),
        outcome=verdict.outcome,
        reasons=verdict.reasons,
        similarities={name: float(value) for name, value in verdict.similarities.items()},
        landmark_nme=_number(verdict.landmark_nme),
        expression_agreement=_number(verdict.expression_agreement),
        expression=expression,
        expression_score=score,
    )


def likeliest(probabilities: Floats) -> tuple[str | None, float | None]:
    """The name and probability of the likeliest of EXPRESSIONS, (7,) in their order; nothing when they are no numbers,
    as of a face that could hardly be seen."""
    if len(probabilities) != len(EXPRESSIONS) or not np.isfinite(probabilities).all():
        return None, None
    index = int(np.argmax(probabilities))
    return EXPRESSIONS[index], float(probabilities[index])


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
