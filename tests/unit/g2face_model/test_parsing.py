from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from g2face_model.alignment import extract
from g2face_model.landmarks import MeshLandmarker, sixty_eight
from g2face_model.networks.generator import SLOTS, Generator
from g2face_model.parsing import FACE, GLASSES, OTHER, FaceParser, glasses_probe
from g2face_model.training.draws import mean_latent, plain
from g2face_model.training.people import SHARD, stack_styles, to_pixels
from g2face_model.types import Box, Crop, Image
from g2face_model.weights import WeightStore


@pytest.fixture(scope="module")
def generator(store: WeightStore) -> Generator:
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def picture(generator: Generator) -> Image:
    """The average face, 512 px: everybody and nobody, looking straight ahead."""
    styles = mean_latent(generator).expand(1, SLOTS, -1)
    with torch.inference_mode():
        return to_pixels(generator(styles, size=512)[0])


@pytest.fixture(scope="module")
def crop(store: WeightStore, picture: Image) -> Crop:
    mesh = MeshLandmarker(store).mesh(picture, Box(110, 110, 400, 440, 1.0))
    return extract(picture, sixty_eight(mesh).points, 256)


@pytest.fixture(scope="module")
def parser(store: WeightStore) -> FaceParser:
    return FaceParser(store)


def test_probabilities_cover_the_crop_and_add_up(parser: FaceParser, crop: Crop) -> None:
    found = parser.parse(crop)
    assert found.shape == (256, 256, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-4)


def test_face_is_face_and_its_surroundings_are_not(parser: FaceParser, crop: Crop) -> None:
    found = parser.parse(crop).argmax(-1)
    for x, y in (
        (128, 145),
        (105, 160),
        (150, 160),
        (128, 180),
        (100, 118),
        (128, 100),
    ):  # nose, cheeks, lips, eye, brow
        assert found[y, x] == FACE, (x, y)
    for x, y in ((5, 5), (250, 5), (5, 128), (250, 128), (128, 25), (20, 250)):
        assert found[y, x] == OTHER, (x, y)
    assert 0.12 < (found == FACE).mean() < 0.4


def test_hidden_parts_are_told_from_the_face(parser: FaceParser, crop: Crop) -> None:
    covered = crop.pixels.copy()
    cv2.rectangle(covered, (70, 150), (190, 256), (150, 190, 220), -1)
    found = parser.parse(covered)
    assert (found[165:185, 95:160].argmax(-1) == OTHER).mean() > 0.9
    assert (found[100:112, 100:156].argmax(-1) == FACE).mean() > 0.7


def test_sunglasses_are_glasses_as_a_whole(parser: FaceParser, crop: Crop) -> None:
    worn = crop.pixels.copy()
    for x in (97, 159):
        cv2.ellipse(worn, (x, 120), (25, 20), 0, 0, 360, (15, 15, 15), -1, cv2.LINE_AA)
    cv2.line(worn, (118, 116), (138, 116), (15, 15, 15), 3, cv2.LINE_AA)
    found = parser.parse(worn).argmax(-1)
    assert (found[110:130, 82:112] == GLASSES).mean() > 0.8
    assert (parser.parse(crop).argmax(-1) == GLASSES).mean() < 0.005


@pytest.mark.parametrize("side", [64, 192, 512])
def test_any_size_gives_the_same_answer(parser: FaceParser, crop: Crop, side: int) -> None:
    resized = cv2.resize(crop.pixels, (side, side), interpolation=cv2.INTER_AREA if side < 256 else cv2.INTER_LINEAR)
    small = cv2.resize(parser.parse(np.asarray(resized, np.uint8)), (64, 64), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(parser.parse(crop), (64, 64), interpolation=cv2.INTER_AREA)
    assert (small.argmax(-1) == expected.argmax(-1)).mean() > 0.95


def test_there_is_no_face_in_noise(parser: FaceParser) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (192, 192, 3)).astype(np.uint8)
    assert (parser.parse(noise).argmax(-1) == FACE).mean() < 0.1


def test_probe_picks_wearers_among_people_it_was_not_fitted_on(
    store: WeightStore, generator: Generator, parser: FaceParser
) -> None:
    weight, bias = glasses_probe(store)
    assert weight.shape == (512,)
    with torch.inference_mode():
        coarse, fine = plain(generator)(900, SHARD)
        order = (coarse.numpy() @ weight + bias).argsort()
        shares = []
        for index in (*order[:3], *order[-3:]):
            picture = to_pixels(
                generator(stack_styles(coarse[index : index + 1], fine[index : index + 1]), size=512)[0]
            )
            shares.append(float((parser.parse(picture).argmax(-1) == GLASSES).mean()))
    assert max(shares[:3]) < 0.002 < 0.005 < min(shares[3:])
