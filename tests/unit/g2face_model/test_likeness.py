"""A likeness: drawn from a code alone, in the place of an anonymized face."""

from __future__ import annotations

import numpy as np
import pytest
from sample_portraits import portrait

from g2face_model import in_image
from g2face_model.build import build_anonymizer
from g2face_model.compositing import Patch
from g2face_model.config import ModelConfig
from g2face_model.detection import FaceDetector
from g2face_model.errors import RecoveryError
from g2face_model.identity import IdentityModel
from g2face_model.landmarks import MeshLandmarker
from g2face_model.likeness import Likeness
from g2face_model.recognition import TorchRecogniser, load_recognisers, similarity
from g2face_model.types import Box, FaceMesh, Floats, Image
from g2face_model.weights import WeightStore


@pytest.fixture(scope="module")
def config(store: WeightStore) -> ModelConfig:
    return ModelConfig(weights_dir=store.directory, device="cpu", attempts=3)


@pytest.fixture(scope="module")
def likeness(store: WeightStore, config: ModelConfig) -> Likeness:
    codes = in_image.identity_codes(store)
    return Likeness(build_anonymizer(config), IdentityModel.load(store), codes)


@pytest.fixture(scope="module")
def original() -> Image:
    return portrait(1)


@pytest.fixture(scope="module")
def box(store: WeightStore, original: Image) -> Box:
    return FaceDetector(store).detect(original)[0]


@pytest.fixture(scope="module")
def mesh(store: WeightStore, original: Image, box: Box) -> FaceMesh:
    return MeshLandmarker(store).mesh(original, box)


@pytest.fixture(scope="module")
def recognisers(store: WeightStore) -> dict[str, TorchRecogniser]:
    return {recogniser.name: recogniser for recogniser in load_recognisers(store)}


@pytest.fixture(scope="module")
def code(store: WeightStore, recognisers: dict[str, TorchRecogniser], original: Image, mesh: FaceMesh) -> bytes:
    return in_image.encode(in_image.identity_codes(store), {"dlib": recognisers["dlib"].embed(original, mesh)})


@pytest.fixture(scope="module")
def anonymized(config: ModelConfig, original: Image) -> Image:
    result = build_anonymizer(config).anonymize(original, lambda _: bytes(32))
    assert [face.verdict.outcome for face in result.faces] == ["anonymized"]
    return result.image


@pytest.fixture(scope="module")
def patch(likeness: Likeness, anonymized: Image, box: Box, code: bytes) -> Patch:
    drawn = likeness.draw(anonymized, box, code)
    assert drawn is not None
    return drawn


@pytest.mark.parametrize("judge", ["dlib", "faceres"])  # the second took no part
def test_it_is_more_like_the_original_than_the_anonymized_face_is(
    recognisers: dict[str, TorchRecogniser],
    original: Image,
    anonymized: Image,
    patch: Patch,
    mesh: FaceMesh,
    judge: str,
) -> None:
    recovered = anonymized.copy()
    patch.apply(recovered)

    def alike(image: Image) -> float:
        seen: Floats = recognisers[judge].embed(image, mesh)
        return similarity(seen, recognisers[judge].embed(original, mesh))

    assert alike(recovered) > alike(anonymized) + 0.02


def test_only_the_face_is_drawn(patch: Patch, anonymized: Image) -> None:
    recovered = anonymized.copy()
    patch.apply(recovered)
    changed = (recovered != anonymized).any(2)
    assert 0.02 < changed.mean() < 0.4


def test_the_same_code_gives_the_same_likeness(
    likeness: Likeness, anonymized: Image, box: Box, code: bytes, patch: Patch
) -> None:
    again = likeness.draw(anonymized, box, code)
    assert again is not None
    assert np.array_equal(again.pixels, patch.pixels)


def test_nothing_is_drawn_where_there_is_no_face(likeness: Likeness, code: bytes) -> None:
    assert likeness.draw(np.full((200, 200, 3), 90, np.uint8), Box(50, 50, 150, 150, 1.0), code) is None


def test_a_code_of_another_size_is_refused(likeness: Likeness, anonymized: Image, box: Box) -> None:
    with pytest.raises(RecoveryError, match="64 bytes"):
        likeness.draw(anonymized, box, bytes(12))
