from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2face_model.networks.generator import SLOTS, Generator, inverse_haar
from g2face_model.weights import WeightStore

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@pytest.fixture(scope="module")
def generator(store: WeightStore) -> Generator:
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    return generator.eval().requires_grad_(False)


def _styles(generator: Generator, *seeds: int) -> Tensor:
    """(N, 16, 512): one person per seed, the same w in every slot."""
    z = torch.cat([torch.randn(1, 512, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    return generator.mapping_forward(z)[:, None].repeat(1, SLOTS, 1)


@pytest.fixture(scope="module")
def original(store: WeightStore) -> Run:
    """z (1, 512) -> picture (1, 3, 1024, 1024) by the published network in its own runtime."""
    openvino: Any = pytest.importorskip("openvino", reason="needs the OpenVINO runtime (extra: dev)")
    core = openvino.Core()
    folder = store.directory / "sources" / store.parts["generator"].source.folder
    exact = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    mapping, synthesis = (
        core.compile_model(core.read_model(folder / f"{name}Network.xml"), "CPU", exact)
        for name in ("Mapping", "Synthesis")
    )
    return lambda z: synthesis(mapping(z)[0])[0]


@pytest.mark.parametrize("seed", range(3))
def test_pictures_are_those_of_the_published_network(generator: Generator, original: Run, seed: int) -> None:
    z = np.random.default_rng(seed).standard_normal((1, 512)).astype(np.float32)
    with torch.inference_mode():
        styles = generator.mapping_forward(torch.from_numpy(z))[:, None].expand(-1, SLOTS, -1)
        picture = generator(styles).numpy()
    assert picture.shape == (1, 3, 1024, 1024)
    assert picture.std() > 0.2
    assert np.abs(picture - original(z)).max() <= 1e-3


def test_small_picture_is_the_area_average_of_the_large_one(generator: Generator) -> None:
    with torch.inference_mode():
        styles = _styles(generator, 5)
        small, large = generator(styles, size=512), generator(styles, size=1024)
    assert small.shape == (1, 3, 512, 512)
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(large, 2), atol=1e-5, rtol=0)


def test_a_batch_gives_everyone_the_picture_they_get_alone(generator: Generator) -> None:
    """One picture takes the way that folds the modulation into the kernels, several do not."""
    with torch.inference_mode():
        styles = _styles(generator, 1, 2)
        together = generator(styles, size=512)
        alone = torch.cat([generator(one[None], size=512) for one in styles])
    assert (alone[0] - alone[1]).abs().mean() > 0.1
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)


def test_every_slot_steers_the_picture(generator: Generator) -> None:
    styles = _styles(generator, 3).requires_grad_()
    generator(styles, size=512).square().sum().backward()
    assert styles.grad is not None
    assert (styles.grad[0].norm(dim=1) > 1e-3).all()


def test_a_level_knows_its_own_slots_and_those_before(generator: Generator) -> None:
    styles = _styles(generator, 3).requires_grad_()
    features = generator.synthesis.features(styles, level=2)
    assert [tuple(level.shape) for level in features] == [(1, 512, side, side) for side in (8, 16, 32)]
    features[2].square().sum().backward()
    assert styles.grad is not None
    felt = styles.grad[0].norm(dim=1) > 0
    assert felt.tolist() == [True] * 7 + [False] * 9


def test_pictures_do_not_depend_on_the_call(generator: Generator) -> None:
    """In-place activations must not reach the parameters or the styles."""
    with torch.inference_mode():
        styles = _styles(generator, 4)
        kept = styles.clone()
        first, second = (generator.synthesis.features(styles, level=3)[-1] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(styles, kept)


def test_haar_bands_add_up_to_the_picture() -> None:
    """The forward transform written out for one channel: average and the three differences of each 2 x 2 block."""
    picture = torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    a, b = picture[..., ::2, ::2], picture[..., ::2, 1::2]
    c, d = picture[..., 1::2, ::2], picture[..., 1::2, 1::2]
    low = (a + b + c + d) / 2
    details = torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], 2) / 2
    bands = torch.cat([low, details.flatten(1, 2)], 1)
    torch.testing.assert_close(inverse_haar(bands), picture)
