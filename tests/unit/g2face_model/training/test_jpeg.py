from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from g2face_model.training.jpeg import jpeg, rounded
from g2face_model.types import Image


def picture() -> Image:
    """Smooth colours with an edge and some grain, (70, 91, 3): no multiple of a block."""
    rows, columns = np.mgrid[:70, :91]
    levels = np.stack([90 + rows, 40 + 2 * columns, 200 - rows - columns / 2], -1).astype(np.float64)
    levels[20:50, 30:60] -= 40
    return np.clip(levels + np.random.default_rng(0).normal(0, 3, levels.shape), 0, 255).astype(np.uint8)


def as_tensor(pixels: Image) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("quality", [50, 75, 90, 95])
@pytest.mark.parametrize("subsampled", [False, True])
def test_it_does_what_a_real_coder_does(quality: int, subsampled: bool) -> None:
    original = picture()
    buffer = io.BytesIO()
    chroma = "4:2:0" if subsampled else "4:4:4"
    Pillow.fromarray(original).save(buffer, "JPEG", quality=quality, subsampling=chroma)
    real = np.asarray(Pillow.open(buffer).convert("RGB")).astype(float)
    ours = jpeg(as_tensor(original), quality=quality, subsampled=subsampled)[0].permute(1, 2, 0).numpy() * 255
    assert ours.shape == original.shape
    difference, loss = ((ours - real) ** 2).mean(), ((original - real) ** 2).mean()
    assert difference < 0.35 * loss


def test_gradients_pass() -> None:
    pixels = as_tensor(picture()).requires_grad_()
    jpeg(pixels, quality=80, subsampled=True)[:, :, 10:20].sum().backward()
    assert pixels.grad is not None
    inside, outside = pixels.grad[:, :, 10:20].mean(), pixels.grad[:, :, 40:].abs().max()
    assert inside == pytest.approx(1, abs=0.1)
    assert outside < 0.05


def test_rounding_has_a_gradient_of_one() -> None:
    x = torch.tensor([0.2, 1.7], requires_grad=True)
    result = rounded(x)
    result.sum().backward()
    assert result.tolist() == [0, 2]
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1]
