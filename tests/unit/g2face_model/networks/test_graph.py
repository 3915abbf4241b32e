import json

import pytest
import torch

from g2face_model.networks.graph import GraphNetwork, same_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),
        (112, 3, 1, (1, 1)),
        (7, 3, 2, (1, 1)),
        (5, 2, 2, (0, 1)),
        (64, 1, 2, (0, 0)),
        (6, 5, 1, (2, 2)),
    ],
)
def test_same_padding_as_tensorflow(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride=stride) == expected


def _network(nodes: list[dict[str, object]], tensors: dict[str, torch.Tensor]) -> GraphNetwork:
    graph = {"nodes": [{"op": "input", "inputs": []}, *nodes], "outputs": {"y": len(nodes)}}
    return GraphNetwork(json.dumps(graph), tensors)


def test_same_convolution_puts_the_odd_pixel_below_and_to_the_right() -> None:
    node = {"op": "conv", "inputs": [0], "stride": 2, "padding": "same", "groups": 1}
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 0, 0] = 1.0  # picks the pixel at the window's upper left corner
    network = _network([node], {"nodes.1.weight": weight, "nodes.1.bias": torch.zeros(1)})
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    torch.testing.assert_close(network(x)["y"], torch.tensor([[[[0.0, 2.0], [8.0, 10.0]]]]))


def test_same_max_pool_ignores_the_padding() -> None:
    node = {"op": "maxpool", "inputs": [0], "kernel": 2, "stride": 2, "padding": "same"}
    y = _network([node], {})(torch.full((1, 1, 3, 3), -5.0))["y"]
    torch.testing.assert_close(y, torch.full((1, 1, 2, 2), -5.0))


def test_flatten_keeps_channels_last() -> None:
    x = torch.arange(12.0).reshape(1, 3, 2, 2)
    y = _network([{"op": "flatten", "inputs": [0]}], {})(x)["y"]
    assert y[0, :4].tolist() == [0.0, 4.0, 8.0, 1.0]


def test_an_activation_of_its_own_leaves_its_input_alone() -> None:
    nodes = [{"op": "activation", "inputs": [0], "activation": "relu"}, {"op": "add", "inputs": [0, 1]}]
    x = torch.tensor([[[[-1.0, 2.0]]]])
    torch.testing.assert_close(_network(nodes, {})(x)["y"], torch.tensor([[[[-1.0, 4.0]]]]))
    assert x.tolist() == [[[[-1.0, 2.0]]]]


def test_an_output_that_others_read_too_is_kept() -> None:
    nodes = [{"op": "input", "inputs": []}, {"op": "spatial_mean", "inputs": [0]}, {"op": "softmax", "inputs": [1]}]
    network = GraphNetwork(json.dumps({"nodes": nodes, "outputs": {"mean": 1, "share": 2}}), {})
    found = network(torch.ones(1, 2, 3, 3))
    assert found["mean"].tolist() == [[1.0, 1.0]]
    assert found["share"].tolist() == [[0.5, 0.5]]


def test_gradients_reach_the_input() -> None:
    node = {"op": "conv", "inputs": [0], "stride": 1, "padding": "same", "groups": 1, "activation": "prelu"}
    tensors = {"nodes.1.weight": torch.ones(2, 1, 3, 3), "nodes.1.bias": torch.zeros(2), "nodes.1.slope": torch.ones(2)}
    x = torch.randn(1, 1, 5, 5, requires_grad=True)
    _network([node], tensors)(x)["y"].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 2, 2] == pytest.approx(18.0)  # two channels of nine ones
