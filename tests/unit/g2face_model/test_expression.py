from pathlib import Path

import numpy as np
import pytest

from g2face_model.detection import FaceDetector
from g2face_model.expression import EXPRESSIONS, ExpressionEstimator
from g2face_model.images import decode
from g2face_model.landmarks import MeshLandmarker
from g2face_model.types import FaceMesh, Floats
from g2face_model.weights import WeightStore

_CLEAR_SMILES = (57, 78, 79, 82, 92)  # pictures in the folder of pairs whose smile shows teeth


@pytest.fixture(scope="module")
def estimator(store: WeightStore) -> ExpressionEstimator:
    return ExpressionEstimator(store)


def _probabilities(store: WeightStore, estimator: ExpressionEstimator, path: Path) -> Floats:
    image = decode(path.read_bytes())
    box = FaceDetector(store, threads=1).detect(image)[0]
    return estimator.probabilities(image, MeshLandmarker(store).mesh(image, box))


@pytest.mark.parametrize("number", _CLEAR_SMILES)
def test_a_clear_smile_is_happy_and_the_same_face_at_rest_neutral(
    number: int, store: WeightStore, estimator: ExpressionEstimator, faces_dir: Path
) -> None:
    smiling = _probabilities(store, estimator, faces_dir / "pairs" / f"{number:04d}.jpg")
    neutral = _probabilities(store, estimator, faces_dir / "pairs" / f"{number - 50:04d}.jpg")
    assert EXPRESSIONS[int(smiling.argmax())] == "happy"
    assert EXPRESSIONS[int(neutral.argmax())] == "neutral"


def test_probabilities_sum_to_one(estimator: ExpressionEstimator) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (120, 120, 3), dtype=np.uint8)
    mesh = FaceMesh(random.uniform(30, 90, (478, 3)).astype(np.float32), score=1.0)
    found = estimator.probabilities(image, mesh)
    assert found.shape == (len(EXPRESSIONS),)
    assert found.dtype == np.float32
    assert found.sum() == pytest.approx(1.0, abs=1e-4)
