"""The 29-layer residual network of dlib's face recognition (D. King, 2017; after He et al., 2015), in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# channel means that dlib subtracts from 0..255 RGB before it divides by 256 (dlib/dnn/input.h)
_MEAN = (122.782, 117.001, 104.298)

# (name, input channels, output channels) of the residual blocks in the order in which dlib writes them
BLOCKS: tuple[tuple[str, int, int], ...] = (
    *((f"block32_{i}", 32, 32) for i in range(3)),
    ("block64_down", 32, 64),
    *((f"block64_{i}", 64, 64) for i in range(3)),
    ("block128_down", 64, 128),
    *((f"block128_{i}", 128, 128) for i in range(2)),
    ("block256_down", 128, 256),
    *((f"block256_{i}", 256, 256) for i in range(2)),
    ("block256_last", 256, 256),
)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. A block that goes down halves the shortcut by averaging, and dlib adds
    tensors of different shape as if the smaller were padded with zeros, below, right and in further channels."""

    def __init__(self, inputs: int, outputs: int, *, down: bool) -> None:
        super().__init__()
        self.down = down
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) -> (N, O, H, W), or about half of H and W where the block goes down."""
        y = self.second(F.relu(self.first(x), inplace=True))
        if not self.down:
            return F.relu(y.add_(x) if not torch.is_grad_enabled() else y + x)
        shortcut = F.avg_pool2d(x, 2)
        height, width = max(y.shape[2], shortcut.shape[2]), max(y.shape[3], shortcut.shape[3])
        return F.relu(_pad(y, y.shape[1], height, width=width) + _pad(shortcut, y.shape[1], height, width=width))


class DlibResNet(nn.Module):
    """150 px faces to 128 numbers; same person where the L2 distance is below 0.6."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        self.blocks = nn.ModuleDict(
            {name: ResidualBlock(i, o, down=name.endswith(("_down", "_last"))) for name, i, o in BLOCKS}
        )
        self.embedding = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, 150, 150) RGB in 0..255 -> (N, 128), not normalised."""
        x = F.relu(self.stem((faces - self.mean) / 256.0))  # (N, 32, 72, 72)
        x = F.max_pool2d(x, 3, stride=2)  # (N, 32, 35, 35)
        for block in self.blocks.values():
            x = block(x)
        return self.embedding(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


def _pad(x: Tensor, channels: int, height: int, *, width: int) -> Tensor:
    missing = (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])
    return F.pad(x, missing) if any(missing) else x
