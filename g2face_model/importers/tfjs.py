"""TensorFlow.js graph models -> named arrays and a compact graph for networks/graph.py.

A model is NAME.json (topology and the weights' layout) and NAME.bin (the weights one after the other). The importer
keeps the few operations our models need and simplifies while it walks back from the outputs: batch norms are folded
into the convolution before them; ReLU6 and PReLU, spelled out in elementary operations, become activations again.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2face_model.errors import WeightsError

Array = NDArray[Any]
Arrays = dict[str, Array]
Node = dict[str, Any]
Convert = Callable[[Mapping[str, bytes]], tuple[Arrays, dict[str, str]]]

_STORED = {"float16": "<f2", "uint8": "u1", "uint16": "<u2", "float32": "<f4", "int32": "<i4"}
_ADD = ("Add", "AddV2", "BiasAdd")
_PLAIN = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Squeeze": "flatten", "Reshape": "flatten"}


def graph_importer(name: str, outputs: Mapping[str, str]) -> Convert:
    """A convert function for the model NAME.json + NAME.bin; `outputs` maps our output names to the model's nodes.

    The arrays are named `nodes.INDEX.FIELD`, and the metadata holds {"graph": JSON} as `GraphNetwork` takes them.
    """

    def convert(members: Mapping[str, bytes]) -> tuple[Arrays, dict[str, str]]:
        try:
            model = json.loads(members[f"{name}.json"])
            weights = read_weights(model["weightsManifest"], members[f"{name}.bin"])
        except (KeyError, ValueError) as error:
            raise WeightsError(f"{name}: not a TensorFlow.js graph model") from error
        builder = _Builder(name, model["modelTopology"]["node"], weights=weights)
        return builder.build(outputs)

    return convert


def read_weights(manifest: list[Node], blob: bytes) -> Arrays:
    """The weights by name, dequantised to float32 (int32 stays): value = stored * scale + min, except for float16."""
    weights: Arrays = {}
    at = 0
    for entry in (weight for group in manifest for weight in group["weights"]):
        quantization = entry.get("quantization", {})
        stored = np.dtype(_STORED[quantization.get("dtype", entry["dtype"])])
        count = int(np.prod(entry["shape"]))
        values: Array = np.frombuffer(blob, stored, count, at).reshape(entry["shape"])
        at += count * stored.itemsize
        if "scale" in quantization:
            values = values * quantization["scale"] + quantization["min"]
        weights[entry["name"]] = values if entry["dtype"] == "int32" else values.astype(np.float32)
    if at != len(blob):
        raise ValueError("the weights' layout does not fit their size")
    return weights


class _Builder:
    """Walks one topology back from its outputs and writes the compact graph."""

    def __init__(self, name: str, nodes: list[Node], *, weights: Arrays) -> None:
        self._name = name
        self._source = {node["name"]: node for node in nodes}
        self._weights = weights
        self._readers: dict[str, list[Node]] = defaultdict(list)
        for node in nodes:
            for edge in node.get("input", []):
                self._readers[_base(edge)].append(node)
        self._written: dict[str, int] = {}  # node of the topology -> index in the compact graph
        self._nodes: list[Node] = [{"op": "input", "inputs": []}]
        self._arrays: Arrays = {}

    def build(self, outputs: Mapping[str, str]) -> tuple[Arrays, dict[str, str]]:
        graph = {"outputs": {ours: self._write(theirs) for ours, theirs in outputs.items()}, "nodes": self._nodes}
        arrays = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in self._arrays.items()}
        return arrays, {"graph": json.dumps(graph, separators=(",", ":"))}

    def _write(self, name: str) -> int:
        """Index in the compact graph of the value called `name`."""
        name = _base(name)
        if name not in self._written:
            self._written[name] = self._translate(self._source[name])
        return self._written[name]

    def _translate(self, node: Node) -> int:
        op, inputs = node["op"], self._inputs(node["name"])
        if op == "Placeholder":
            return 0
        if op == "Identity":
            return self._write(inputs[0])
        if op in ("Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"):
            return self._convolution(node, inputs)
        if op in ("MatMul", "_FusedMatMul"):
            return self._dense(node, inputs)
        if op in _ADD:
            return self._add(node, inputs)
        if op in ("Mul", "Sub"):
            return self._scale(op, inputs)
        if op == "Relu":
            return self._activate(self._write(inputs[0]), "relu", alone=self._read_once(inputs[0]))
        if op == "Maximum":
            return self._relu6(inputs)
        if op in ("MaxPool", "AvgPool"):
            window = {"kernel": _middle(node, "ksize"), "stride": _middle(node, "strides"), "padding": _padding(node)}
            return self._append({"op": op.lower(), "inputs": [self._write(inputs[0])], **window})
        if op in ("Mean", "Max") and self._weights[inputs[1]].tolist() == [1, 2]:
            return self._append({"op": f"spatial_{op.lower()}", "inputs": [self._write(inputs[0])]})
        if op in _PLAIN:
            return self._append({"op": _PLAIN[op], "inputs": [self._write(inputs[0])]})
        raise WeightsError(f"{self._name}: operation {op} is not supported")

    def _append(self, node: Node, **arrays: Array) -> int:
        self._nodes.append(node)
        for field, value in arrays.items():
            self._arrays[f"nodes.{len(self._nodes) - 1}.{field}"] = value
        return len(self._nodes) - 1

    def _convolution(self, node: Node, inputs: list[str]) -> int:
        kernel = self._weights[inputs[1]]  # (H, W, I, O), depthwise (H, W, C, 1)
        depthwise = "Depthwise" in node["op"]
        weight = kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        source, padding = inputs[0], _padding(node)
        if self._source[source]["op"] == "Pad":  # ours pad all four sides alike
            source, amounts = self._inputs(source)
            padding = self._weights[amounts][1].tolist()[0]
        fields = {"stride": _middle(node, "strides"), "padding": padding, "groups": len(weight) if depthwise else 1}
        bias = self._weights[inputs[2]] if len(inputs) > 2 else np.zeros(len(weight), np.float32)
        index = self._append({"op": "conv", "inputs": [self._write(source)], **fields}, weight=weight, bias=bias)
        return self._fused_activation(node, index)

    def _dense(self, node: Node, inputs: list[str]) -> int:
        weight = self._weights[inputs[1]].T
        bias = self._weights[inputs[2]] if len(inputs) > 2 else np.zeros(len(weight), np.float32)
        index = self._append({"op": "dense", "inputs": [self._write(inputs[0])]}, weight=weight, bias=bias)
        return self._fused_activation(node, index)

    def _fused_activation(self, node: Node, index: int) -> int:
        fused = [base64.b64decode(name).decode() for name in _attribute(node, "fused_ops").get("list", {}).get("s", [])]
        if "Relu" in fused and any(reader["op"] == "Abs" for reader in self._readers[node["name"]]):
            fused.remove(
                "Relu"
            )  # the converter fused a ReLU that only one reader, the upper half of a PReLU, should see
        for name in fused:
            if name not in ("BiasAdd", "Relu"):
                raise WeightsError(f"{self._name}: fused operation {name} is not supported")
        return self._activate(index, "relu", alone=True) if "Relu" in fused else index

    def _activate(self, index: int, kind: str, *, alone: bool, **arrays: Array) -> int:
        """Attach an activation to the node at `index` if no one else reads that node, else write it as its own."""
        node = self._nodes[index]
        if not (alone and node["op"] in ("conv", "dense", "add") and "activation" not in node):
            return self._append({"op": "activation", "inputs": [index], "activation": kind}, **arrays)
        node["activation"] = kind
        for field, value in arrays.items():
            self._arrays[f"nodes.{index}.{field}"] = value
        return index

    def _relu6(self, inputs: list[str]) -> int:
        """max(min(relu(x), 6), 0), as Keras writes it."""
        least, lower = inputs if inputs[1] in self._weights else inputs[::-1]
        clipped = self._source[least]
        if clipped["op"] != "Minimum":
            raise WeightsError(f"{self._name}: operation Maximum is not supported here")
        relu, upper = self._inputs(least)
        if (self._weights[lower].item(), self._weights[upper].item()) != (0.0, 6.0):
            raise WeightsError(f"{self._name}: a clip other than ReLU6 is not supported")
        (source,) = self._inputs(relu)
        return self._activate(self._write(source), "relu6", alone=self._read_once(source))

    def _add(self, node: Node, inputs: list[str]) -> int:
        for value, constant in (inputs, inputs[::-1]):
            if constant in self._weights:
                return self._affine(value, gain=None, offset=self._weights[constant])
        for upper, lower in (inputs, inputs[::-1]):
            source, slope = self._lower_half(lower)
            if slope is not None and (upper == source or source in self._inputs(upper)):
                halves = ("Relu", "Abs", "Sub", "Minimum", "Maximum")
                alone = all(reader["op"] in halves or reader is node for reader in self._readers[source])
                return self._activate(self._write(source), "prelu", alone=alone, slope=slope)
        return self._append({"op": "add", "inputs": [self._write(name) for name in inputs]})

    def _lower_half(self, name: str) -> tuple[str, Array | None]:
        """(x, slope) where the value is the lower half of a PReLU: slope * min(0, x), or slope / 2 * (x - |x|)."""
        factors = self._inputs(name) if self._source[name]["op"] == "Mul" else []
        for constant, half in (factors, factors[::-1]) if factors else ():
            slope, kind, terms = self._weights.get(constant), self._source[half]["op"], self._inputs(half)
            if slope is not None and kind == "Minimum":
                return terms[terms[0] in self._weights], slope
            if slope is not None and kind == "Sub" and self._source[terms[1]]["op"] == "Abs":
                return terms[0], 2.0 * slope
        return "", None

    def _scale(self, op: str, inputs: list[str]) -> int:
        """A product with a constant, a difference to a constant, or x * rsqrt(max(sum(x^2), tiny))."""
        for value, constant in (inputs, inputs[::-1]) if op == "Mul" else (inputs,):
            if constant in self._weights:
                number = self._weights[constant]
                gain, offset = (number, None) if op == "Mul" else (None, -number)
                return self._affine(value, gain=gain, offset=offset)
            if self._source[constant]["op"] == "Rsqrt":
                return self._append({"op": "normalise", "inputs": [self._write(value)]})
        raise WeightsError(f"{self._name}: operation {op} is not supported here")

    def _affine(self, value: str, *, gain: Array | None, offset: Array | None) -> int:
        """gain * x + offset per channel; folded into the layer before it when that layer feeds nothing else."""
        index = self._write(value)
        node, channels = self._nodes[index], f"nodes.{index}."
        if not (node["op"] in ("conv", "dense", "affine") and "activation" not in node and self._read_once(value)):
            size = next(number.size for number in (gain, offset) if number is not None)
            index = self._append({"op": "affine", "inputs": [index]}, weight=np.ones(size), bias=np.zeros(size))
            channels = f"nodes.{index}."
        if gain is not None:
            weight, bias = self._arrays[channels + "weight"], self._arrays[channels + "bias"]
            self._arrays[channels + "weight"] = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
            self._arrays[channels + "bias"] = bias * gain
        if offset is not None:
            self._arrays[channels + "bias"] = self._arrays[channels + "bias"] + offset
        return index

    def _inputs(self, name: str) -> list[str]:
        return [_base(edge) for edge in self._source[name].get("input", [])]

    def _read_once(self, name: str) -> bool:
        return len(self._readers[name]) == 1


def _base(edge: str) -> str:
    return edge.split(":")[0]


def _attribute(node: Node, name: str) -> Node:
    found: Node = node.get("attr", {}).get(name, {})
    return found


def _middle(node: Node, name: str) -> int:
    """The one number of a square window given as [1, n, n, 1]."""
    _, height, width, _ = (int(n) for n in _attribute(node, name)["list"]["i"])
    if height != width:
        raise WeightsError("only square windows are supported")
    return height


def _padding(node: Node) -> str | int:
    return "same" if base64.b64decode(_attribute(node, "padding")["s"]) == b"SAME" else 0


_HEADS = {"embedding": "global_pooling/Mean", "masculinity": "gender_pred/Sigmoid", "age": "age_pred/Softmax"}
import_emotion = graph_importer("emotion", {"probabilities": "Identity"})
import_faceres = graph_importer("faceres", _HEADS)
import_gear = graph_importer("gear", {"race": "Identity_2"})
import_mobileface = graph_importer("mobileface", {"embedding": "batchnorm0/add_1"})
