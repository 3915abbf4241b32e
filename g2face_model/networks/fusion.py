"""Fusion inside the generator: what of the original stays is decided level by level, by learned masks over features.

After G2Face (Yang et al., "G2Face: High-fidelity reversible face anonymization via generative and geometric priors",
2024, arXiv 2408.09458, section III-C): an encoder turns the original into features at the levels of the decoder, and at
every level an identity-aware mask M, from both features, mixes: M * generated + (1 - M) * original. Differences to the
paper: groups of channels share a mask, because a mask per channel would cost more than the whole generator; the finest
level is fused behind its last convolution, so that what is kept does not pass a kernel that a stranger's style has
modulated; and it inherits the mask of the level before, or the original's finest features, which are who a face is,
leak through. The picture is made from the features of 256 px: no 1024 px render is needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2face_model.networks.generator import WIDTH, Level, Synthesis

SIZE = 256  # side in px of originals and results
LEVELS = (16, 32, 64, 128, 256)  # px of the features that are fused, and their channels in the decoder
CHANNELS = (512, 512, 512, 256, 128)
_WIDTHS = (128, 96, 64, 40, 24)  # channels of the encoder at the same levels
_GROUPS = 8  # of channels that share a mask
_HEAD_WIDTH = 48
_SLOPE = 0.2


class Block(nn.Module):
    """Two 3x3 convolutions, the first with a stride: (N, I, R, R) -> (N, O, R / stride, R / stride)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), _SLOPE)
        return F.leaky_relu(x + self.second(x), _SLOPE)


class Encoder(nn.Module):
    """Originals (N, 3, 256, 256) in [-1, 1] -> features like the decoder's, for the five levels of `LEVELS`:
    [(N, 512, 16, 16), (N, 512, 32, 32), (N, 512, 64, 64), (N, 256, 128, 128), (N, 128, 256, 256)].

    A feature pyramid (Lin et al., 2017): down to 16 px, and up again, so that fine features know what they are part of.
    """

    def __init__(self) -> None:
        super().__init__()
        fine_first = _WIDTHS[::-1]
        self.down = nn.ModuleList(
            Block(i, o, stride=1 if i == 3 else 2) for i, o in zip((3, *fine_first[:-1]), fine_first, strict=True)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in itertools.pairwise(_WIDTHS))
        self.merge = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in _WIDTHS[1:])
        self.project = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(_WIDTHS, CHANNELS, strict=True))
        for module in self.modules():  # without norms, features keep their scale only from weights of the right one
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, _SLOPE)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for block in self.down:
            nn.init.zeros_(block.second.weight)  # type: ignore[union-attr,arg-type]

    def forward(self, originals: Tensor) -> list[Tensor]:
        x, levels = originals, []
        for block in self.down:
            x = block(x)
            levels.append(x)
        merged = [levels.pop()]
        for narrow, merge in zip(self.narrow, self.merge, strict=True):
            above = F.interpolate(narrow(merged[-1]), scale_factor=2.0, mode="bilinear")
            merged.append(F.leaky_relu(merge(above + levels.pop()), _SLOPE))
        return [project(x) for project, x in zip(self.project, merged, strict=True)]


class Fusion(nn.Module):
    """Identity-aware feature fusion of one level: generated and original (N, C, R, R) -> fused (N, C, R, R) and the
    masks (N, 8, R, R) in 0..1 of eight groups of channels, 1 where the generated features are taken."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.generated = nn.Conv2d(channels, _GROUPS, 1)
        self.original = nn.Conv2d(channels, _GROUPS, 1)
        self.norm = nn.InstanceNorm2d(_GROUPS, affine=True)
        nn.init.constant_(self.norm.weight, 2.0)
        nn.init.constant_(self.norm.bias, 1.0)  # untrained, it rather takes the generated features

    def forward(self, generated: Tensor, original: Tensor, *, above: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`above` (N, 8, R / 2, R / 2): masks of the level before; what it took from the generated face stays taken."""
        mask = torch.sigmoid(self.norm(self.generated(generated) + self.original(original)))
        if above is not None:
            mask = mask + (1 - mask) * F.interpolate(above, scale_factor=2.0, mode="bilinear")
        groups = torch.repeat_interleave(mask.to(original.dtype), original.shape[1] // _GROUPS, 1)
        return torch.lerp(original, generated.to(original.dtype), groups), mask


class Head(nn.Module):
    """Features of 256 px and their style -> the picture: (N, 128, 256, 256), (N, 512) -> (N, 3, 256, 256) in [-1, 1]
    (values may overshoot). Stands in for the pretrained generator's levels of 512 and 1024 px."""

    def __init__(self) -> None:
        super().__init__()
        channels = CHANNELS[-1]
        self.affine = nn.Linear(WIDTH, channels)
        self.direct = nn.Conv2d(channels, 3, 1)
        self.enter = nn.Conv2d(channels, _HEAD_WIDTH, 1)
        self.middle = nn.Conv2d(_HEAD_WIDTH, _HEAD_WIDTH, 3, padding=1)
        self.leave = nn.Conv2d(_HEAD_WIDTH, 3, 3, padding=1)
        nn.init.zeros_(self.affine.weight)
        nn.init.ones_(self.affine.bias)

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        x = features * self.affine(w)[:, :, None, None]
        hidden = F.leaky_relu(self.enter(x), _SLOPE)
        hidden = F.leaky_relu(hidden + self.middle(hidden), _SLOPE)
        return self.direct(x) + self.leave(hidden)  # type: ignore[no-any-return]


class FusedSynthesis(nn.Module):
    """Styles of a virtual identity and the original's crop -> that person in the original's place.

    `synthesis` is the pretrained generator's, used up to 256 px and not trained; `learned` is what training makes.
    """

    def __init__(self, synthesis: Synthesis) -> None:
        super().__init__()
        self.synthesis = synthesis
        self.learned = nn.ModuleDict({
            "encoder": Encoder(),
            "fusions": nn.ModuleList(Fusion(channels) for channels in CHANNELS),
            "head": Head(),
        })  # fmt: skip

    def forward(self, styles: Tensor, originals: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 16, 512), (N, 3, 256, 256) in [-1, 1] -> pictures (N, 3, 256, 256) and the masks of the five levels, as
        `Fusion` gives them."""
        return self._decode(styles, self.learned["encoder"](originals))

    def generate(self, styles: Tensor) -> Tensor:
        """(N, 16, 512) -> (N, 3, 256, 256): the virtual identity alone, nothing of any original."""
        return self.picture(self.features(styles), styles)

    def picture(self, features: Tensor, styles: Tensor) -> Tensor:
        """Features (N, 128, 256, 256) of these styles -> (N, 3, 256, 256)."""
        return self.learned["head"](features, styles[:, -1])  # type: ignore[no-any-return]

    def features(self, styles: Tensor) -> Tensor:
        """(N, 16, 512) -> the decoder's features (N, 128, 256, 256), unfused."""
        return self.synthesis.features(styles, level=len(LEVELS))[-1]

    def _decode(self, styles: Tensor, originals: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        x = self.synthesis.features(styles, level=0)[0]
        masks: list[Tensor] = []
        fusions, levels = cast(nn.ModuleList, self.learned["fusions"]), cast(list[Level], list(self.synthesis.levels))
        for k, (fuse, original) in enumerate(zip(fusions, originals, strict=True), start=1):
            level, w_first, w_second = levels[k], styles[:, 2 * k + 1], styles[:, 2 * k + 2]
            x = level.first(level.up(x, w_first), w_first)
            if k < len(LEVELS):  # between the two convolutions, as in the paper
                x, mask = fuse(x, original)
                x = level.second(x, w_second)
            else:
                x, mask = fuse(level.second(x, w_second), original, above=masks[-1])
            masks.append(mask)
        return self.picture(x, styles), masks


def picture_of(masks: Sequence[Tensor]) -> Tensor:
    """Masks (N, 8, R, R) of several levels -> (N, levels, 256, 256) in 0..1, each the mean over its groups."""
    means = [mask.mean(1, keepdim=True) for mask in masks]
    return torch.cat([F.interpolate(mean.float(), size=SIZE, mode="bilinear") for mean in means], 1)
