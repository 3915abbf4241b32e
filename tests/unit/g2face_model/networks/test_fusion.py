from __future__ import annotations

import pytest
import torch

from g2face_model.networks.fusion import CHANNELS, LEVELS, SIZE, Encoder, FusedSynthesis, Fusion, Head, picture_of
from g2face_model.networks.generator import Synthesis


@pytest.fixture
def fused() -> FusedSynthesis:
    """With a generator whose constants are drawn at random."""
    chance = torch.Generator().manual_seed(0)
    synthesis = Synthesis()
    for name, value in synthesis.named_parameters():
        if name.endswith(("input", "noise")):
            value.data = torch.randn(value.shape, generator=chance) * 0.1
        elif value.dim() > 1 and "affine" not in name:
            value.data = torch.randn(value.shape, generator=chance) * value[0].numel() ** -0.5
        elif name.endswith("bias"):
            value.data = torch.full_like(value, 1.0 if "affine" in name else 0.0)
    torch.manual_seed(0)
    return FusedSynthesis(synthesis.requires_grad_(False))


def test_the_encoder_gives_features_of_the_decoders_shapes_and_of_its_scale() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        features = Encoder()(torch.rand(1, 3, SIZE, SIZE) * 2 - 1)
    assert [tuple(x.shape) for x in features] == [(1, c, r, r) for c, r in zip(CHANNELS, LEVELS, strict=True)]
    assert all(0.05 < float(x.std()) < 20 for x in features)


def test_a_mask_of_one_is_the_generated_face_and_of_nought_the_original() -> None:
    fuse = Fusion(16)
    generated, original = torch.rand(2, 16, 8, 8), torch.rand(2, 16, 8, 8)
    torch.nn.init.zeros_(fuse.norm.weight)
    for bias, wanted in ((20.0, generated), (-20.0, original)):
        torch.nn.init.constant_(fuse.norm.bias, bias)
        fused, mask = fuse(generated, original)
        assert mask.shape == (2, 8, 8, 8)
        assert torch.allclose(fused, wanted, atol=1e-5)
    torch.nn.init.zeros_(fuse.norm.bias)
    assert torch.allclose(fuse(generated, original)[0], (generated + original) / 2, atol=1e-5)


def test_what_the_level_before_took_stays_taken() -> None:
    fuse = Fusion(16)
    generated, original = torch.rand(1, 16, 8, 8), torch.rand(1, 16, 8, 8)
    above = torch.zeros(1, 8, 4, 4)
    above[..., :2, :] = 1
    fused, mask = fuse(generated, original, above=above)
    assert torch.allclose(fused[..., :3, :], generated[..., :3, :])
    assert torch.equal(mask[..., -1, :], fuse(generated, original)[1][..., -1, :])


def test_an_untrained_head_draws_alike_for_every_style() -> None:
    features = torch.rand(2, CHANNELS[-1], 8, 8)
    head = Head()
    assert torch.equal(head(features, torch.zeros(2, 512)), head(features, torch.randn(2, 512)))


def test_fused_pictures_and_masks_come_at_every_level(fused: FusedSynthesis) -> None:
    styles, originals = torch.randn(1, 16, 512), torch.rand(1, 3, SIZE, SIZE) * 2 - 1
    with torch.no_grad():
        picture, masks = fused(styles, originals)
    assert picture.shape == (1, 3, SIZE, SIZE)
    assert [mask.shape[-1] for mask in masks] == list(LEVELS)
    shown = picture_of(masks)
    assert shown.shape == (1, 5, SIZE, SIZE)
    assert 0 <= float(shown.min()) <= float(shown.max()) <= 1


def test_with_masks_of_one_nothing_of_the_original_is_left(fused: FusedSynthesis) -> None:
    for fuse in fused.learned["fusions"]:
        torch.nn.init.zeros_(fuse.norm.weight)
        torch.nn.init.constant_(fuse.norm.bias, 40.0)
    styles = torch.randn(1, 16, 512)
    with torch.no_grad():
        pictures = [fused(styles, torch.full((1, 3, SIZE, SIZE), level))[0] for level in (-1.0, 1.0)]
        alone = fused.generate(styles)
    assert torch.allclose(pictures[0], pictures[1], atol=1e-4)
    assert torch.allclose(pictures[0], alone, atol=1e-4)


def test_gradients_reach_every_learned_tensor_and_none_of_the_generator(fused: FusedSynthesis) -> None:
    picture, _ = fused(torch.randn(1, 16, 512), torch.rand(1, 3, SIZE, SIZE) * 2 - 1)
    picture.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in fused.learned.parameters())
    assert all(p.grad is None for p in fused.synthesis.parameters())
