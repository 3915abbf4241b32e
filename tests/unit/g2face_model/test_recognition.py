import math
from pathlib import Path

import numpy as np
import pytest
import torch

from g2face_model.alignment import transform
from g2face_model.detection import FaceDetector
from g2face_model.errors import WeightsError
from g2face_model.images import decode
from g2face_model.landmarks import MeshLandmarker, sixty_eight
from g2face_model.recognition import (
    ARCFACE_TEMPLATE,
    RECOGNISERS,
    OnnxRecogniser,
    OnnxSpec,
    TorchRecogniser,
    align_arcface,
    align_dlib,
    align_square,
    fit_similarity,
    load_recognisers,
    similarity,
)
from g2face_model.types import FaceMesh, Image
from g2face_model.weights import WeightStore

RANDOM = np.random.default_rng(11)


def _mesh(*, turned: float = 0.0, scale: float = 1.0) -> FaceMesh:
    """Points as far apart as in a face, eyes level, then turned about (200, 150) and scaled."""
    points = RANDOM_POINTS * [60, 80, 20]
    points[[33, 263], :2] = [[-45, -20], [45, -20]]
    cos, sin = math.cos(turned) * scale, math.sin(turned) * scale
    points[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]]) + [200, 150]
    return FaceMesh(points.astype(np.float32), score=1.0)


RANDOM_POINTS = RANDOM.uniform(-1, 1, (478, 3))


@pytest.fixture(scope="module")
def recognisers(store: WeightStore) -> dict[str, TorchRecogniser]:
    return {recogniser.name: recogniser for recogniser in load_recognisers(store)}


@pytest.fixture(scope="module")
def people(store: WeightStore, faces_dir: Path) -> list[tuple[tuple[Image, FaceMesh], tuple[Image, FaceMesh]]]:
    """Three people, each neutral and smiling."""
    detector, landmarker = FaceDetector(store, threads=1), MeshLandmarker(store)

    def read(number: int) -> tuple[Image, FaceMesh]:
        image = decode((faces_dir / "pairs" / f"{number:04d}.jpg").read_bytes())
        return image, landmarker.mesh(image, detector.detect(image)[0])

    return [(read(number), read(number + 50)) for number in (1, 2, 3)]


def test_similarity_is_the_cosine() -> None:
    assert similarity([3.0, 0.0], [1.0, 1.0]) == pytest.approx(math.sqrt(0.5))
    assert similarity([1.0, 0.0], [-2.0, 0.0]) == pytest.approx(-1.0)
    assert similarity([0.0, 0.0], [1.0, 0.0]) == 0.0


def test_fit_similarity_finds_rotation_scale_and_shift() -> None:
    source = RANDOM.standard_normal((6, 2))
    expected = np.array([[0.6, -0.8, 3.0], [0.8, 0.6, -2.0]]) * [[2.0, 2.0, 1.0]]
    np.testing.assert_allclose(fit_similarity(source, transform(source, expected)), expected, atol=1e-12)


def test_fit_similarity_never_mirrors() -> None:
    source = RANDOM.standard_normal((6, 2))
    assert np.linalg.det(fit_similarity(source, source * [-1, 1])[:, :2]) >= 0


@pytest.mark.parametrize("align", [align_dlib, align_arcface, align_square])
def test_alignment_undoes_turning_and_scaling(align: object) -> None:
    assert callable(align)
    upright, turned = _mesh(), _mesh(turned=0.7, scale=2.5)
    for size in (112, 224):
        one = transform(upright.points[:, :2], align(upright, size))
        other = transform(turned.points[:, :2], align(turned, size))
        np.testing.assert_allclose(one, other, atol=0.02)


def test_square_alignment_leaves_the_margin() -> None:
    placed = transform(_mesh().points[:468, :2], align_square(_mesh(), 100, margin=1.25, raised=0.1))
    low, high = placed.min(axis=0), placed.max(axis=0)
    assert (high - low).max() == pytest.approx(80.0, abs=0.1)
    assert (low + high) / 2 == pytest.approx([49.5, 57.5], abs=0.1)


def test_dlib_alignment_agrees_with_dlibs_chip(people: list[tuple[tuple[Image, FaceMesh], ...]]) -> None:
    dlib = pytest.importorskip("dlib", reason="needs dlib-bin")
    image, mesh = people[0][0]
    points = [dlib.point(int(x), int(y)) for x, y in sixty_eight(mesh).points.round()]
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, 100, 100), points)
    theirs = dlib.get_face_chip(image, shape, size=150, padding=0.25)
    from g2face_model.alignment import warp

    ours = warp(image, align_dlib(mesh, 150), (150, 150))
    assert np.abs(ours.astype(int) - theirs.astype(int)).mean() < 4.0  # another resampling, points in whole px


def test_arcface_alignment_puts_the_mouth_below_the_eyes(people: list[tuple[tuple[Image, FaceMesh], ...]]) -> None:
    _, mesh = people[0][0]
    points = transform(sixty_eight(mesh).points, align_arcface(mesh, 112))
    eyes = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]
    np.testing.assert_allclose([*eyes, points[48], points[54]], ARCFACE_TEMPLATE[[0, 1, 3, 4]] * 112, atol=5.0)


@pytest.mark.parametrize("name", RECOGNISERS)
def test_tells_people_apart(
    name: str,
    recognisers: dict[str, TorchRecogniser],
    people: list[tuple[tuple[Image, FaceMesh], tuple[Image, FaceMesh]]],
) -> None:
    recogniser = recognisers[name]
    neutral = [recogniser.embed(*person[0]) for person in people]
    smiling = [recogniser.embed(*person[1]) for person in people]
    for i, one in enumerate(neutral):
        assert np.linalg.norm(one) == pytest.approx(1.0, abs=1e-5)
        for j, other in enumerate(smiling):
            assert (similarity(one, other) >= recogniser.threshold) == (i == j)


@pytest.mark.parametrize("name", RECOGNISERS)
def test_differentiable_crops_give_the_same_embedding(name: str, recognisers: dict[str, TorchRecogniser]) -> None:
    recogniser = recognisers[name]
    crops = RANDOM.integers(0, 256, (2, recogniser.size, recogniser.size, 3), dtype=np.uint8)
    faces = torch.tensor(crops).permute(0, 3, 1, 2).float().div(255).requires_grad_()
    vectors = recogniser.embed_crops(faces)
    np.testing.assert_allclose(vectors.detach().numpy(), recogniser.embed_many(list(crops)), atol=1e-4)
    (vectors[0] @ vectors[1]).backward()  # type: ignore[no-untyped-call]
    assert faces.grad is not None
    assert (faces.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", RECOGNISERS)
def test_thresholds_are_in_order(name: str, recognisers: dict[str, TorchRecogniser]) -> None:
    assert -1 < recognisers[name].threshold_far_1 < recognisers[name].threshold < 1


def test_unknown_recogniser(store: WeightStore) -> None:
    with pytest.raises(WeightsError, match="known: dlib"):
        load_recognisers(store, ["arcface"])


# A hand-written ONNX file: one GlobalAveragePool, so that the "embedding" is the mean of each input channel.
def _field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return bytes((number << 3, content))
    return bytes((number << 3 | 2, len(content))) + content


def _tensor_of(name: str, *sizes: int) -> bytes:
    shape = b"".join(_field(1, _field(1, size)) for size in sizes)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))


def _mean_network(size: int) -> bytes:
    node = _field(1, b"x") + _field(2, b"y") + _field(4, b"GlobalAveragePool")
    graph = _field(1, node) + _field(2, b"g")
    graph += _field(11, _tensor_of("x", 1, 3, size, size)) + _field(12, _tensor_of("y", 1, 3, 1, 1))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))


def _spec(path: Path, **changes: object) -> OnnxSpec:
    fields: dict[str, object] = {"name": "mean", "threshold": 0.5, "threshold_far_1": 0.4, "size": 32, **changes}
    return OnnxSpec(path=path, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("colours", "order"), [("RGB", [0, 1, 2]), ("BGR", [2, 1, 0])])
def test_onnx_recogniser_feeds_what_its_spec_says(tmp_path: Path, colours: str, order: list[int]) -> None:
    path = tmp_path / "mean.onnx"
    path.write_bytes(_mean_network(32))
    recogniser = OnnxRecogniser(_spec(path, mean=100.0, std=50.0, colours=colours))
    crop = np.full((32, 32, 3), (200, 50, 110), np.uint8)
    expected = np.array([2.0, -1.0, 0.2])[order]
    np.testing.assert_allclose(recogniser.embed_many([crop])[0], expected / np.linalg.norm(expected), atol=1e-5)


def test_onnx_recogniser_embeds_a_face_in_a_photograph(tmp_path: Path) -> None:
    path = tmp_path / "mean.onnx"
    path.write_bytes(_mean_network(32))
    image = np.full((300, 400, 3), (255, 0, 0), np.uint8)
    vector = OnnxRecogniser(_spec(path)).embed(image, _mesh())
    np.testing.assert_allclose(vector, np.array([1, -1, -1]) / math.sqrt(3), atol=1e-5)


def test_onnx_recogniser_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    path = tmp_path / "mean.onnx"
    with pytest.raises(WeightsError, match="cannot be read"):
        OnnxRecogniser(_spec(path))
    path.write_bytes(b"\xff\xff not a network")
    with pytest.raises(WeightsError, match="not a usable"):
        OnnxRecogniser(_spec(path))
    with pytest.raises(WeightsError, match="colours"):
        OnnxRecogniser(_spec(path, colours="GBR"))
