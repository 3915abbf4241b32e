from __future__ import annotations

import pytest
import torch

from g2face_model.networks.hiding import (
    BITS,
    CELL,
    GRID,
    SIZE,
    Extractor,
    Hider,
    at_strength,
    coloured_basis,
    lapped_basis,
)


def made_up_crop(seed: int = 0) -> torch.Tensor:
    """A smooth picture (1, 3, 256, 256), as faces are."""
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, SIZE, mode="bicubic").clamp(0.1, 0.9)


def made_up_bits(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 2, (1, BITS, GRID, GRID), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


def test_the_basis_is_orthonormal_also_between_neighbouring_cells() -> None:
    basis = lapped_basis().reshape(CELL**2, 1, 2 * CELL, 2 * CELL)
    plane = torch.zeros(1, 1, 6 * CELL, 6 * CELL)
    for number in (0, 9, 37):
        placed = plane.clone()
        placed[0, 0, CELL : 3 * CELL, CELL : 3 * CELL] = basis[number, 0]
        found = torch.nn.functional.conv2d(placed, basis, stride=CELL)
        wanted = torch.zeros_like(found)
        wanted[0, number, 1, 1] = 1
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_brightness_and_colours_do_not_disturb_each_other_much() -> None:
    flat = coloured_basis().flatten(1)
    crosstalk = flat @ flat.T - torch.eye(len(flat))
    torch.testing.assert_close(flat.norm(dim=1), torch.ones(len(flat)), atol=1e-4, rtol=0)
    assert crosstalk[:64, :64].abs().max() < 1e-5


@torch.inference_mode()
def test_an_untrained_pair_reads_what_it_wrote_into_a_smooth_picture() -> None:
    crop, bits, mask = made_up_crop(), made_up_bits(), torch.ones(1, 1, SIZE, SIZE)
    residual = Hider()(crop, bits, mask, psnr_db=38.0)
    right = (Extractor()(crop + residual) > 0) == (bits > 0)
    assert right.float().mean() > 0.99


@torch.inference_mode()
def test_nothing_is_hidden_where_there_are_no_bits_or_no_mask() -> None:
    crop, bits, mask = made_up_crop(), made_up_bits(), torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 64:192, 64:192] = 1
    residual = Hider()(crop, bits, mask, psnr_db=38.0)
    assert residual[..., :64, :].abs().max() == 0
    assert residual[..., 64:192, 64:192].abs().max() > 0


@pytest.mark.parametrize("psnr_db", [36.0, 40.0])
@torch.inference_mode()
def test_the_residual_is_as_strong_as_was_asked(psnr_db: float) -> None:
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 30:200, 50:220] = 1
    residual = Hider()(made_up_crop(), made_up_bits(), mask, psnr_db=psnr_db)
    mean_square = residual.square().sum() / (3 * mask.sum())
    assert -10 * torch.log10(mean_square) == pytest.approx(psnr_db, abs=0.3)


def test_strength_is_bounded_everywhere() -> None:
    spike = torch.zeros(1, 3, 64, 64)
    spike[..., 30, 30] = 1
    limited = at_strength(spike, torch.ones(1, 1, 64, 64), psnr_db=40.0)
    assert limited.abs().max() <= 4 * 10 ** (-40 / 20) + 1e-6


def test_a_pair_is_small() -> None:
    count = sum(parameter.numel() for network in (Hider(), Extractor()) for parameter in network.parameters())
    assert 2 * count < 2 * 2**20  # bytes in half precision
