"""face-api's networks (uint8 weights files without topology) -> arrays and a graph for networks/graph.py.

Both networks are four dense blocks of depthwise-separable convolutions, 112 px RGB in: one tells seven expressions, the
other places 68 landmarks. Only the weights are in the package, so the topology is written down here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2face_model.errors import WeightsError
from g2face_model.importers.tfjs import read_weights

_EXPRESSION, _LANDMARKS = "face_expression_model", "face_landmark_68_model"
_BLOCKS = 4
_MEAN = np.array([122.782, 117.001, 104.298])  # subtracted from 0..255 RGB before the division by 255
Node = dict[str, Any]


def import_face_expression(members: Mapping[str, bytes]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Arrays `nodes.INDEX.FIELD` and {"graph": JSON} with the output "probabilities". Raises WeightsError."""
    writer = _network(members, _EXPRESSION)
    writer.append("softmax", [writer.last])
    return writer.finished("probabilities")


def import_face_landmarks(members: Mapping[str, bytes]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The same with the output "points": x and y in turn, as shares of the crop. Raises WeightsError."""
    return _network(members, _LANDMARKS).finished("points")


def _network(members: Mapping[str, bytes], name: str) -> _Writer:
    """The layers that both networks have, each with its own weights."""
    try:
        weights = read_weights(json.loads(members[f"{name}-weights_manifest.json"]), members[f"{name}.bin"])
    except (KeyError, ValueError) as error:
        raise WeightsError(f"face-api: not the weights of {name}") from error
    writer = _Writer(weights)
    writer.append("affine", [0], weight=np.full(3, 1 / 255), bias=-_MEAN / 255)
    for block in range(_BLOCKS):
        writer.dense_block(f"dense{block}")
    writer.append("spatial_mean", [writer.last])  # their 7x7 average pool covers the whole 7x7 map
    writer.append("dense", [writer.last], weight=weights["fc/weights"].T, bias=weights["fc/bias"])
    return writer


class _Writer:
    """Writes the compact graph forwards."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.nodes: list[Node] = [{"op": "input", "inputs": []}]
        self.arrays: dict[str, NDArray[Any]] = {}
        self._weights = weights

    @property
    def last(self) -> int:
        return len(self.nodes) - 1

    def finished(self, output: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """The arrays and the graph, whose output of that name is the last node."""
        graph = {"outputs": {output: self.last}, "nodes": self.nodes}
        return self.arrays, {"graph": json.dumps(graph, separators=(",", ":"))}

    def append(
        self, op: str, inputs: list[int], *, fields: Node | None = None, **arrays: NDArray[np.floating[Any]]
    ) -> int:
        self.nodes.append({"op": op, "inputs": inputs, **(fields or {})})
        for field, value in arrays.items():
            self.arrays[f"nodes.{self.last}.{field}"] = np.ascontiguousarray(value, dtype=np.float32)
        return self.last

    def dense_block(self, name: str) -> None:
        """Four convolutions; each but the first sees the rectified sum of all before it."""
        outputs = [self._convolution(f"{name}/conv0", self.last, stride=2)]
        self.nodes[-1]["activation"] = "relu"
        for index in range(1, 4):
            outputs.append(self._convolution(f"{name}/conv{index}", self.last, stride=1))
            for other in reversed(outputs[:-1]):
                self.append("add", [other, self.last])
            self.nodes[-1]["activation"] = "relu"

    def _convolution(self, name: str, source: int, *, stride: int) -> int:
        bias = self._weights[f"{name}/bias"]
        if f"{name}/filters" in self._weights:
            return self._plain(source, self._weights[f"{name}/filters"], bias, stride=stride)
        kernel = self._weights[f"{name}/depthwise_filter"]
        fields = {"stride": stride, "padding": "same", "groups": kernel.shape[2]}
        weight = kernel.transpose(2, 3, 0, 1)
        middle = self.append("conv", [source], fields=fields, weight=weight, bias=np.zeros(len(weight)))
        return self._plain(middle, self._weights[f"{name}/pointwise_filter"], bias, stride=1)

    def _plain(self, source: int, kernel: NDArray[Any], bias: NDArray[Any], *, stride: int) -> int:
        fields = {"stride": stride, "padding": "same", "groups": 1}
        return self.append("conv", [source], fields=fields, weight=kernel.transpose(3, 2, 0, 1), bias=bias)
