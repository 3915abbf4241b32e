"""G2Face: noise -> a dummy identity; identity and geometry -> the generator's styles."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from g2face_model.networks.official.layers import STYLE, Activated, unit

IDENTITY, GEOMETRY = 512, 147
_RATE, _DEPTH = 0.01, 4
_GROUPS = (6, 6, 2)  # styles that the low, middle and high layers share


class Map2Id(nn.Module):
    """Noise -> the identity of somebody who does not exist, in the place of an ArcFace embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.map_2_id = nn.Sequential(
            nn.Linear(IDENTITY, IDENTITY),
            nn.LeakyReLU(0.2),
            nn.Linear(IDENTITY, IDENTITY),
            nn.LeakyReLU(0.2),
            nn.BatchNorm1d(IDENTITY),
        )

    def forward(self, z: Tensor) -> Tensor:
        """(N, 512) standard normal -> (N, 512), not normalised."""
        return self.map_2_id(z)  # type: ignore[no-any-return]


class StyleMlp(nn.Module):
    """Identity and geometry -> 14 styles, in three groups of equal ones."""

    def __init__(self) -> None:
        super().__init__()
        self.style_low, self.style_middle, self.style_high = (_mlp() for _ in _GROUPS)

    def forward(self, identity: Tensor, geometry: Tensor) -> Tensor:
        """(N, 512), (N, 147) of shape 80, expression 64, angles 3 -> (N, 14, 512)."""
        given = unit(torch.cat([identity, geometry], 1))
        groups = [mlp(given) for mlp in (self.style_low, self.style_middle, self.style_high)]
        return torch.repeat_interleave(torch.stack(groups, 1), torch.tensor(_GROUPS, device=given.device), 1)


def _mlp() -> nn.Sequential:
    widths = [IDENTITY + GEOMETRY, *[STYLE] * _DEPTH]
    return nn.Sequential(*(Activated(i, o, rate=_RATE) for i, o in itertools.pairwise(widths)))
