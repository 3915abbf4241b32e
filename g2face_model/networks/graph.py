"""A small interpreter for imported feed-forward graphs, differentiable, NCHW inside.

The graph is JSON: {"nodes": [{"op", "inputs": [indices], ...}], "outputs": {name: index}}; node 0 is the input, and
nodes come in order of execution. Arrays belong to a node by name, `nodes.INDEX.FIELD`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "activation": lambda x: x,
    "affine": lambda x: x,
    "spatial_mean": lambda x: x.mean(dim=(2, 3)),
    "spatial_max": lambda x: x.amax(dim=(2, 3)),
    "softmax": lambda x: x.softmax(dim=-1),
    "sigmoid": torch.sigmoid,
    "flatten": lambda x: x.permute(0, 2, 3, 1).reshape(x.shape[0], -1),  # in TensorFlow's order, channels last
    "normalise": lambda x: F.normalize(x, dim=-1),
}


class GraphNode(nn.Module):
    """One operation and its activation."""

    weight: nn.Parameter
    bias: nn.Parameter
    slope: nn.Parameter

    def __init__(self, fields: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.op: str = fields["op"]
        self.inputs: list[int] = fields["inputs"]
        self.fields = dict(fields)
        for name, value in arrays.items():
            self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs and result are (N, C, H, W), or (N, C) behind a spatial reduction or flatten."""
        return self._activate(self._operate(*inputs))

    def _operate(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        if self.op == "conv":
            x, padding = self._padded(x, self.weight.shape[-1], fill=0.0)
            return F.conv2d(x, self.weight, self.bias, self.fields["stride"], padding, groups=self.fields["groups"])
        if self.op == "dense":
            return F.linear(x, self.weight, self.bias)
        if self.op == "affine":
            shape = (1, -1) + (1,) * (x.dim() - 2)
            return x * self.weight.reshape(shape) + self.bias.reshape(shape)
        if self.op == "add" and other is not None:
            return x + other
        if self.op == "maxpool":
            x, padding = self._padded(x, self.fields["kernel"], fill=float("-inf"))
            return F.max_pool2d(x, self.fields["kernel"], self.fields["stride"], padding)
        if self.op == "pad_channels":
            return F.pad(x, (0, 0, 0, 0, 0, self.fields["channels"]))
        return _PLAIN[self.op](x)

    def _padded(self, x: Tensor, kernel: int, *, fill: float) -> tuple[Tensor, int]:
        """x and the padding still to do. TensorFlow's SAME puts the odd pixel below and to the right, which the
        operations of torch cannot do themselves."""
        if self.fields["padding"] != "same":
            return x, int(self.fields["padding"])
        top, bottom = same_padding(x.shape[2], kernel, stride=self.fields["stride"])
        left, right = same_padding(x.shape[3], kernel, stride=self.fields["stride"])
        if top == bottom == left == right:
            return x, top
        return F.pad(x, (left, right, top, bottom), value=fill), 0

    def _activate(self, x: Tensor) -> Tensor:
        kind = self.fields.get("activation")
        in_place = self.op != "activation"  # the tensor is the node's own
        if kind == "relu":
            return F.relu(x, inplace=in_place)
        if kind == "relu6":
            return F.relu6(x, inplace=in_place)
        return F.prelu(x, self.slope) if kind == "prelu" else x


class GraphNetwork(nn.Module):
    """Runs a graph; the values are dropped as soon as no later node needs them."""

    def __init__(self, graph: str, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        description = json.loads(graph)
        nodes = description["nodes"]
        self.outputs: dict[str, int] = description["outputs"]
        arrays: list[dict[str, Tensor]] = [{} for _ in nodes]
        for name, value in tensors.items():
            _, position, field = name.split(".")
            arrays[int(position)][field] = value
        self._order = [GraphNode(fields, own) for fields, own in zip(nodes, arrays, strict=True)]
        self.nodes = nn.ModuleList(self._order)
        self._last_use = [0] * len(nodes)
        for index, node in enumerate(self._order):
            for source in node.inputs:
                self._last_use[source] = index
        for output in self.outputs.values():
            self._last_use[output] = len(nodes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, C, H, W) -> the named outputs, each (N, D)."""
        values: dict[int, Tensor] = {0: x}
        for index, node in enumerate(self._order[1:], start=1):
            values[index] = node(*(values[source] for source in node.inputs))
            for source in node.inputs:
                if self._last_use[source] == index:
                    values.pop(source, None)
        return {name: values[index] for name, index in self.outputs.items()}


def same_padding(size: int, kernel: int, *, stride: int) -> tuple[int, int]:
    """(before, after) in px so that the result has ceil(size / stride) px, as TensorFlow's SAME does."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
