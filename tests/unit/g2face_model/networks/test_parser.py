from __future__ import annotations

import torch

from g2face_model.networks.parser import ParserNet


def _trained_a_little() -> ParserNet:
    torch.manual_seed(0)
    net = ParserNet(norm=True).train()
    for _ in range(3):
        net(torch.rand(2, 3, 64, 64) * torch.rand(2, 1, 1, 1))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return net.eval()


@torch.inference_mode()
def test_folding_the_norms_changes_no_logit() -> None:
    net = _trained_a_little()
    folded = ParserNet()
    folded.load_state_dict(net.folded())
    crops = torch.rand(2, 3, 96, 64)
    logits = net(crops)
    assert logits.shape == (2, 3, 96, 64)
    assert logits.std() > 1e-3
    torch.testing.assert_close(folded.eval()(crops), logits, rtol=1e-4, atol=1e-4)


def test_it_is_small() -> None:
    assert sum(parameter.numel() for parameter in ParserNet().parameters()) < 1_000_000
