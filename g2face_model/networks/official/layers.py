"""The layers of StyleGAN2 (Karras et al., 2020, arXiv 1912.04958) under the names that published weights use.

Every sample has its own style. Modulation rides on the input and demodulation on the output, which is the same as a
kernel of its own per sample (section 2.2) and leaves one kernel for the batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STYLE = 512
_SLOPE, _GAIN, _TINY = 0.2, math.sqrt(2), 1e-8


def leaky(x: Tensor, bias: Tensor) -> Tensor:
    """sqrt(2) * LeakyReLU(x + bias): x is (N, C) or (N, C, H, W), bias (C,)."""
    return F.leaky_relu(x + bias.reshape(1, -1, *[1] * (x.dim() - 2)), _SLOPE) * _GAIN


def unit(x: Tensor) -> Tensor:
    """(N, D) -> (N, D) with a mean square of 1."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + _TINY)


class Linear(nn.Module):
    """Linear layer with equalised learning rate: (N, I) -> (N, O)."""

    def __init__(self, inputs: int, outputs: int, *, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.rate, self.scale = rate, rate / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Activated(Linear):
    """Linear, then leaky with the same bias once more, as the published weights were trained: (N, I) -> (N, O)."""

    def forward(self, x: Tensor) -> Tensor:
        return leaky(super().forward(x), self.bias * self.rate)


class Kernel(nn.Module):
    """The [1, 3, 3, 1] low-pass with gain 4, as (4, 4)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("kernel", torch.outer(taps, taps) / 16)

    def _per_channel(self, x: Tensor) -> Tensor:
        return self.kernel.to(x.dtype).expand(x.shape[1], 1, 4, 4)


class Blur(Kernel):
    """(N, C, 2H + 1, 2W + 1), as a transposed convolution leaves it -> (N, C, 2H, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self._per_channel(x), padding=1, groups=x.shape[1])


class Upsample(Kernel):
    """(N, C, H, W) -> (N, C, 2H, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self._per_channel(x), stride=2, padding=1, groups=x.shape[1])


class ModulatedConv(nn.Module):
    """Convolution whose input channels every sample weighs by its style: (N, I, H, W), (N, 512) -> (N, O, H, W)."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, outputs, inputs, kernel, kernel))
        self.modulation = Linear(STYLE, inputs)
        self.scale, self.demodulate = 1 / math.sqrt(inputs * kernel**2), demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight, scales = self.weight[0] * self.scale, self.modulation(style)
        y = self._convolve(x * scales[:, :, None, None], weight)
        if not self.demodulate:
            return y
        power = scales.square() @ weight.square().sum((2, 3)).T  # (N, O)
        return y * torch.rsqrt(power + _TINY)[:, :, None, None]

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


class UpConv(ModulatedConv):
    """The same, doubling the resolution: (N, I, H, W), (N, 512) -> (N, O, 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel=3)
        self.blur = Blur()

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        blurred: Tensor = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        return blurred


class Noise(nn.Module):
    """Adds noise with a learned strength: (N, C, H, W), (N or 1, 1, H, W) -> (N, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.weight * noise


class Bias(nn.Module):
    """Bias and activation: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return leaky(x, self.bias)


class StyledConv(nn.Module):
    """Modulated convolution, noise, activation: (N, I, H, W) -> (N, O, H, W), or (N, O, 2H, 2W) where it goes up."""

    def __init__(self, inputs: int, outputs: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = UpConv(inputs, outputs) if up else ModulatedConv(inputs, outputs, kernel=3)
        self.noise = Noise()
        self.activate = Bias(outputs)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """`style` (N, 512), `noise` (N or 1, 1, H, W) at the size of the result."""
        styled: Tensor = self.activate(self.noise(self.conv(x, style), noise))
        return styled


class ToRgb(nn.Module):
    """Features and the picture so far at half their size -> picture (N, 3, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, 3, kernel=1, demodulate=False)
        self.bias = nn.Parameter(torch.empty(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, C, H, W), (N, 512) -> (N, 3, H, W)."""
        picture: Tensor = self.conv(x, style) + self.bias
        return picture


class ToLargerRgb(ToRgb):
    """The same on top of the picture of the level below."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.upsample = Upsample()

    def forward(self, x: Tensor, style: Tensor, smaller: Tensor | None = None) -> Tensor:
        """(N, C, H, W), (N, 512), (N, 3, H / 2, W / 2) -> (N, 3, H, W)."""
        picture = super().forward(x, style)
        return picture if smaller is None else picture + self.upsample(smaller)
