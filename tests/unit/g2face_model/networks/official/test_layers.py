"""The layers against their definitions, written out the long way."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2face_model.networks.official.layers import Activated, Blur, Linear, ModulatedConv, UpConv, Upsample, unit

Network = TypeVar("Network", bound=nn.Module)


def _drawn(network: Network) -> Network:
    chance = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.requires_grad_(False).normal_(generator=chance)
    return network


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def _kernels(layer: ModulatedConv, style: Tensor) -> Tensor:
    """(O, I, K, K) of one sample: modulated, then demodulated (arXiv 1912.04958, eq. 1 and 3)."""
    modulated = layer.weight[0] * layer.scale * layer.modulation(style)[:, :, None, None]
    if layer.demodulate:
        modulated = modulated / torch.sqrt(modulated.square().sum((1, 2, 3), keepdim=True) + 1e-8)
    return modulated


def test_modulating_the_input_is_modulating_the_kernel() -> None:
    x, styles = _random(2, 5, 6, 6), _random(2, 512)
    for demodulate in (True, False):
        layer = _drawn(ModulatedConv(5, 4, kernel=3, demodulate=demodulate))
        each = [F.conv2d(x[n : n + 1], _kernels(layer, styles[n : n + 1]), padding=1) for n in range(2)]
        assert torch.allclose(layer(x, styles), torch.cat(each), rtol=1e-4, atol=1e-4)


def test_going_up_is_a_transposed_convolution_and_a_low_pass() -> None:
    x, style = _random(1, 5, 6, 6), _random(1, 512)
    layer = _drawn(UpConv(5, 4))
    raised = F.conv_transpose2d(x, _kernels(layer, style).transpose(0, 1), stride=2)
    low_passed = F.conv2d(raised, layer.blur.kernel.expand(4, 1, 4, 4), padding=1, groups=4)
    assert layer(x, style).shape == (1, 4, 12, 12)
    assert torch.allclose(layer(x, style), low_passed, rtol=1e-4, atol=1e-4)


def test_the_low_pass_keeps_what_is_even() -> None:
    assert torch.allclose(Upsample()(torch.ones(1, 2, 8, 8))[:, :, 2:-2, 2:-2], torch.tensor(1.0))
    assert torch.allclose(Blur()(torch.ones(1, 2, 9, 9))[:, :, 2:-2, 2:-2], torch.tensor(4.0))
    ramp = Upsample()(torch.arange(8.0).expand(1, 1, 8, 8))[0, 0, 8, 4:-4]
    assert torch.allclose(ramp.diff(), torch.tensor(0.5))  # nothing is displaced from one column to the next


def test_an_activated_layer_adds_its_bias_twice() -> None:
    layer, x = _drawn(Activated(3, 2, rate=0.01)), _random(4, 3)
    bias = layer.bias * 0.01
    plain = x @ layer.weight.T * (0.01 / math.sqrt(3)) + bias
    assert torch.allclose(layer(x), F.leaky_relu(plain + bias, 0.2) * math.sqrt(2), atol=1e-6)
    once = _drawn(Linear(3, 2))
    assert torch.allclose(once(x), x @ once.weight.T / math.sqrt(3) + once.bias, atol=1e-6)


def test_unit_has_a_mean_square_of_one() -> None:
    assert torch.allclose(unit(_random(3, 50) * 7).square().mean(1), torch.ones(3), atol=1e-5)
