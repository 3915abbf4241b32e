from __future__ import annotations

import pytest
import torch
from official_weights import drawn
from torch.nn import functional as F

from g2face_model.networks.official.arcface import ArcFace


@pytest.fixture(scope="module")
def network() -> ArcFace:
    network = ArcFace().eval().requires_grad_(False)
    network.load_state_dict(drawn(ArcFace, 1))
    return network


def test_the_network_has_insightfaces_size_and_names(network: ArcFace) -> None:
    """iresnet50: 43,590,848 parameters; 3 + 4 + 14 + 3 blocks, the first of each stage going down."""
    assert sum(parameter.numel() for parameter in network.parameters()) == 43_590_848
    names = network.state_dict()
    blocks = [
        sum(name.endswith(".conv1.weight") and name.startswith(f"layer{n}.") for name in names) for n in range(1, 5)
    ]
    assert blocks == [3, 4, 14, 3]
    assert {name.split(".")[1] for name in names if "downsample" in name} == {"0"}
    for name, shape in {
        "conv1.weight": (64, 3, 3, 3),
        "prelu.weight": (64,),
        "layer1.0.downsample.0.weight": (64, 64, 1, 1),
        "layer3.13.bn3.running_var": (256,),
        "layer4.0.conv2.weight": (512, 512, 3, 3),
        "bn2.weight": (512,),
        "fc.weight": (512, 25088),
        "features.num_batches_tracked": (),
    }.items():
        assert tuple(names[name].shape) == shape


@torch.inference_mode()
def test_other_sizes_are_resampled_to_112_by_nearest_pixels(network: ArcFace) -> None:
    faces = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    embeddings = network(faces)
    assert embeddings.shape == (2, 512)
    assert torch.equal(embeddings, network(F.interpolate(faces, (112, 112), mode="nearest")))
    assert not torch.allclose(embeddings[0], embeddings[1], atol=1e-2)
