"""G2Face's generator (Yang et al., 2024, arXiv 2408.09458): face, styles and hidden bits -> somebody else's face.

A StyleGAN2 generator for 256 px. At every size a mask decides, feature by feature, between what it draws and what an
encoder saw of the original (identity-aware feature fusion, section III of the paper); hidden bits are added to both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2face_model.networks.official.layers import Bias, StyledConv, ToLargerRgb, ToRgb

SIZE = 256
STYLES = 14
BITS = (512, 32)
NOISE_SIZES = (4, *(size for level in range(3, 9) for size in (1 << level, 1 << level)))
"""Side in px of each of the 13 noise maps, in the order in which they are used."""
_CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}
_SMALLEST, *_LARGER = _CHANNELS
_HIDING = _LARGER[:-1]  # the largest level carries no bits


class Constant(nn.Module):
    """The learned start (1, 512, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.empty(1, _CHANNELS[_SMALLEST], _SMALLEST, _SMALLEST))

    def forward(self, count: int) -> Tensor:
        """-> (count, 512, 4, 4)."""
        return self.input.expand(count, -1, -1, -1)


class NormedConv(nn.Module):
    """Convolution and instance norm: (N, I, H, W) -> (N, O, H, W), or half of H and W where it goes down."""

    def __init__(self, inputs: int, outputs: int, *, down: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 4 if down else 3, stride=2 if down else 1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(self.conv(x))


class EncoderLevel(nn.Module):
    """Residual block of the encoder: (N, I, H, W) -> (N, O, H, W), or half of H and W where it goes down."""

    def __init__(self, inputs: int, outputs: int, *, down: bool) -> None:
        super().__init__()
        self.conv1 = NormedConv(inputs, inputs, down=False)
        self.conv2 = NormedConv(inputs, outputs, down=down)
        self.skip = NormedConv(inputs, outputs, down=down)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), 0.2)), 0.2)
        both: Tensor = inner + self.skip(x)
        return both / math.sqrt(2)


class FusionMask(nn.Module):
    """Blends generated and original features (N, C, H, W); the mask looks at both and at the hidden bits' features."""

    def __init__(self, channels: int, *, sources: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(sources * channels, channels, 1)

    def forward(self, generated: Tensor, original: Tensor, *hidden: Tensor) -> Tensor:
        """-> (N, C, H, W): mask * generated + (1 - mask) * original."""
        mask = torch.sigmoid(F.instance_norm(self.conv(torch.cat([generated, original, *hidden], 1))))
        return torch.lerp(original, generated, mask)


class BitFeatures(nn.Module):
    """16,384 bits, laid out over a level's pixels -> features (N, C, S, S)."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size, self.depth = size, math.prod(BITS) // size**2
        self.conv = nn.Conv2d(self.depth, channels, 1)
        self.activate = Bias(channels)
        self.weight = nn.Parameter(torch.empty(channels, 1, 1))

    def forward(self, bits: Tensor) -> Tensor:
        """(N, 512, 32) of 0 and 1 -> (N, C, S, S)."""
        laid_out = bits.reshape(-1, self.depth, self.size, self.size)
        features: Tensor = self.weight * self.activate(self.conv(laid_out))
        return features


class AnonymousNet(nn.Module):
    """The generator with its encoder (`pyramid`), largest level first there and in `fusion_mask`."""

    def __init__(self) -> None:
        super().__init__()
        smallest = _CHANNELS[_SMALLEST]
        self.input = Constant()
        self.conv1 = StyledConv(smallest, smallest)
        self.to_rgb1 = ToRgb(smallest)
        self.convs = nn.ModuleList(_styled_convs())
        self.to_rgbs = nn.ModuleList(ToLargerRgb(_CHANNELS[size]) for size in _LARGER)
        self.hiding_injects = nn.ModuleList(BitFeatures(_CHANNELS[size], size) for size in _HIDING for _ in range(2))
        self.pyramid = nn.ModuleList(_encoder_levels())
        self.fusion_mask = nn.ModuleList(
            FusionMask(_CHANNELS[size], sources=3 if size in _HIDING else 2) for size in reversed(_CHANNELS)
        )

    def forward(self, image: Tensor, styles: Tensor, bits: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Image (N, 3, 256, 256) RGB in -1..1, styles (N, 14, 512), bits (N, 512, 32) of 0 and 1, and 13 noise maps
        (N or 1, 1, S, S) of NOISE_SIZES -> (N, 3, 256, 256) in about -1..1."""
        original = self._encode(image)
        x = self.fusion_mask[-1](self.input(len(image)), original[-1])
        x = self.conv1(x, styles[:, 0], noise[0])
        picture = self.to_rgb1(x, styles[:, 1])
        for level, to_rgb in enumerate(self.to_rgbs):
            slot = 2 * level + 1
            x = self.convs[slot - 1](x, styles[:, slot], noise[slot])
            x = self._fuse(level, x, original[-2 - level], bits)
            x = self.convs[slot](x, styles[:, slot + 1], noise[slot + 1])
            picture = to_rgb(x, styles[:, slot + 2], picture)
        return picture  # type: ignore[no-any-return]

    def _encode(self, image: Tensor) -> list[Tensor]:
        """Features of the original, largest first: [(N, 128, 256, 256), ..., (N, 512, 4, 4)]."""
        features = []
        for level in self.pyramid:
            image = level(image)
            features.append(image)
        return features

    def _fuse(self, level: int, generated: Tensor, original: Tensor, bits: Tensor) -> Tensor:
        """(N, C, H, W): the mask sees the first features of the bits, the second are added to what comes out."""
        fusion = self.fusion_mask[-2 - level]
        if level >= len(_HIDING):
            return fusion(generated, original)  # type: ignore[no-any-return]
        seen, added = self.hiding_injects[2 * level], self.hiding_injects[2 * level + 1]
        return fusion(generated, original, seen(bits)) + added(bits)  # type: ignore[no-any-return]


def _styled_convs() -> Iterator[StyledConv]:
    inputs = _CHANNELS[_SMALLEST]
    for size in _LARGER:
        yield StyledConv(inputs, _CHANNELS[size], up=True)
        inputs = _CHANNELS[size]
        yield StyledConv(inputs, inputs)


def _encoder_levels() -> Iterator[EncoderLevel]:
    inputs = 3
    for size in reversed(_CHANNELS):
        yield EncoderLevel(inputs, _CHANNELS[size], down=size != SIZE)
        inputs = _CHANNELS[size]
