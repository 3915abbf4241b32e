"""From a virtual identity and a wanted geometry to the generator's latent, and the predictor that judges latents
without rendering them. Latents here are standardised: (w - mean) / spread per component."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT, ANGLES, SHAPE, EXPRESSIONS = 512, 3, 80, 7
CONDITION = ANGLES + SHAPE + EXPRESSIONS
ATTRIBUTES = 8  # age / 10 years, masculinity, 5 ancestries, share of the face that is bare
_HIDDEN = 1024


def cosines(a: Tensor, b: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Codes (N, K), (N, K), each recogniser's part of unit length -> (N, recognisers)."""
    parts = zip(torch.split(a, list(sizes), 1), torch.split(b, list(sizes), 1), strict=True)
    return torch.stack([(x * y).sum(1) for x, y in parts], 1)


class Trunk(nn.Module):
    """A residual multi-layer perceptron: (N, inputs) -> (N, outputs)."""

    def __init__(self, inputs: int, outputs: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, _HIDDEN)
        self.second = nn.Linear(_HIDDEN, _HIDDEN)
        self.third = nn.Linear(_HIDDEN, _HIDDEN)
        self.last = nn.Linear(_HIDDEN, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.first(x))
        x = x + F.silu(self.second(self.dropout(x)))
        x = x + F.silu(self.third(self.dropout(x)))
        return self.last(x)  # type: ignore[no-any-return]


class Predictor(nn.Module):
    """What a rendering of a latent (N, 512) will measure: its geometry's condition (N, 90), expression as logits; its
    attributes (N, 8); per recogniser its identity code (N, sum of `code_sizes`), each part of unit length."""

    def __init__(self, code_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.code_sizes = code_sizes
        self.looks = Trunk(LATENT, CONDITION + ATTRIBUTES)
        self.identity = Trunk(LATENT, sum(code_sizes))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        condition, attributes = torch.split(self.looks(latent), [CONDITION, ATTRIBUTES], 1)
        return condition, attributes, self.codes(latent)

    def codes(self, latent: Tensor) -> Tensor:
        parts = torch.split(self.identity(latent), list(self.code_sizes), 1)
        return torch.cat([F.normalize(part, dim=1) for part in parts], 1)


class Mapping(nn.Module):
    """(donor's latent (N, 512), wanted condition (N, 90), code to stay away from (N, K)) -> latent (N, 512).

    The donor is moved: into the wanted geometry, and away from the person to protect. A recogniser that is not used has
    zeros for its part of the code. Output layer zero at the start: an untrained mapping returns the donor.
    """

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.move = Trunk(LATENT + CONDITION + code_size, LATENT)
        self.code_gain = code_size**0.5 / 2  # brings unit-length parts to the scale of the other inputs
        nn.init.zeros_(self.move.last.weight)
        nn.init.zeros_(self.move.last.bias)

    def forward(self, donor: Tensor, condition: Tensor, away_from: Tensor) -> Tensor:
        return donor + self.move(torch.cat([donor, condition, away_from * self.code_gain], 1))  # type: ignore[no-any-return]
