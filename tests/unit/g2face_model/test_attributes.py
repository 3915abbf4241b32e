import csv
from pathlib import Path

import numpy as np
import pytest

from g2face_model.attributes import ANCESTRIES, AttributeEstimator, skin_tone, typology_angle
from g2face_model.detection import FaceDetector
from g2face_model.images import decode
from g2face_model.landmarks import MeshLandmarker
from g2face_model.types import FaceMesh
from g2face_model.weights import WeightStore


def _mesh_within(width: int, height: int) -> FaceMesh:
    points = np.random.default_rng(0).uniform(0.2, 0.8, (478, 3)) * [width, height, 1]
    return FaceMesh(points.astype(np.float32), score=1.0)


@pytest.mark.parametrize(
    ("colour", "lab"),
    [((255, 255, 255), (100.0, 0.0, 0.0)), ((128, 128, 128), (53.6, 0.0, 0.0)), ((255, 0, 0), (53.2, 80.1, 67.2))],
)
def test_skin_tone_is_cie_lab(colour: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    image = np.full((80, 60, 3), colour, np.uint8)
    np.testing.assert_allclose(skin_tone(image, _mesh_within(60, 80)), lab, atol=0.3)


def test_skin_tone_ignores_a_highlight() -> None:
    image = np.full((80, 60, 3), (190, 140, 120), np.uint8)
    mesh = _mesh_within(60, 80)
    plain = skin_tone(image, mesh)
    x, y = mesh.points[50, :2].round().astype(int)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    np.testing.assert_allclose(skin_tone(image, mesh), plain, atol=0.5)


def test_skin_tone_of_a_mesh_outside_the_photograph_is_that_of_the_photograph() -> None:
    image = np.full((20, 20, 3), 255, np.uint8)
    outside = FaceMesh(np.full((478, 3), 500, np.float32), score=1.0)
    assert skin_tone(image, outside)[0] == pytest.approx(100.0, abs=0.1)


def test_typology_angle() -> None:
    assert typology_angle(np.array([70, 5, 20], np.float32)) == pytest.approx(45.0)
    assert typology_angle(np.array([30, 5, 20], np.float32)) == pytest.approx(-45.0)


def test_estimates_people_as_they_describe_themselves(store: WeightStore, faces_dir: Path) -> None:
    detector, landmarker, estimator = FaceDetector(store, threads=1), MeshLandmarker(store), AttributeEstimator(store)
    with (faces_dir / "manifest.csv").open(newline="", encoding="utf-8") as manifest:
        rows = [row for row in csv.DictReader(manifest) if row["file"].startswith("pairs/")][:8]
    errors, right = [], []
    for row in rows:
        own = dict(pair.split("=") for pair in row["attributes"].split(";"))
        image = decode((faces_dir / row["file"]).read_bytes())
        mesh = landmarker.mesh(image, detector.detect(image)[0])
        found = estimator.estimate(image, mesh)
        assert found.ancestry.shape == (len(ANCESTRIES),)
        assert found.ancestry.sum() == pytest.approx(1.0, abs=1e-4)
        errors.append(abs(found.age_years - float(own["age"])))
        right.append((found.masculinity > 0.5) == (own["gender"] == "male"))
    assert np.mean(errors) < 7
    assert np.mean(right) > 0.8
