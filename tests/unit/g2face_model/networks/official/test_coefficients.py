from __future__ import annotations

import pytest
import torch
from official_weights import drawn

from g2face_model.networks.official.coefficients import Coefficients, geometry


@pytest.fixture(scope="module")
def network() -> Coefficients:
    network = Coefficients().eval().requires_grad_(False)
    network.load_state_dict(drawn(Coefficients, 1))
    return network


def test_the_network_is_a_resnet_50_with_seven_heads(network: Coefficients) -> None:
    """He et al., 2015: 23,508,032 parameters without the classifier."""
    assert sum(parameter.numel() for parameter in network.backbone.parameters()) == 23_508_032
    names = network.state_dict()
    heads = [names[f"final_layers.{n}.weight"].shape for n in range(7)]
    assert heads == [(count, 2048, 1, 1) for count in (80, 64, 80, 3, 27, 2, 1)]
    for name, shape in {
        "backbone.conv1.weight": (64, 3, 7, 7),
        "backbone.layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "backbone.layer3.5.conv2.weight": (256, 256, 3, 3),
        "backbone.layer4.2.bn3.running_mean": (2048,),
    }.items():
        assert tuple(names[name].shape) == shape
    assert "backbone.layer3.6.conv1.weight" not in names
    assert "backbone.fc.weight" not in names


@torch.inference_mode()
def test_a_face_of_any_size_has_257_coefficients(network: Coefficients) -> None:
    faces = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    assert network(faces).shape == (2, 257)
    assert network(faces[:, :, :224, :224]).shape == (2, 257)
    assert not torch.allclose(*network(faces).split(1), atol=1e-3)


def test_geometry_is_shape_expression_and_angles() -> None:
    assert geometry(torch.arange(257.0)[None])[0].tolist() == [*range(144), 224, 225, 226]
