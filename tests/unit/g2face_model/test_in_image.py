"""The whole way of a hidden payload: anonymized, published, read with the key, and with no other."""

from __future__ import annotations

import numpy as np
import pytest
from sample_portraits import portrait

from g2face_model import images, in_image, recovery
from g2face_model.build import build_anonymizer
from g2face_model.config import ModelConfig
from g2face_model.errors import RecoveryError
from g2face_model.hidden_payload import CODE_BYTES
from g2face_model.in_image import InImage
from g2face_model.landmarks import MeshLandmarker
from g2face_model.payload_file import Key
from g2face_model.recognition import load_recognisers, similarity
from g2face_model.recovery import image_sha256
from g2face_model.types import AnonymizedImage, Image
from g2face_model.weights import WeightStore

KEY = Key(bytes(range(32)))


@pytest.fixture(scope="module")
def original() -> Image:
    return portrait(1)


@pytest.fixture(scope="module")
def reader(store: WeightStore) -> InImage:
    return in_image.load(store.directory, KEY.hidden)


@pytest.fixture(scope="module")
def result(store: WeightStore, reader: InImage, original: Image) -> AnonymizedImage:
    anonymizer = build_anonymizer(ModelConfig(weights_dir=store.directory, device="cpu", attempts=3))
    digest = image_sha256(original)
    return reader.anonymize(anonymizer, original, lambda face: KEY.seed(digest, face), record_ids=KEY.record_id)


def test_the_face_passed_the_gate_with_the_payload_in_it(result: AnonymizedImage) -> None:
    assert [face.verdict.outcome for face in result.faces] == ["anonymized"]


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_the_payload_is_read_from_what_was_published(
    reader: InImage, original: Image, result: AnonymizedImage, format: images.Format
) -> None:
    published = images.decode(images.encode(result.image, format, quality=90))
    (found,) = reader.read(published)
    assert found.payload is not None
    assert found.payload.record_id == KEY.record_id(image_sha256(original), 0)


def test_the_code_says_who_it_was(
    store: WeightStore, reader: InImage, original: Image, result: AnonymizedImage
) -> None:
    (found,) = reader.read(result.image)
    assert found.payload is not None
    coded = in_image.decode(in_image.identity_codes(store), found.payload.code)["dlib"]
    (recogniser,) = load_recognisers(store, ["dlib"])
    mesh = MeshLandmarker(store).mesh(original, found.box)
    embedding = recogniser.embed(original, mesh)
    mean = in_image.identity_codes(store).bases["dlib"][0]
    assert similarity(coded, embedding - mean) > 0.9


def test_another_key_reads_nothing(store: WeightStore, result: AnonymizedImage) -> None:
    (found,) = in_image.load(store.directory, Key(bytes(32)).hidden).read(result.image)
    assert found.payload is None


def test_an_original_carries_nothing(reader: InImage, original: Image) -> None:
    (found,) = reader.read(original)
    assert found.payload is None


def test_a_picture_without_a_face_has_nothing_to_read(reader: InImage) -> None:
    assert reader.read(np.full((120, 160, 3), 90, np.uint8)) == []


def test_the_exact_grade_stays_exact(original: Image, result: AnonymizedImage) -> None:
    published = images.decode(images.encode(result.image, "png"))
    payloads = recovery.protect(original, published, result.faces)
    assert np.array_equal(recovery.restore(published, payloads), original)


def test_codes_are_small_and_exact_enough(store: WeightStore) -> None:
    codes = in_image.identity_codes(store)
    mean, components = codes.bases["dlib"]
    weights = np.random.default_rng(0).normal(size=len(components)).astype(np.float32)
    embedding = mean + 0.1 * weights @ components
    code = in_image.encode(codes, {"dlib": embedding})
    assert len(code) == CODE_BYTES
    assert similarity(in_image.decode(codes, code)["dlib"], embedding - mean) > 0.999


def test_a_code_of_another_size_is_refused(store: WeightStore) -> None:
    with pytest.raises(RecoveryError, match="64 bytes"):
        in_image.decode(in_image.identity_codes(store), bytes(63))
