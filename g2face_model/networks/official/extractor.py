"""G2Face's reader of hidden bits. Part of the published checkpoint, checked with it, and used by no engine here."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_CHANNELS = 128


class ExtractorBlock(nn.Module):
    """Two branches side by side, one of which looks around: (N, 128, H, W) -> (N, 128, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        half = _CHANNELS // 2
        self.conv1x1_branch_1 = nn.Conv2d(_CHANNELS, half, 1)
        self.bn_branch_1_1 = nn.BatchNorm2d(half)
        self.conv3x3_branch_1 = nn.Conv2d(half, half, 3, padding=1)
        self.bn_branch_1_2 = nn.BatchNorm2d(half)
        self.conv1x1_branch_2 = nn.Conv2d(_CHANNELS, half, 1)
        self.bn_branch_2_1 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        around = _leaky(self.bn_branch_1_1(self.conv1x1_branch_1(x)))
        around = _leaky(self.bn_branch_1_2(self.conv3x3_branch_1(around)))
        return torch.cat([around, _leaky(self.bn_branch_2_1(self.conv1x1_branch_2(x)))], 1)


class HidingExtractor(nn.Module):
    """Picture -> logits of the bits that AnonymousNet hid in it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*(ExtractorBlock() for _ in range(3)))
        self.conv1x1_input = nn.Conv2d(3, _CHANNELS, 1)
        self.conv1x1_output = nn.Conv2d(_CHANNELS, 1, 3, stride=2, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, 256, 256) in -1..1 -> (N, 512, 32); above 0 means 1."""
        x = self.body(_leaky(self.conv1x1_input(picture)))
        return self.conv1x1_output(x).reshape(len(picture), 512, 32)  # type: ignore[no-any-return]


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)
