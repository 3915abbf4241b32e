from __future__ import annotations

import numpy as np
import pytest
import torch

from g2face_model.networks.parser import SIZE, ParserNet
from g2face_model.training.face_labels import GRID
from g2face_model.training.people import People
from g2face_model.training.scenes import Faces, find_glasses, make_sample, shrink
from g2face_model.training.wearers import BARE, UNKNOWN, WEARS


def test_samples_are_pictures_with_soft_labels(faces: Faces) -> None:
    chance = np.random.default_rng(0)
    worn = 0
    for _ in range(12):
        picture, labels = make_sample(faces, chance)
        assert picture.shape == labels.shape == (SIZE, SIZE, 3)
        assert picture.dtype == np.uint8
        np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-4)
        worn += int(labels[..., 1].max() > 0.5)
    assert 0 < worn < 12


def test_a_plain_sample_is_the_crop_itself(faces: Faces) -> None:
    _, labels = make_sample(faces, np.random.default_rng(0), plain=True)
    assert 0.1 < labels[..., 0].mean() < 0.4
    assert labels[..., 1].max() == 0


def test_labels_lie_where_the_face_lies(faces: Faces) -> None:
    for seed in range(6):
        scene = faces.scene(np.random.default_rng(seed))
        for vertex in (4, 50, 280):
            x, y = np.round(scene.mesh[vertex, :2]).astype(int)
            assert scene.face[y, x] > 0.5
        left, right = scene.mesh[[33, 263], 0]
        assert 35 < right - left < 75


def test_people_of_whom_nothing_is_known_are_left_out(people: People, labels: np.ndarray) -> None:
    wears = np.array([BARE, UNKNOWN, BARE, WEARS], np.int8)
    assert len(Faces([(people, labels)], [wears], net=ParserNet())) == 3


class _Bar(ParserNet):
    """Sees glasses in a bar across the eyes."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros_like(crops)
        logits[:, 0] = 5
        logits[:, 1, 80:100] = 10
        return logits


def test_wearers_get_the_glasses_that_a_parser_finds(people: People, labels: np.ndarray) -> None:
    wears = np.full(len(people), WEARS, np.int8)
    _, found = make_sample(Faces([(people, labels)], [wears], net=_Bar()), np.random.default_rng(1), plain=True)
    rows = (found[..., 1] > 0.5).any(1).nonzero()[0]
    assert 12 < len(rows) < 32
    assert 70 < rows.mean() < 110


def test_glasses_are_found_the_same_in_a_mirror(people: People) -> None:
    torch.manual_seed(0)
    picture, net = shrink(people.picture(0)), ParserNet().eval()
    there, back = find_glasses(net, picture), find_glasses(net, np.ascontiguousarray(picture[:, ::-1]))
    np.testing.assert_allclose(there, back[:, ::-1], atol=1e-5)
    assert there.shape == (SIZE, SIZE)


@pytest.mark.parametrize("seed", range(3))
def test_chance_alone_decides(faces: Faces, seed: int) -> None:
    first, second = (make_sample(faces, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert GRID < SIZE
