import json

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from g2face_model.errors import WeightsError
from g2face_model.importers.faceapi import import_face_expression, import_face_landmarks
from g2face_model.networks.graph import GraphNetwork, same_padding

_CHANNELS = (32, 64, 128, 256)


def _weights() -> dict[str, np.ndarray]:
    """Weights of the network's true shapes, small enough for a forward pass to stay finite."""
    random = np.random.default_rng(1)
    shapes: dict[str, tuple[int, ...]] = {"fc/weights": (256, 7), "fc/bias": (7,)}
    inputs = 3
    for block, channels in enumerate(_CHANNELS):
        for conv in range(4):
            name = f"dense{block}/conv{conv}"
            if (block, conv) == (0, 0):
                shapes[f"{name}/filters"] = (3, 3, 3, 32)
            else:
                shapes[f"{name}/depthwise_filter"] = (3, 3, inputs, 1)
                shapes[f"{name}/pointwise_filter"] = (1, 1, inputs, channels)
            shapes[f"{name}/bias"] = (channels,)
            inputs = channels
    return {name: (random.standard_normal(shape) * 0.2).astype(np.float32) for name, shape in shapes.items()}


def _members(weights: dict[str, np.ndarray]) -> dict[str, bytes]:
    entries = [{"name": name, "shape": list(value.shape), "dtype": "float32"} for name, value in weights.items()]
    return {
        "face_expression_model-weights_manifest.json": json.dumps([{"weights": entries}]).encode(),
        "face_expression_model.bin": b"".join(value.tobytes() for value in weights.values()),
    }


def _convolve(x: Tensor, kernel: np.ndarray, *, stride: int, depthwise: bool = False) -> Tensor:
    weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))))
    before, after = same_padding(x.shape[2], kernel.shape[0], stride=stride)
    return F.conv2d(F.pad(x, (before, after) * 2), weight, stride=stride, groups=len(weight) if depthwise else 1)


def _expected(weights: dict[str, np.ndarray], x: Tensor) -> Tensor:
    """The network as its authors describe it: each convolution sees the rectified sum of all before it."""
    x = (x - torch.tensor([122.782, 117.001, 104.298]).reshape(1, 3, 1, 1)) / 255
    for block in range(4):
        outputs: list[Tensor] = []
        for conv in range(4):
            name, stride = f"dense{block}/conv{conv}", 2 if conv == 0 else 1
            if f"{name}/filters" in weights:
                y = _convolve(x, weights[f"{name}/filters"], stride=stride)
            else:
                y = _convolve(x, weights[f"{name}/depthwise_filter"], stride=stride, depthwise=True)
                y = _convolve(y, weights[f"{name}/pointwise_filter"], stride=1)
            y = y + torch.from_numpy(weights[f"{name}/bias"]).reshape(1, -1, 1, 1)
            outputs.append(y.relu() if conv == 0 else y)
            x = torch.stack(outputs).sum(dim=0).relu()
    x = F.avg_pool2d(x, 7, stride=2).flatten(1)
    return (x @ torch.from_numpy(weights["fc/weights"]) + torch.from_numpy(weights["fc/bias"])).softmax(dim=1)


def test_writes_down_the_topology() -> None:
    weights = _weights()
    arrays, metadata = import_face_expression(_members(weights))
    network = GraphNetwork(metadata["graph"], {name: torch.from_numpy(value) for name, value in arrays.items()})
    faces = torch.rand(2, 3, 112, 112) * 255
    torch.testing.assert_close(network(faces)["probabilities"], _expected(weights, faces), atol=1e-4, rtol=1e-3)


def test_the_landmarks_have_the_same_layers_without_the_softmax() -> None:
    weights = _weights()
    weights["fc/weights"] = np.random.default_rng(2).standard_normal((256, 136)).astype(np.float32)
    weights["fc/bias"] = np.zeros(136, np.float32)
    members = _members(weights)
    named = {name.replace("face_expression_model", "face_landmark_68_model"): data for name, data in members.items()}
    arrays, metadata = import_face_landmarks(named)
    network = GraphNetwork(metadata["graph"], {name: torch.from_numpy(value) for name, value in arrays.items()})
    faces = torch.rand(2, 3, 112, 112) * 255
    points = network(faces)["points"]
    torch.testing.assert_close(points.softmax(dim=1), _expected(weights, faces), atol=1e-4, rtol=1e-3)
    with pytest.raises(WeightsError):
        import_face_landmarks(members)


def test_refuses_foreign_files() -> None:
    with pytest.raises(WeightsError):
        import_face_expression({})
    members = _members(_weights())
    with pytest.raises(WeightsError):
        import_face_expression({**members, "face_expression_model.bin": b"short"})
