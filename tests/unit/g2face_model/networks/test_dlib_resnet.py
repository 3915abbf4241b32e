from pathlib import Path

import numpy as np
import pytest
import torch

from g2face_model.importers.dlib import MEMBER
from g2face_model.networks.dlib_resnet import DlibResNet, ResidualBlock
from g2face_model.sources import PARTS
from g2face_model.weights import WeightStore


def test_a_block_that_goes_down_adds_as_if_padded_with_zeros() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(2, 5, down=True)
    x = torch.randn(1, 2, 8, 8)
    inner = block.second(torch.relu(block.first(x)))  # (1, 5, 3, 3)
    shortcut = torch.nn.functional.avg_pool2d(x, 2)  # (1, 2, 4, 4)
    expected = torch.zeros(1, 5, 4, 4)
    expected[:, :, :3, :3] += inner
    expected[:, :2] += shortcut
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected.relu())


@pytest.mark.parametrize("down", [False, True])
def test_a_block_gives_the_same_with_and_without_gradients(down: bool) -> None:
    torch.manual_seed(1)
    block = ResidualBlock(4, 4, down=down)
    x = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        plain = block(x.clone())
    torch.testing.assert_close(plain, block(x).detach())


def test_the_embedding_can_be_differentiated() -> None:
    torch.manual_seed(2)
    faces = (torch.rand(1, 3, 150, 150) * 255).requires_grad_()
    DlibResNet()(faces).square().sum().backward()
    assert faces.grad is not None
    assert faces.grad.abs().sum() > 0


def test_agrees_with_dlib(store: WeightStore) -> None:
    dlib = pytest.importorskip("dlib", reason="needs dlib-bin")
    path = Path(store.directory) / "sources" / PARTS["dlib"].source.folder / MEMBER
    original = dlib.face_recognition_model_v1(str(path))
    network = DlibResNet().eval()
    network.load_state_dict(store.tensors("dlib"))
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (4, 10, 10, 3), dtype=np.uint8)
    chips = coarse.repeat(15, axis=1).repeat(15, axis=2)  # (4, 150, 150, 3)
    with torch.inference_mode():
        ours = network(torch.from_numpy(chips).permute(0, 3, 1, 2).float()).numpy()
    theirs = np.array([original.compute_face_descriptor(np.ascontiguousarray(chip)) for chip in chips])
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
