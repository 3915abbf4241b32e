from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2face_model.detection import FaceDetector
from g2face_model.evaluation.emotion import EmotionEstimator
from g2face_model.expression import EXPRESSIONS
from g2face_model.images import decode
from g2face_model.landmarks import MeshLandmarker
from g2face_model.types import FaceMesh
from g2face_model.weights import WeightStore


def test_it_tells_smiles_from_faces_at_rest(store: WeightStore, faces_dir: Path) -> None:
    estimator, detector, landmarker = EmotionEstimator(store), FaceDetector(store, threads=1), MeshLandmarker(store)
    right = 0
    for number in range(1, 51, 5):
        for place, wanted in ((number, "neutral"), (number + 50, "happy")):
            image = decode((faces_dir / "pairs" / f"{place:04d}.jpg").read_bytes())
            found = estimator.probabilities(image, landmarker.mesh(image, detector.detect(image)[0]))
            right += EXPRESSIONS[int(found.argmax())] == wanted
    assert right >= 13  # of 20; smiles with closed lips are called neutral


def test_probabilities_sum_to_one(store: WeightStore) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (120, 120, 3), dtype=np.uint8)
    mesh = FaceMesh(random.uniform(30, 90, (478, 3)).astype(np.float32), score=1.0)
    found = EmotionEstimator(store).probabilities(image, mesh)
    assert found.shape == (len(EXPRESSIONS),)
    assert found.sum() == pytest.approx(1.0, abs=1e-4)
