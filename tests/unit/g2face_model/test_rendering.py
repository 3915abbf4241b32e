from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from g2face_model.errors import WeightsError
from g2face_model.networks.generator import SLOTS, Generator
from g2face_model.rendering import Renderer
from g2face_model.types import Floats
from g2face_model.weights import WeightStore


@pytest.fixture(scope="module")
def styles(store: WeightStore) -> Floats:
    """One person (16, 512)."""
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return generator.mapping_forward(z).expand(SLOTS, -1).contiguous().numpy()


@pytest.fixture(scope="module")
def exact(store: WeightStore) -> Renderer:
    return Renderer(store, device="cpu", precision="float32")


def test_small_crops_get_the_small_render_and_large_ones_the_large(exact: Renderer, styles: Floats) -> None:
    small, large = exact.render(styles, size=600), exact.render(styles, size=601)
    assert (small.shape, small.dtype) == ((512, 512, 3), np.uint8)
    assert (large.shape, large.dtype) == ((1024, 1024, 3), np.uint8)
    averaged = cv2.resize(large, (512, 512), interpolation=cv2.INTER_AREA)
    difference = np.abs(small.astype(int) - averaged)
    assert (difference > 1).mean() < 0.01  # where the large one has overshot and was clipped
    assert small.std() > 20


def test_half_precision_is_close_and_rendering_repeats(store: WeightStore, exact: Renderer, styles: Floats) -> None:
    half = Renderer(store, device="cpu", precision="bfloat16")
    one, two, reference = half.render(styles, size=256), half.render(styles, size=256), exact.render(styles, size=256)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, reference)
    noise = np.square(one.astype(float) - reference).mean()
    assert 10 * np.log10(255**2 / noise) > 40  # dB: nobody sees a difference


def test_colours_beyond_black_and_white_are_cut_off(exact: Renderer, styles: Floats) -> None:
    """Wrapping around would put white specks into shadows."""
    extreme = styles * np.float32(3)
    picture = exact.render(extreme, size=512)
    with torch.inference_mode():
        generator = exact._synthesis(torch.from_numpy(extreme)[None], size=512)[0].permute(1, 2, 0).numpy()
    assert generator.max() > 1.05
    assert (picture[generator > 1] == 255).all()
    assert (picture[generator < -1] == 0).all()


def test_without_the_generator_there_is_no_renderer(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="generator"):
        Renderer(WeightStore(tmp_path), device="cpu", precision="float32")
