"""The generative prior: MobileStyleGAN (Belousov 2021, arXiv 2104.04767), z -> w -> 1024 px face, as plain PyTorch.

Modulation, inverse Haar up-sampling, depthwise-separable convolutions. Noise and demodulation are baked into
constants, so the output is deterministic. All 16 modulated slots may be given their own w (W+).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOTS = 16
COARSE = 9  # slots 0..8 carry pose, shape, expression and hair; 9..15 colours
WIDTH = 512
_LEVELS = ((512, 512), (512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64))  # channels in, out


def inverse_haar(x: Tensor) -> Tensor:
    """(N, 4C, H, W) sub-bands (low, then C x 3 details) -> (N, C, 2H, 2W), one level of the inverse Haar transform."""
    n, channels, height, width = x.shape
    c = channels // 4
    low, details = x[:, :c], x[:, c:].view(n, c, 3, height, width)
    vertical, horizontal, diagonal = details.unbind(2)
    sum_low, difference_low = low + vertical, low - vertical
    sum_high, difference_high = horizontal + diagonal, horizontal - diagonal
    quads = torch.stack(
        [sum_low + sum_high, sum_low - sum_high, difference_low + difference_high, difference_low - difference_high], 2
    )
    return F.pixel_shuffle(quads.reshape(n, channels, height, width).mul_(0.5), 2)


class Separable(nn.Module):
    """[modulate, depthwise 3x3, pointwise 1x1, noise, bias, LeakyReLU]: (N, I, R, R) -> (N, O, R, R)."""

    def __init__(self, channels_in: int, channels_out: int, resolution: int) -> None:
        super().__init__()
        self.affine = nn.Linear(WIDTH, channels_in)
        self.depthwise = nn.Parameter(torch.empty(channels_in, 1, 3, 3))
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 1, 1))
        self.noise = nn.Parameter(torch.empty(1, 1, resolution, resolution))
        self.bias = nn.Parameter(torch.empty(1, channels_out, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale = self.affine(w)  # (N, I)
        if len(x) == 1:  # the scale costs nothing when it rides on the kernel
            x = F.conv2d(x, self.depthwise * scale.view(-1, 1, 1, 1), padding=1, groups=x.shape[1])
        else:
            x = F.conv2d(x * scale[:, :, None, None], self.depthwise, padding=1, groups=x.shape[1])
        x = F.conv2d(x, self.weight, self.bias.view(-1))
        return F.leaky_relu_(x.add_(self.noise), 0.2)


class Upsample(nn.Module):
    """[modulate, inverse Haar]: (N, C, R, R) -> (N, C / 4, 2R, 2R)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(WIDTH, channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return inverse_haar(x * self.affine(w)[:, :, None, None])


class Level(nn.Module):
    """One doubling of resolution; uses two slots, the first for up-sampling and the first convolution."""

    def __init__(self, channels_in: int, channels_out: int, resolution: int) -> None:
        super().__init__()
        self.up = Upsample(channels_in)
        self.first = Separable(channels_in // 4, channels_out, resolution)
        self.second = Separable(channels_out, channels_out, resolution)

    def forward(self, x: Tensor, w_first: Tensor, w_second: Tensor) -> Tensor:
        return self.second(self.first(self.up(x, w_first), w_first), w_second)  # type: ignore[no-any-return]


class Constant(nn.Module):
    """The learned 4x4 start and its dense convolution: -> (N, 512, 4, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.affine = nn.Linear(WIDTH, WIDTH)
        self.input = nn.Parameter(torch.empty(1, WIDTH, 4, 4))
        self.weight = nn.Parameter(torch.empty(WIDTH, WIDTH, 3, 3))
        self.noise = nn.Parameter(torch.empty(1, 1, 4, 4))
        self.bias = nn.Parameter(torch.empty(1, WIDTH, 1, 1))

    def forward(self, w: Tensor) -> Tensor:
        x = F.conv2d(self.input * self.affine(w)[:, :, None, None], self.weight, self.bias.view(-1), padding=1)
        return F.leaky_relu(x + self.noise, 0.2)


class ImageHead(nn.Module):
    """Modulated 1x1 convolution to 12 Haar bands: (N, 64, 512, 512) -> (N, 12, 512, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.affine = nn.Linear(WIDTH, 64)
        self.weight = nn.Parameter(torch.empty(12, 64, 1, 1))
        self.bias = nn.Parameter(torch.empty(1, 12, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        if len(x) == 1:
            return F.conv2d(x, self.weight * self.affine(w).view(1, -1, 1, 1), self.bias.view(-1))
        return F.conv2d(x * self.affine(w)[:, :, None, None], self.weight, self.bias.view(-1))


class Synthesis(nn.Module):
    """Styles (N, 16, 512) -> image in [-1, 1] (values may overshoot)."""

    def __init__(self) -> None:
        super().__init__()
        self.constant = Constant()
        self.levels = nn.ModuleList(Level(i, o, 8 << k) for k, (i, o) in enumerate(_LEVELS))
        self.image = ImageHead()

    def features(self, styles: Tensor, *, level: int) -> list[Tensor]:
        """Activations of the levels 0..level: [(N, 512, 8, 8), ..., (N, C, 8 << level, 8 << level)]."""
        x = self.constant(styles[:, 0])
        outputs = []
        for k in range(level + 1):
            x = self.levels[k](x, styles[:, 2 * k + 1], styles[:, 2 * k + 2])
            outputs.append(x)
        return outputs

    def forward(self, styles: Tensor, *, size: int = 1024) -> Tensor:
        """-> (N, 3, size, size). 512 is the low band alone: exactly the area average of the 1024 px image."""
        x = self.constant(styles[:, 0])
        for k, level in enumerate(self.levels):
            x = level(x, styles[:, 2 * k + 1], styles[:, 2 * k + 2])
        bands = self.image(x, styles[:, 15])
        return bands[:, :3] * 0.5 if size == 512 else inverse_haar(bands)


class Generator(nn.Module):
    """z (N, 512) -> w (N, 512) by `mapping_forward`; styles (N, 16, 512) -> image by `synthesis`."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(8))
        self.synthesis = Synthesis()

    def mapping_forward(self, z: Tensor) -> Tensor:
        """(N, 512) -> (N, 512): pixel norm, then 8 x [linear, LeakyReLU 0.2, x sqrt 2]."""
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), 0.2) * 2**0.5
        return w

    def forward(self, styles: Tensor, *, size: int = 1024) -> Tensor:
        """Styles (N, 16, 512) -> (N, 3, size, size), size 512 or 1024."""
        return self.synthesis(styles, size=size)  # type: ignore[no-any-return]
