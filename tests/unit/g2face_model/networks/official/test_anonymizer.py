from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from official_weights import GOLDEN, MANIFEST, loaded
from torch import Tensor

from g2face_model.networks.official.anonymizer import BITS, NOISE_SIZES, SIZE, STYLES, AnonymousNet


@pytest.fixture(scope="module")
def network() -> AnonymousNet:
    return loaded(AnonymousNet, "anonymous_net")


@pytest.fixture(scope="module")
def reference() -> dict[str, Tensor]:
    """What the authors' own code made of the same weights, every third pixel of it."""
    with np.load(GOLDEN / "g2face_official_v1.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def _image() -> Tensor:
    """The picture that the reference was made from."""
    rows, columns = np.mgrid[:SIZE, :SIZE] / (SIZE - 1)
    channels = [np.sin(6 * columns + c) * np.cos(5 * rows - c) for c in range(3)]
    return torch.from_numpy(np.stack(channels).astype(np.float32)[None])


def _error(drawn: Tensor, expected: Tensor) -> float:
    return float((drawn[:, :, ::3, ::3] - expected).norm() / expected.norm())


def _noise(level: float) -> list[Tensor]:
    return [torch.full((1, 1, side, side), level) for side in NOISE_SIZES]


def _inputs(reference: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    bits = torch.from_numpy(np.unpackbits(reference["bits"].numpy()).reshape(1, *BITS).astype(np.float32))
    styles = torch.repeat_interleave(reference["styles"], torch.tensor([6, 6, 2]), 1)
    return _image(), styles, bits


def test_names_and_shapes_are_those_of_the_published_file(network: AnonymousNet) -> None:
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == {name: entry["shape"] for name, entry in MANIFEST["anonymous_net"].items()}
    assert sum(math.prod(shape) for shape in shapes.values()) > 81e6


@torch.inference_mode()
def test_the_picture_is_the_one_that_the_authors_code_draws(
    network: AnonymousNet, reference: dict[str, Tensor]
) -> None:
    """Measured: 9e-7 of its norm. The weights' noise strengths are zero, so noise changes nothing."""
    drawn = network(*_inputs(reference), _noise(3.0))
    assert drawn.shape == (1, 3, SIZE, SIZE)
    assert _error(drawn, reference["anonymized"]) < 1e-5


@torch.inference_mode()
def test_noise_counts_where_its_strength_is_not_zero_and_a_batch_does_not_mix(
    network: AnonymousNet, reference: dict[str, Tensor]
) -> None:
    noise = [torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, side, side) for side in NOISE_SIZES]
    network.convs[3].noise.weight.fill_(0.5)
    try:
        quiet, noisy = network(*(torch.cat([each, each]) for each in _inputs(reference)), noise).split(1)
    finally:
        network.convs[3].noise.weight.zero_()
    assert _error(quiet, reference["anonymized"]) < 1e-5
    assert _error(noisy, reference["anonymized"]) > 1e-3


def test_there_is_a_style_and_a_noise_map_for_every_convolution(network: AnonymousNet) -> None:
    assert len(NOISE_SIZES) == 1 + len(network.convs)
    assert len(network.convs) + 2 == STYLES
    assert (NOISE_SIZES[0], NOISE_SIZES[-1]) == (4, SIZE)
