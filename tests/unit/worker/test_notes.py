from __future__ import annotations

import numpy as np
import pytest

from backend.labelstudio.labels import EXPRESSIONS
from g2face_model.types import AnonymizedFace, Box, Floats, Landmarks, Verdict
from worker.notes import likeliest, note


def face(expression: Floats) -> AnonymizedFace:
    points = np.arange(136, dtype=np.float32).reshape(68, 2)
    return AnonymizedFace(
        index=3,
        box=Box(1.0, 2.0, 3.0, 4.0, 0.9),
        landmarks=Landmarks(points),
        expression=expression,
        rectangle=(1, 2, 2, 2),
        mask=np.ones((2, 2), np.bool_),
        verdict=Verdict("anonymized", {"b": 0.5, "a": 0.25}, landmark_nme=0.01, expression_agreement=0.9),
    )


def test_a_note_keeps_what_predictions_need_as_plain_numbers() -> None:
    kept = note(face(np.eye(7, dtype=np.float32)[3]))
    assert (kept.index, kept.box, kept.outcome) == (3, (1.0, 2.0, 3.0, 4.0), "anonymized")
    assert kept.landmarks[0] == (0.0, 1.0)
    assert kept.landmarks[67] == (134.0, 135.0)
    assert kept.similarities == {"a": 0.25, "b": 0.5}
    assert (kept.expression, kept.expression_score) == (EXPRESSIONS[3], 1.0)
    assert type(kept.landmarks[0][0]) is float
    assert type(kept.expression_score) is float


@pytest.mark.parametrize("probabilities", [np.full(7, np.nan), np.ones(3), np.array([])])
def test_probabilities_that_are_none_suggest_none(probabilities: Floats) -> None:
    assert likeliest(probabilities) == (None, None)
