from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from drawn_face import drawn_mesh
from skimage import data

from g2face_model.config import GateConfig
from g2face_model.expression import ExpressionEstimator
from g2face_model.geometry import interocular
from g2face_model.landmarks import MeshLandmarker
from g2face_model.recognition import Recogniser, load_recognisers
from g2face_model.types import Box, FaceMesh, Floats, Image, Verdict
from g2face_model.verification import Fingerprint, Gate, expression_agreement, landmark_nme
from g2face_model.weights import WeightStore

FACE = Box(160, 66, 284, 190, 1.0)  # of the astronaut


@dataclass
class Fixed:
    """A recogniser that gives one embedding after the other, whatever it is shown."""

    embeddings: list[Floats]
    name: str = "fixed"
    family: str = "test"
    size: int = 8
    threshold: float = 0.6
    threshold_far_1: float = 0.5

    def crop(self, image: Image, mesh: FaceMesh) -> Image:  # noqa: ARG002
        return image

    def embed(self, image: Image, mesh: FaceMesh) -> Floats:  # noqa: ARG002
        return self.embeddings.pop(0)


@pytest.fixture(scope="module")
def landmarker(store: WeightStore) -> MeshLandmarker:
    return MeshLandmarker(store)


@pytest.fixture(scope="module")
def expressions(store: WeightStore) -> ExpressionEstimator:
    return ExpressionEstimator(store)


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return np.asarray(data.astronaut(), np.uint8)


@pytest.fixture(scope="module")
def mesh(landmarker: MeshLandmarker, astronaut: Image) -> FaceMesh:
    return landmarker.mesh(astronaut, FACE)


@pytest.fixture
def make(landmarker: MeshLandmarker, expressions: ExpressionEstimator):
    def make(*recognisers: Recogniser, **config: float) -> Gate:
        return Gate(recognisers, landmarker, expressions, config=GateConfig(**config))

    return make


def _before(gate: Gate, image: Image, mesh: FaceMesh) -> Fingerprint:
    return gate.measure(image, mesh, gate.expression(image, mesh))


def _judged(gate: Gate, before: Fingerprint, image: Image, *, attempts: int = 1) -> Verdict:
    return gate.judge(before, gate.measure_again(before, image), attempts=attempts)


def _apart(cosine: float) -> list[Floats]:
    """Two unit vectors with this similarity."""
    return [np.float32([1, 0]), np.float32([cosine, np.sqrt(1 - cosine**2)])]


def test_nme_is_a_share_of_the_eye_distance() -> None:
    mesh = drawn_mesh(200)
    assert interocular(mesh) == pytest.approx(50, abs=0.1)
    moved = replace(mesh, points=mesh.points + np.float32([3, 4, 100]))  # depth does not count
    assert landmark_nme(mesh, moved) == pytest.approx(0.1, abs=0.001)
    assert landmark_nme(mesh, mesh) == 0


def test_nme_is_the_mean_over_the_surface_without_irises() -> None:
    mesh = drawn_mesh(200)
    one, gaze = mesh.points.copy(), mesh.points.copy()
    one[7, 0] += 50
    gaze[468:] += 9
    assert landmark_nme(mesh, replace(mesh, points=one)) == pytest.approx(1 / 468, rel=0.01)
    assert landmark_nme(mesh, replace(mesh, points=gaze)) == 0


def test_nme_does_not_depend_on_the_pictures_size() -> None:
    mesh, moved = drawn_mesh(200), drawn_mesh(200, eyes_px=52)
    double, moved_double = (replace(m, points=m.points * np.float32(2)) for m in (mesh, moved))
    assert landmark_nme(double, moved_double) == pytest.approx(landmark_nme(mesh, moved), rel=1e-4)


@pytest.mark.parametrize(
    ("after", "agreement"),
    [([0, 0, 0, 1, 0, 0, 0], 1.0), ([0, 0, 0, 0, 0, 0, 1], 0.0), ([0, 0, 0, 0.75, 0, 0, 0.25], 0.75)],
)
def test_agreement_is_the_shared_probability(after: list[float], agreement: float) -> None:
    assert expression_agreement(np.float32([0, 0, 0, 1, 0, 0, 0]), np.float32(after)) == pytest.approx(agreement)


def test_an_unchanged_face_is_recognised_by_every_network(store: WeightStore, make, astronaut, mesh) -> None:
    gate = make(*load_recognisers(store))
    verdict = _judged(gate, _before(gate, astronaut, mesh), astronaut, attempts=3)
    assert not verdict.passed
    assert verdict.outcome == "covered"
    assert verdict.reasons == ("recognised by dlib", "recognised by faceres", "recognised by mobileface")
    assert min(verdict.similarities.values()) > 0.95
    assert verdict.landmark_nme < 0.02
    assert verdict.expression_agreement > 0.8
    assert verdict.attempts == 3


def test_a_face_that_no_network_recognises_passes(make, astronaut, mesh) -> None:
    gate = make(Fixed(_apart(0.1)))
    verdict = _judged(gate, _before(gate, astronaut, mesh), astronaut, attempts=1)
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.similarities == {"fixed": pytest.approx(0.1)}


def test_one_network_that_recognises_the_face_is_enough(make, astronaut, mesh) -> None:
    gate = make(Fixed(_apart(0.1)), Fixed(_apart(0.65), name="other"))
    verdict = _judged(gate, _before(gate, astronaut, mesh), astronaut, attempts=1)
    assert verdict.reasons == ("recognised by other",)


@pytest.mark.parametrize("vectors", [[np.float32([1, 0]), np.float32([np.nan, 0])], [np.float32([np.nan] * 2)] * 2])
def test_an_embedding_that_is_no_number_fails(make, astronaut, mesh, vectors: list[Floats]) -> None:
    gate = make(Fixed(list(vectors)))
    verdict = _judged(gate, _before(gate, astronaut, mesh), astronaut, attempts=1)
    assert np.isnan(verdict.similarities["fixed"])
    assert verdict.reasons == ("recognised by fixed",)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("similarity_margin", "recognised by fixed"),
        ("max_landmark_nme", "landmarks moved"),
        ("min_mesh_score", "face not found again"),
    ],
)
def test_a_limit_that_is_no_number_lets_nothing_pass(make, astronaut, mesh, setting: str, reason: str) -> None:
    gate = make(Fixed(_apart(0.1)), **{setting: float("nan")})
    assert _judged(gate, _before(gate, astronaut, mesh), astronaut, attempts=1).reasons == (reason,)


def test_a_similarity_exactly_at_the_limit_fails(make) -> None:
    """The step between the two thresholds is the unit of the margin: 0.6 - 1 x (0.6 - 0.5)."""
    for margin, limit in ((0.0, 0.6), (1.0, 0.5), (0.25, 0.575), (2.5, 0.35)):
        recogniser = Fixed([])
        gate = make(recogniser, similarity_margin=margin)
        assert gate.limit(recogniser) == pytest.approx(limit)


def test_shortfall_counts_steps_from_what_is_aimed_at(make) -> None:
    """Limits 0.6 and 0.3, aims two steps of 0.1 below."""
    strict = Fixed([], name="strict", threshold=0.3, threshold_far_1=0.2)
    gate = make(Fixed([]), strict, similarity_margin=0.0, similarity_aim=2.0)
    found = gate.shortfall(Verdict("anonymized", {"fixed": 0.3, "strict": 0.15}))
    assert found == pytest.approx({"fixed": -1.0, "strict": 0.5})


def test_a_recogniser_that_measured_nothing_before_is_not_passed_over(make, astronaut, mesh) -> None:
    gate = make(Fixed(_apart(0.1)))
    before = _before(gate, astronaut, mesh)
    with pytest.raises(KeyError):
        _judged(make(Fixed(_apart(0.1)), Fixed(_apart(0.1), name="late")), before, astronaut)


def test_a_face_that_is_gone_is_noticed(make, astronaut, mesh) -> None:
    gate = make(Fixed(_apart(0.1)))
    before = _before(gate, astronaut, mesh)
    blank = astronaut.copy()
    blank[60:200, 150:300] = 128
    assert "face not found again" in _judged(gate, before, blank).reasons


def test_a_face_that_moved_is_noticed(make, astronaut, mesh) -> None:
    gate = make(Fixed(_apart(0.1)))
    before = _before(gate, astronaut, mesh)
    wider = np.float32([[1.15, 0, -0.15 * 222], [0, 1, 4]])
    stretched = cv2.warpAffine(astronaut, wider, (512, 512))
    verdict = _judged(gate, before, stretched)
    assert "landmarks moved" in verdict.reasons
    assert 0.04 < verdict.landmark_nme < 0.3


def test_another_expression_is_noticed_unless_it_was_doubtful(make, astronaut, mesh) -> None:
    now = make(Fixed([])).expression(astronaut, mesh)
    assert now.argmax() == 3  # she smiles
    sad, torn = np.float32([0, 0, 0, 0, 1, 0, 0]), np.float32([0, 0, 0, 0.45, 0, 0, 0.55])
    for expression, reasons in ((now, ()), (sad, ("expression changed",)), (torn, ())):
        gate = make(Fixed(_apart(0.1)), max_expression_change=0.6)
        before = gate.measure(astronaut, mesh, expression)
        assert _judged(gate, before, astronaut).reasons == reasons
