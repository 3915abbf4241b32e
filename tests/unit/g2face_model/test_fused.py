"""The engine g2face with its trained weights: what is drawn, into what, and what it says of its masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sample_portraits import portrait

from g2face_model import alignment
from g2face_model.attributes import Attributes
from g2face_model.errors import WeightsError
from g2face_model.fused import FusedGenerator
from g2face_model.generation import Subject
from g2face_model.geometry import GeometryModel
from g2face_model.identity import IdentityModel, Looks, tones
from g2face_model.landmarks import MeshLandmarker, sixty_eight
from g2face_model.types import Box, Face, FaceMesh, Image
from g2face_model.weights import WeightStore

ONE, TWO = b"\x01" * 32, b"\x02" * 32
Masks = list[tuple[int, int, NDArray[np.uint8]]]


@pytest.fixture(scope="module")
def masks() -> Masks:
    return []


@pytest.fixture(scope="module")
def generator(store: WeightStore, masks: Masks) -> FusedGenerator:
    def explain(face: int, attempt: int, levels: Image) -> None:
        masks.append((face, attempt, levels))

    return FusedGenerator.load(store, device="cpu", precision="float32", candidates=8, explain=explain)


@pytest.fixture(scope="module")
def subject(store: WeightStore) -> Subject:
    """The astronaut of the portraits."""
    image, box = portrait(), Box(170, 60, 280, 200, 1.0)
    mesh = MeshLandmarker(store).mesh(image, box)
    points = sixty_eight(mesh)
    crop = alignment.extract(image, points.points, 320)
    placed = alignment.transform(mesh.points[:, :2], crop.matrix)
    inside = FaceMesh(np.column_stack([placed, mesh.points[:, 2]]).astype(np.float32), mesh.score)
    geometry = GeometryModel.load(store).derive(inside, np.eye(7, dtype=np.float32)[3])
    looks = Looks(Attributes(32.0, 0.1, np.eye(5, dtype=np.float32)[0]), tones(image, mesh), True)
    return Subject(Face(2, box, points, mesh, crop, geometry), looks, {})


def _drawn(generator: FusedGenerator, subject: Subject, seed: bytes) -> Image:
    return generator.render(generator.search(subject, seed).next(), size=700)


def _original(subject: Subject) -> Image:
    return alignment.warp(subject.face.crop.pixels, np.array([[0.8, 0, -0.1], [0, 0.8, -0.1]]), (256, 256))


def test_without_its_weights_there_is_no_engine(tmp_path: Path, store: WeightStore) -> None:
    nothing = WeightStore(store.directory, trained=tmp_path)
    with pytest.raises(WeightsError, match="fusion"):
        FusedGenerator.load(nothing, device="cpu", precision="float32", candidates=8)


def test_the_same_seed_gives_the_same_pixels_and_another_one_others(
    generator: FusedGenerator, subject: Subject
) -> None:
    one, again, two = (_drawn(generator, subject, seed) for seed in (ONE, ONE, TWO))
    assert one.shape == (256, 256, 3)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, two)


def test_the_surroundings_are_the_originals_and_the_face_is_not(generator: FusedGenerator, subject: Subject) -> None:
    gaps = np.abs(_drawn(generator, subject, ONE).astype(int) - _original(subject)).mean(2)
    around, face = gaps[:64].mean(), gaps[100:200, 80:176].mean()
    assert around < 30  # of 255 levels
    assert face > around / 2
    between = np.abs(_drawn(generator, subject, ONE).astype(int) - _drawn(generator, subject, TWO)).mean(2)
    assert between[100:200, 80:176].mean() > 2 * between[:40].mean()  # who it is changes the face above all


def test_masks_are_told_for_every_face_and_attempt(generator: FusedGenerator, subject: Subject, masks: Masks) -> None:
    masks.clear()
    search = generator.search(subject, ONE)
    for _ in range(2):
        generator.render(search.next(), size=256)
    assert [(face, attempt) for face, attempt, _ in masks] == [(2, 1), (2, 2)]
    levels = masks[0][2]
    assert levels.shape == (256, 5 * 256)
    for level in range(5):
        mask = levels[:, 256 * level : 256 * (level + 1)].astype(float)
        assert mask[110:190, 90:166].mean() > mask[:24].mean() + 25  # taken inside the face, kept at the rim


def test_candidates_are_the_gallerys_in_its_order(
    generator: FusedGenerator, subject: Subject, store: WeightStore
) -> None:
    geometry = subject.face.geometry
    gallery = IdentityModel.load(store).search(
        ONE, subject.looks, condition=geometry.condition, embeddings={}, candidates=8
    )
    search = generator.search(subject, ONE)
    for _ in range(3):
        assert search.next().identity.number == gallery.next().number
        for either in (search, gallery):
            either.worry({"dlib": 1.0})
