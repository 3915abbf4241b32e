from __future__ import annotations

import numpy as np
import pytest
from drawn_face import drawn_mesh

from g2face_model.attributes import Attributes
from g2face_model.generation import GalleryGenerator, Subject
from g2face_model.identity import IdentityModel, Looks
from g2face_model.rendering import Renderer
from g2face_model.types import Box, Crop, Face, FaceGeometry, Landmarks
from g2face_model.weights import WeightStore

SEED = b"\x01" * 32


@pytest.fixture(scope="module")
def renderer(store: WeightStore) -> Renderer:
    return Renderer(store, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def identities(store: WeightStore) -> IdentityModel:
    return IdentityModel.load(store)


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A frontal face with a neutral expression, and no recogniser to hide from."""
    landmarks, expression = Landmarks(np.zeros((68, 2), np.float32)), np.eye(7, dtype=np.float32)[6]
    geometry = FaceGeometry(np.zeros(80, np.float32), expression, np.zeros(3, np.float32))
    crop = Crop(np.zeros((256, 256, 3), np.uint8), np.eye(2, 3))
    face = Face(0, Box(0, 0, 256, 256, 1.0), landmarks, drawn_mesh(256), crop, geometry)
    return Subject(
        face, Looks(Attributes(30.0, 0.0, np.eye(5, dtype=np.float32)[4]), np.zeros((13, 3), np.float32), False), {}
    )


def test_the_gallery_gives_its_candidates_in_order_and_renders_them(
    identities: IdentityModel, renderer: Renderer, subject: Subject
) -> None:
    generator = GalleryGenerator(identities, renderer, candidates=5)
    assert generator.device == "cpu"
    search = generator.search(subject, SEED)
    expected = identities.search(
        SEED, subject.looks, condition=subject.face.geometry.condition, embeddings={}, candidates=5
    )
    people = [(search.next(), expected.next()) for _ in range(5)]
    assert all(np.array_equal(one.styles, other.styles) for one, other in people)
    assert len({one.number for one, _ in people}) == 5
    person = people[0][0]
    assert np.array_equal(generator.render(person, size=300), renderer.render(person.styles, size=300))
