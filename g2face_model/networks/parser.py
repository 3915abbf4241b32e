"""A small encoder-decoder that tells the replaceable face from what stands in front of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 192  # side in px of the crops it was made for
_WIDTHS = (16, 32, 64, 96)  # channels at 1/2, 1/4, 1/8 and 1/16 of the crop


class Unit(nn.Module):
    """[3x3 convolution, batch norm, ReLU]: (N, I, H, W) -> (N, O, H / stride, W / stride). Without `norm` the norm is
    taken to be folded into the convolution."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, norm: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.norm = nn.BatchNorm2d(outputs) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        return F.relu(x if self.norm is None else self.norm(x))

    def folded(self) -> dict[str, Tensor]:
        """The weight and bias of one convolution that does the work of both."""
        weight, bias = self.convolution.weight, self.convolution.bias
        assert bias is not None  # noqa: S101
        if self.norm is not None and self.norm.running_mean is not None and self.norm.running_var is not None:
            scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
            weight, bias = weight * scale.view(-1, 1, 1, 1), (bias - self.norm.running_mean) * scale + self.norm.bias
        return {"convolution.weight": weight.detach(), "convolution.bias": bias.detach()}


class Residual(nn.Module):
    """x + two units: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, *, norm: bool) -> None:
        super().__init__()
        self.first = Unit(channels, channels, norm=norm)
        self.second = Unit(channels, channels, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))  # type: ignore[no-any-return]


class ParserNet(nn.Module):
    """Crops (N, 3, S, S) in 0..1 RGB -> logits (N, 3, S, S) of face, glasses and other; S a multiple of 16."""

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        a, b, c, d = _WIDTHS
        self.stem = nn.Sequential(Unit(3, a, stride=2, norm=norm), Unit(a, a, norm=norm))
        self.quarter = nn.Sequential(Unit(a, b, stride=2, norm=norm), Residual(b, norm=norm))
        self.eighth = nn.Sequential(Unit(b, c, stride=2, norm=norm), Residual(c, norm=norm))
        self.deep = nn.Sequential(Unit(c, d, stride=2, norm=norm), Residual(d, norm=norm), Residual(d, norm=norm))
        self.narrow = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in ((d, c), (c, b), (b, a)))
        self.merge = nn.ModuleList(Unit(width, width, norm=norm) for width in (c, b, a))
        self.head = nn.Conv2d(a, 12, 3, padding=1)

    def forward(self, crops: Tensor) -> Tensor:
        half = self.stem(crops * 4 - 2)  # (N, 16, S/2, S/2)
        quarter = self.quarter(half)  # (N, 32, S/4, S/4)
        eighth = self.eighth(quarter)  # (N, 64, S/8, S/8)
        x = self.deep(eighth)  # (N, 96, S/16, S/16)
        for narrow, merge, skip in zip(self.narrow, self.merge, (eighth, quarter, half), strict=True):
            x = merge(F.interpolate(narrow(x), scale_factor=2.0, mode="bilinear") + skip)
        return F.pixel_shuffle(self.head(x), 2)

    def folded(self) -> dict[str, Tensor]:
        """The tensors of the same network without norms."""
        tensors = {key: value for key, value in self.state_dict().items() if ".norm." not in key}
        for name, module in self.named_modules():
            if isinstance(module, Unit):
                tensors |= {f"{name}.{key}": value for key, value in module.folded().items()}
        return tensors
