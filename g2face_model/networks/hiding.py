"""Bits hidden in an aligned face crop, and read from it blindly: an overlapping grid of cells of 8 px, 8 bits in each.

Both networks begin as spread spectrum with a matched filter, on the basis functions of the modulated lapped transform
(Malvar, "Lapped transforms for efficient transform/subband coding", 1990, eq. 8), which overlap without blocking and
do not disturb each other. The hider knows the face it hides in: where that already says what is to be said, nothing is
changed. What training adds is what faces, files and misplaced crops do to the carriers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE, CELL = 256, 8  # sides in px of the crops they were made for, and of a cell
GRID = SIZE // CELL
BITS = 8  # in a cell: one symbol of the error-correcting code
_WIDTH = 96  # channels: one for each function of the basis
_LEVELS = 16.0  # of 255, the unit the networks count in: about what a carrier moves
_WIDEST, _HALVINGS, _TOO_DEAR = 8.0, 14, 3.0  # margins in those units, and how they are found
_LINEAR = 8.0  # coefficients are compressed beyond so many units, as at the edges of eyes and lips
# Directions in RGB that move only brightness, only Cb, only Cr, as JPEG has them.
_COLOURS = ((1.0, 1.0, 1.0), (0.0, -0.344, 1.772), (1.402, -0.714, 0.0))
_CHROMA = 4  # of the eight frequencies on each axis; higher ones in colour are lost in files
# The eight carriers: colour, frequency down and across, in half periods per cell and a half. All are of brightness,
# which files keep best, and fine enough that faces vary little there, coarse enough for a crop that is misplaced.
_CARRIERS = ((0, 2, 2), (0, 1, 3), (0, 3, 1), (0, 2, 3), (0, 3, 2), (0, 3, 3), (0, 1, 2), (0, 2, 1))


def lapped_basis() -> Tensor:
    """(8, 8, 16, 16): orthonormal basis functions of two cells' length, by their frequencies down and across."""
    n, k = torch.arange(2 * CELL) + 0.5, torch.arange(CELL) + 0.5
    window = torch.sin(math.pi * n / (2 * CELL))
    rows = math.sqrt(2 / CELL) * window * torch.cos(math.pi / CELL * (n + CELL / 2) * k[:, None])
    return torch.einsum("ay,bx->abyx", rows, rows)


def coloured_basis() -> Tensor:
    """(96, 3, 16, 16): all frequencies of brightness, then the lower ones of Cb and of Cr."""
    basis = lapped_basis()
    parts = []
    for number, colour in enumerate(_COLOURS):
        kept = basis if number == 0 else basis[:_CHROMA, :_CHROMA]
        direction = F.normalize(torch.tensor(colour), dim=0)
        parts.append(torch.einsum("c,abyx->abcyx", direction, kept).flatten(0, 1))
    return torch.cat(parts)


def place_of(carrier: tuple[int, int, int]) -> int:
    """A carrier's number in `coloured_basis`."""
    colour, down, across = carrier
    return down * CELL + across if colour == 0 else (CELL**2 + (colour - 1) * _CHROMA**2 + down * _CHROMA + across)


class Analysis(nn.Module):
    """Crops (N, 3, S, S) in 0..1 -> compressed coefficients (N, 96, S / 8, S / 8); they begin as those of the basis."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = nn.Conv2d(3, _WIDTH, 2 * CELL, CELL, padding=CELL // 2)
        with torch.no_grad():
            self.transform.weight.copy_(coloured_basis())
            for colour in range(len(_COLOURS)):
                self.transform.weight[place_of((colour, 0, 0))] *= 0.1  # means are large and say nothing

    def forward(self, crops: Tensor) -> Tensor:
        return F.softsign(self.transform((crops - 0.5) * (255 / _LEVELS)) / _LINEAR) * _LINEAR


class Residual(nn.Module):
    """x + [ReLU, 3x3, ReLU, 3x3]: (N, C, H, W) -> (N, C, H, W); the identity at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))  # type: ignore[no-any-return]


class Hider(nn.Module):
    """Crops (N, 3, S, S) in 0..1, bits (N, 8, S / 8, S / 8), each -1 or 1, 0 for none, and a soft mask (N, 1, S, S) ->
    residual (N, 3, S, S) that is added to the crops: 0 outside the mask, and of the strength that is asked for, as
    ratio to the peak over the mask's area (a number, or (N, 1, 1, 1))."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis = Analysis()
        self.join = nn.Conv2d(_WIDTH + BITS, _WIDTH, 1)
        self.think = nn.Sequential(Residual(_WIDTH), Residual(_WIDTH))
        self.correct = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.carriers = nn.Parameter(torch.zeros(_WIDTH, BITS))
        self.synthesis = nn.ConvTranspose2d(_WIDTH, 3, 2 * CELL, CELL, padding=CELL // 2, bias=False)
        with torch.no_grad():
            self.correct.weight.zero_()
            for bit, carrier in enumerate(_CARRIERS):
                self.carriers[place_of(carrier), bit] = 1
            self.synthesis.weight.copy_(coloured_basis())

    def forward(self, crops: Tensor, bits: Tensor, mask: Tensor, *, psnr_db: Tensor | float) -> Tensor:
        known = self.join(torch.cat([self.analysis(crops), bits], 1))
        correction = self.synthesis(self.correct(self.think(known))).float()
        with torch.autocast(crops.device.type, enabled=False):
            kernels = torch.einsum("kb,kcyx->bcyx", self.carriers, self.synthesis.weight)
            push = self._push(crops, bits, mask, kernels, psnr_db=psnr_db)
            pushed = F.conv_transpose2d(push, kernels, stride=CELL, padding=CELL // 2)
            return at_strength(pushed + correction, mask, psnr_db=psnr_db)

    def _push(self, crops: Tensor, bits: Tensor, mask: Tensor, kernels: Tensor, *, psnr_db: Tensor | float) -> Tensor:
        """How far each carrier has to be moved so that all lie on their bits' side by one margin, the widest that the
        strength allows."""
        found = bits * F.conv2d((crops - 0.5) * (255 / _LEVELS), kernels, stride=CELL, padding=CELL // 2)
        share = F.avg_pool2d(mask, CELL) * bits.abs()
        level = 10 ** (-torch.as_tensor(psnr_db, dtype=mask.dtype, device=mask.device) / 20) * (255 / _LEVELS)
        budget = 3 * mask.sum((1, 2, 3), keepdim=True) * level**2
        low, high = torch.zeros_like(budget), torch.full_like(budget, _WIDEST)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            spent = (_needed(found.detach(), middle) * share).square().sum((1, 2, 3), keepdim=True)
            low, high = torch.where(spent > budget, low, middle), torch.where(spent > budget, middle, high)
        return bits * _needed(found, low)


def _needed(found: Tensor, margin: Tensor) -> Tensor:
    """What is missing to the margin; nothing where it would cost too much, at edges: the code bears a lost cell."""
    missing = (margin - found).clamp(min=0)
    return torch.where(missing > _TOO_DEAR * margin, 0, missing)


class Extractor(nn.Module):
    """Crops (N, 3, S, S) in 0..1 -> logits (N, 8, S / 8, S / 8) of the bits, above 0 for 1."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis = Analysis()
        self.think = nn.Sequential(Residual(_WIDTH), Residual(_WIDTH))
        self.head = nn.Conv2d(_WIDTH, BITS, 1)
        with torch.no_grad():
            self.head.weight.zero_()
            for bit, carrier in enumerate(_CARRIERS):
                self.head.weight[bit, place_of(carrier)] = 4

    def forward(self, crops: Tensor) -> Tensor:
        return self.head(self.think(self.analysis(crops)))  # type: ignore[no-any-return]


def at_strength(residual: Tensor, mask: Tensor, *, psnr_db: Tensor | float) -> Tensor:
    """The residual (N, 3, H, W) under a soft mask (N, 1, H, W), scaled so that over the mask's area it has this ratio
    to the peak (a number, or (N, 1, 1, 1)), and cut off at four times its own mean."""
    masked = residual * mask
    area = 3 * mask.sum((1, 2, 3), keepdim=True).clamp(min=1)
    mean = (masked.square().sum((1, 2, 3), keepdim=True) / area + 1e-12).sqrt()
    wanted = 10 ** (-torch.as_tensor(psnr_db, dtype=masked.dtype, device=masked.device) / 20)
    return (masked / mean).clamp(-4, 4) * wanted
