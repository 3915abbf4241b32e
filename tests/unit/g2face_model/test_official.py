"""The official engine with filled weights: what goes in, where it comes from, and that it repeats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_face import drawn_mesh
from official_weights import loaded
from skimage import data

from g2face_model.attributes import Attributes
from g2face_model.errors import WeightsError
from g2face_model.generation import Subject
from g2face_model.identity import Looks
from g2face_model.networks.official.coefficients import geometry
from g2face_model.networks.official.identity import Map2Id, StyleMlp
from g2face_model.official import OfficialGenerator, drawn_normal, hidden_bits
from g2face_model.types import Box, Crop, Face, FaceGeometry, Image, Landmarks
from g2face_model.weights import WeightStore

ONE, TWO = b"\x01" * 32, b"\x02" * 32
COUNT = 12


@pytest.fixture(scope="module")
def generator(official_store: WeightStore) -> OfficialGenerator:
    return OfficialGenerator(official_store, device="cpu", candidates=COUNT)


@pytest.fixture(scope="module")
def astronaut() -> Image:
    """Her head, as large as crops are."""
    return np.ascontiguousarray(data.astronaut()[:256, 100:356])


def _subject(pixels: Image) -> Subject:
    size = len(pixels)
    shape, expression, angles = (np.zeros(n, np.float32) for n in (80, 7, 3))
    landmarks = Landmarks(np.zeros((68, 2), np.float32))
    crop = Crop(pixels, np.eye(2, 3))
    box = Box(0, 0, size, size, 1.0)
    face = Face(0, box, landmarks, drawn_mesh(size), crop, FaceGeometry(shape, expression, angles))
    looks = Looks(Attributes(40.0, 0.0, np.eye(5, dtype=np.float32)[4]), np.zeros((13, 3), np.float32), True)
    return Subject(face, looks, {})


def test_without_the_files_there_is_no_engine(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'g2face-official' are missing; hand them in: .*import-official") as caught:
        OfficialGenerator(WeightStore(tmp_path), device="cpu", candidates=COUNT)
    assert str(tmp_path) not in str(caught.value)


def test_the_same_seed_gives_the_same_pixels_and_another_one_others(
    generator: OfficialGenerator, astronaut: Image
) -> None:
    pictures = [
        generator.render(generator.search(_subject(astronaut), seed).next(), size=600) for seed in (ONE, ONE, TWO)
    ]
    assert pictures[0].shape == (256, 256, 3)
    assert pictures[0].dtype == np.uint8
    assert pictures[0].std() > 10
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@torch.inference_mode()
def test_styles_are_made_of_a_drawn_identity_and_the_originals_geometry(
    generator: OfficialGenerator, astronaut: Image
) -> None:
    """Whoever ArcFace finds more like the original than chance comes last; otherwise the order is the draw's."""
    dummies = generator.search(_subject(astronaut), ONE)
    face = torch.from_numpy(astronaut.astype(np.float32) / 255).permute(2, 0, 1)[None]
    described = geometry(generator._coefficients(face))
    identities = loaded(Map2Id, "map_2_id")(torch.from_numpy(drawn_normal(ONE, "identities", COUNT, 512)))
    likeness = torch.nn.functional.cosine_similarity(identities, generator._arcface(face * 2 - 1))
    order = [*(likeness <= 0).nonzero().flatten(), *(likeness > 0).nonzero().flatten()]
    wanted = loaded(StyleMlp, "style_mlp")(identities[torch.stack(order)], described.expand(COUNT, -1))
    given = torch.cat([dummies.next().styles for _ in range(COUNT)])
    assert given.shape == (COUNT, 14, 512)
    assert torch.allclose(given, wanted, atol=1e-4)
    assert torch.cdist(given[:, 0], given[:, 0]).fill_diagonal_(9).min() > 1e-2


def test_large_and_small_crops_are_brought_to_256(generator: OfficialGenerator, astronaut: Image) -> None:
    plain = generator.search(_subject(astronaut), ONE).next().original
    assert plain.shape == (1, 3, 256, 256)
    assert (float(plain.min()), float(plain.max())) >= (-1.0, 0.9)
    doubled = generator.search(_subject(astronaut.repeat(2, 0).repeat(2, 1)), ONE).next().original
    assert torch.allclose(doubled, plain, atol=1e-6)
    assert generator.search(_subject(astronaut[:128, :128].copy()), ONE).next().original.shape == plain.shape


def test_nothing_of_the_original_is_hidden_in_the_picture(generator: OfficialGenerator, astronaut: Image) -> None:
    """The authors' bits are the person's face template; these are the seed's, whoever the person is."""
    one, other = (
        generator.search(_subject(pixels), ONE).next().bits for pixels in (astronaut, astronaut[:, ::-1].copy())
    )
    assert torch.equal(one, other)
    assert torch.equal(one, hidden_bits(ONE))
    assert not torch.equal(one, hidden_bits(TWO))


def test_hidden_bits_are_the_bits_of_standard_normal_numbers() -> None:
    """Sign first, then exponent and fraction: what the networks were trained with."""
    bits = hidden_bits(ONE)
    assert bits.shape == (1, 512, 32)
    words = (bits[0].double() * 2.0 ** torch.arange(31, -1, -1).double()).sum(1)
    numbers = words.numpy().astype(np.uint32).view(np.float32)
    assert np.array_equal(numbers, drawn_normal(ONE, "hidden bits", 512))
    assert abs(float(numbers.mean())) < 0.2
    assert 0.9 < float(numbers.std()) < 1.1


def test_draws_for_different_purposes_have_nothing_in_common() -> None:
    assert np.array_equal(drawn_normal(ONE, "a", 9), drawn_normal(ONE, "a", 9))
    for other in (drawn_normal(ONE, "b", 900), drawn_normal(TWO, "a", 900)):
        assert abs(float(np.corrcoef(other, drawn_normal(ONE, "a", 900))[0, 1])) < 0.2


def test_worry_changes_nothing(generator: OfficialGenerator, astronaut: Image) -> None:
    calm, worried = (generator.search(_subject(astronaut), ONE) for _ in range(2))
    worried.worry({"dlib": 9.0})
    assert torch.equal(calm.next().styles, worried.next().styles)
