"""JPEG as a layer that gradients pass through.

What a coder does, computed exactly: the colour transform of JFIF, 2x2 chroma means and their triangular interpolation,
the cosine transform of 8x8 blocks, the quantisation of ITU-T T.81 (tables K.1, K.2, scaled as libjpeg does). Entropy
coding loses nothing and is left out. Only rounding has no gradient; as Shin and Song ("JPEG-resistant adversarial
images", 2017) replace it, here the rounded value is kept, and its gradient taken to be 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 8
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def rounded(x: Tensor) -> Tensor:
    """The nearest whole numbers, with a gradient of 1."""
    return x + (x.round() - x).detach()


def jpeg(pictures: Tensor, *, quality: int, subsampled: bool) -> Tensor:
    """Pictures (N, 3, H, W) in 0..1 as they come back from a JPEG file of this quality, 1..100, with whole chroma
    planes or ones of half the size."""
    height, width = pictures.shape[2:]
    padded = F.pad(pictures, (0, -width % (2 * _BLOCK), 0, -height % (2 * _BLOCK)), mode="replicate")
    planes = _colours(rounded(padded * 255), _TO_YCC)
    luma = _coded(planes[:, :1] - 128, _table(_LUMA, quality))
    chroma, table = planes[:, 1:], _table(_CHROMA, quality)
    if subsampled:
        small = _coded(F.avg_pool2d(chroma, 2), table)
        chroma = F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
    else:
        chroma = _coded(chroma, table)
    levels = _colours(torch.cat([luma + 128, chroma], 1), _TO_RGB)[..., :height, :width]
    return rounded(levels).clamp(0, 255) / 255


def _colours(planes: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("oc,nchw->nohw", planes.new_tensor(matrix), planes)


def _table(base: tuple[int, ...], quality: int) -> Tensor:
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(base) * int(scale) + 50).div(100, rounding_mode="floor")).clamp(1, 255).float()


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (N, C, H, W) around 0 -> the same after the transform, quantisation and the way back."""
    n, channels, height, width = planes.shape
    kernels = _cosines()
    flat = planes.reshape(n * channels, 1, height, width)
    steps = table.view(1, -1, 1, 1)
    coded = rounded(F.conv2d(flat, kernels, stride=_BLOCK) / steps) * steps
    return F.conv_transpose2d(coded, kernels, stride=_BLOCK).reshape(n, channels, height, width)


def _cosines() -> Tensor:
    """(64, 1, 8, 8): the orthonormal basis of the cosine transform, T.81 A.3.3."""
    n = torch.arange(_BLOCK)
    rows = 0.5 * torch.cos((2 * n + 1) * n[:, None] * math.pi / 16)
    rows[0] /= math.sqrt(2)
    return torch.einsum("ay,bx->abyx", rows, rows).reshape(_BLOCK * _BLOCK, 1, _BLOCK, _BLOCK)
