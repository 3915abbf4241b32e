"""The ResNet-50 of Deep3DFaceRecon (Deng et al., 2019, arXiv 1903.08527): face -> coefficients of a 3D face model."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHAPE, EXPRESSION, TEXTURE, ANGLES, LIGHT, PLACE, DEPTH = _COEFFICIENTS = (80, 64, 80, 3, 27, 2, 1)
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # inner channels, blocks
_EXPANSION = 4


class Bottleneck(nn.Module):
    """Three convolutions, the middle one 3x3, and a shortcut: (N, I, H, W) -> (N, 4C, H / s, W / s)."""

    def __init__(self, inputs: int, channels: int, *, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
            if inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Backbone(nn.Module):
    """ResNet-50 (He et al., 2015) without its classifier, strides in the 3x3 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        inputs = _STAGES[0][0]
        self.conv1 = nn.Conv2d(3, inputs, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        for number, (channels, blocks) in enumerate(_STAGES, start=1):
            stage = []
            for block in range(blocks):
                stage.append(Bottleneck(inputs, channels, stride=2 if number > 1 and block == 0 else 1))
                inputs = _EXPANSION * channels
            self.add_module(f"layer{number}", nn.Sequential(*stage))

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 2048, 1, 1)."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(faces))), 3, stride=2, padding=1)
        for number in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3), keepdim=True)


class Coefficients(nn.Module):
    """`net_recon`: one linear layer per group of coefficients on top of the backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        widest = _EXPANSION * _STAGES[-1][0]
        self.final_layers = nn.ModuleList(nn.Conv2d(widest, count, 1) for count in _COEFFICIENTS)

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) RGB in 0..1 -> (N, 257): shape 80, expression 64, texture 80, angles 3, light 27, place 3."""
        x = self.backbone(faces)
        return torch.cat([layer(x) for layer in self.final_layers], 1).flatten(1)


def geometry(coefficients: Tensor) -> Tensor:
    """(N, 257) -> (N, 147): shape, expression and angles, which is what G2Face conditions on."""
    angles = SHAPE + EXPRESSION + TEXTURE
    return torch.cat([coefficients[:, : SHAPE + EXPRESSION], coefficients[:, angles : angles + ANGLES]], 1)
