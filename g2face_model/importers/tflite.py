"""TensorFlow Lite models -> named arrays and a compact graph for networks/graph.py.

A model is one flatbuffer (schema.fbs of TensorFlow, version 3). Only what MediaPipe's mesh network needs is read: plain
and depthwise convolutions, PReLU, sums, maximum pooling, padding of channels, half-precision weights.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2face_model.errors import WeightsError

Array = NDArray[Any]
Arrays = dict[str, Array]

_TYPES: Mapping[int, str] = {0: "<f4", 1: "<f2", 2: "<i4"}  # TensorType
_ADD, _CONV, _DEPTHWISE, _DEQUANTIZE, _MAXPOOL, _RESHAPE, _PAD, _PRELU = 0, 3, 4, 6, 17, 22, 34, 54  # BuiltinOperator
_ACTIVATIONS = {0: None, 1: "relu", 3: "relu6"}
_SAME = 0


class Table:
    """A flatbuffer table: fields by their number in the schema, absent ones as their defaults."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]
        self._count = (struct.unpack_from("<H", data, self._fields)[0] - 4) // 2

    def scalar(self, number: int, form: str, default: int = 0) -> int:
        place = self._place(number)
        return int(struct.unpack_from(form, self._data, place)[0]) if place else default

    def table(self, number: int) -> Table | None:
        place = self._place(number)
        return Table(self._data, self._follow(place)) if place else None

    def tables(self, number: int) -> list[Table]:
        start, length = self._vector(number)
        return [Table(self._data, self._follow(start + 4 * k)) for k in range(length)]

    def integers(self, number: int) -> list[int]:
        start, length = self._vector(number)
        return list(struct.unpack_from(f"<{length}i", self._data, start)) if length else []

    def content(self, number: int) -> bytes:
        start, length = self._vector(number)
        return self._data[start : start + length]

    def _place(self, number: int) -> int:
        """Where a field lies, 0 when it is absent."""
        if number >= self._count:
            return 0
        offset = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * number)[0]
        return self._at + offset if offset else 0

    def _follow(self, place: int) -> int:
        return int(place + struct.unpack_from("<I", self._data, place)[0])

    def _vector(self, number: int) -> tuple[int, int]:
        place = self._place(number)
        if not place:
            return 0, 0
        start = self._follow(place)
        return start + 4, int(struct.unpack_from("<I", self._data, start)[0])


class _Model:
    """The first subgraph of a model: tensors with their constants, operators in order of execution."""

    def __init__(self, data: bytes) -> None:
        root = Table(data, struct.unpack_from("<I", data)[0])
        graph = root.tables(2)[0]
        self.codes = [max(code.scalar(0, "<b"), code.scalar(3, "<i")) for code in root.tables(1)]
        self.operators = graph.tables(3)
        self.inputs, self.outputs = graph.integers(1), graph.integers(2)
        buffers = root.tables(4)
        self.shapes = [tensor.integers(0) for tensor in graph.tables(0)]
        self.constants: dict[int, Array] = {}
        for index, tensor in enumerate(graph.tables(0)):
            content = buffers[tensor.scalar(2, "<I")].content(0)
            kind = tensor.scalar(1, "<b")
            if content and kind in _TYPES:
                self.constants[index] = np.frombuffer(content, _TYPES[kind]).reshape(self.shapes[index])


class _Builder:
    """Walks the operators and writes the compact graph."""

    def __init__(self, model: _Model) -> None:
        self._model = model
        self.nodes: list[dict[str, Any]] = [{"op": "input", "inputs": []}]
        self.arrays: Arrays = {}
        self._written = {model.inputs[0]: 0}

    def build(self) -> None:
        for operator in self._model.operators:
            self._translate(self._model.codes[operator.scalar(0, "<I")], operator)

    def written(self, tensor: int) -> int:
        return self._written[tensor]

    def _translate(self, code: int, operator: Table) -> None:
        inputs, (output, *_) = operator.integers(1), operator.integers(2)
        options = operator.table(4)
        constants = self._model.constants
        if code == _DEQUANTIZE:
            constants[output] = constants[inputs[0]].astype(np.float32)
        elif code == _RESHAPE:
            self._written[output] = self._append({"op": "flatten", "inputs": [self._written[inputs[0]]]})
        elif code == _PAD:
            self._pad(inputs, output)
        elif code == _PRELU:
            node = {"op": "activation", "inputs": [self._written[inputs[0]]], "activation": "prelu"}
            self._written[output] = self._append(node, slope=constants[inputs[1]].reshape(-1))
        elif code in (_CONV, _DEPTHWISE) and options is not None:
            self._written[output] = self._convolution(inputs, options, depthwise=code == _DEPTHWISE)
        elif code == _ADD and options is not None:
            node = {"op": "add", "inputs": [self._written[index] for index in inputs]}
            self._written[output] = self._append(node | _activation(options.scalar(0, "<b")))
        elif code == _MAXPOOL and options is not None:
            window: dict[str, Any] = {"kernel": options.scalar(3, "<i"), "stride": options.scalar(1, "<i")}
            window |= {"padding": "same" if options.scalar(0, "<b") == _SAME else 0}
            self._written[output] = self._append({"op": "maxpool", "inputs": [self._written[inputs[0]]], **window})
        else:
            raise WeightsError(f"a TensorFlow Lite model with operator {code} is not supported")

    def _convolution(self, inputs: Sequence[int], options: Table, *, depthwise: bool) -> int:
        kernel = self._model.constants[inputs[1]]  # (O, H, W, I), depthwise (1, H, W, C)
        weight = kernel.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        fields: dict[str, Any] = {
            "stride": options.scalar(1, "<i"),
            "padding": "same" if options.scalar(0, "<b") == _SAME else 0,
            "groups": len(weight) if depthwise else 1,
        }
        fields |= _activation(options.scalar(4 if depthwise else 3, "<b"))
        node = {"op": "conv", "inputs": [self._written[inputs[0]]], **fields}
        return self._append(node, weight=weight, bias=self._model.constants[inputs[2]])

    def _pad(self, inputs: Sequence[int], output: int) -> None:
        before, after = self._model.constants[inputs[1]].T.tolist()
        if any(before) or any(after[:3]):
            raise WeightsError("only channels can be padded, at the end")
        node = {"op": "pad_channels", "inputs": [self._written[inputs[0]]], "channels": after[3]}
        self._written[output] = self._append(node)

    def _append(self, node: dict[str, Any], **arrays: Array) -> int:
        self.nodes.append(node)
        for field, value in arrays.items():
            self.arrays[f"nodes.{len(self.nodes) - 1}.{field}"] = np.ascontiguousarray(value, np.float32)
        return len(self.nodes) - 1


def _activation(number: int) -> dict[str, Any]:
    if number not in _ACTIVATIONS:
        raise WeightsError(f"a TensorFlow Lite model with activation {number} is not supported")
    name = _ACTIVATIONS[number]
    return {"activation": name} if name else {}


def graph(data: bytes, outputs: Mapping[str, int]) -> tuple[Arrays, str]:
    """A .tflite file -> the arrays `nodes.INDEX.FIELD` and the graph as JSON that `GraphNetwork` takes. `outputs` names
    the model's outputs by their number. Raises WeightsError for what is not such a model."""
    try:
        model = _Model(data)
        builder = _Builder(model)
        builder.build()
        named = {name: builder.written(model.outputs[number]) for name, number in outputs.items()}
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise WeightsError("not a TensorFlow Lite model of the kind that can be read here") from error
    return builder.arrays, json.dumps({"outputs": named, "nodes": builder.nodes}, separators=(",", ":"))
