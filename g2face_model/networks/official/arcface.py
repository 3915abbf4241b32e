"""insightface's `iresnet50`, trained with ArcFace (Deng et al., 2019, arXiv 1801.07698): face -> embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

SIZE, EMBEDDING = 112, 512
_STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))  # channels, blocks
_LAST = 7  # side of the last features


class Block(nn.Module):
    """Norm, convolution, norm, PReLU, convolution, norm, and a shortcut: (N, I, H, W) -> (N, O, H / s, W / s)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride=stride) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.bn1(x))
        y = self.bn3(self.conv2(self.prelu(self.bn2(y))))
        return y + (x if self.downsample is None else self.downsample(x))  # type: ignore[no-any-return]


class ArcFace(nn.Module):
    """43.6 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _STAGES[0][0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STAGES[0][0])
        self.prelu = nn.PReLU(_STAGES[0][0])
        inputs = _STAGES[0][0]
        for number, (channels, blocks) in enumerate(_STAGES, start=1):
            further = (Block(channels, channels, stride=1) for _ in range(blocks - 1))
            self.add_module(f"layer{number}", nn.Sequential(Block(inputs, channels, stride=2), *further))
            inputs = channels
        self.bn2 = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs * _LAST**2, EMBEDDING)
        self.features = nn.BatchNorm1d(EMBEDDING)

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) RGB in -1..1 -> (N, 512), not normalised. Other sizes than 112 are resampled to it by taking the
        nearest pixels, as G2Face was trained."""
        if faces.shape[-1] != SIZE:
            faces = F.interpolate(faces, (SIZE, SIZE))
        x = self.prelu(self.bn1(self.conv1(faces)))
        for number in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))  # type: ignore[no-any-return]


def _shortcut(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
