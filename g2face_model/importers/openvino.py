"""The pretrained generator's OpenVINO IR (an XML graph and its raw constants) -> named arrays.

The IR names no weights, so they are located by walking the graph: a constant is known by the operation that reads it
and by that operation's place in the order of execution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.float32]]
_DTYPES: dict[str, type[np.generic]] = {"f32": np.float32, "i64": np.int64, "i32": np.int32}


@dataclass(frozen=True)
class _Operation:
    """One non-constant node: its type, the operations and the constants it reads, in port order."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    constants: tuple[NDArray[np.generic], ...]


def _constant(layer: Element, blob: bytes) -> NDArray[np.generic]:
    [data] = layer.iterfind("data")
    shape = tuple(int(n) for n in data.attrib["shape"].split(",") if n)
    dtype = _DTYPES[data.attrib["element_type"]]
    count = int(np.prod(shape))
    return np.frombuffer(blob, dtype, count=count, offset=int(data.attrib["offset"])).reshape(shape)


def _operations(graph: bytes, blob: bytes) -> Iterator[_Operation]:
    root = fromstring(graph)
    layers = {layer.attrib["id"]: layer for layer in root.iterfind("layers/layer")}
    sources: dict[str, dict[int, str]] = {}
    for edge in root.iterfind("edges/edge"):
        sources.setdefault(edge.attrib["to-layer"], {})[int(edge.attrib["to-port"])] = edge.attrib["from-layer"]
    for name, layer in layers.items():
        if layer.attrib["type"] == "Const":
            continue
        read = [layers[sources[name][port]] for port in sorted(sources.get(name, {}))]
        yield _Operation(
            name,
            layer.attrib["type"],
            tuple(source.attrib["id"] for source in read if source.attrib["type"] != "Const"),
            tuple(_constant(source, blob) for source in read if source.attrib["type"] == "Const"),
        )


def _mapping(graph: bytes, blob: bytes) -> Arrays:
    """8 x (weight (512, 512), bias (512,)). Each bias is the one long constant that is reshaped before addition."""
    operations = list(_operations(graph, blob))
    weights = [operation.constants[0] for operation in operations if operation.kind == "MatMul"]
    reshapes = [operation for operation in operations if operation.kind == "Reshape"]
    biases = [constant for reshape in reshapes for constant in reshape.constants if constant.size == 512]
    arrays: Arrays = {}
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        arrays[f"mapping.{layer}.weight"] = weight.astype(np.float32)
        arrays[f"mapping.{layer}.bias"] = bias.astype(np.float32)
    return arrays


def _affines(operations: list[_Operation]) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Name of each operation that yields a modulation -> (weight (C, 512), bias (C,)), equalising gain folded in."""
    affines: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    for operation in operations:
        source = next((affines[name] for name in operation.inputs if name in affines), None)
        if operation.kind == "MatMul":
            affines[operation.name] = (operation.constants[0].astype(np.float32), np.zeros(0, np.float32))
        elif source is None:
            continue
        elif operation.kind == "Add" and source[1].size == 0:
            affines[operation.name] = (source[0], operation.constants[0].reshape(-1).astype(np.float32))
        elif operation.kind == "Reshape":
            affines[operation.name] = source
        elif operation.kind == "Multiply" and operation.constants:
            gain = np.float32(operation.constants[0].reshape(-1)[0])
            affines[operation.name] = (source[0] * gain, source[1] * gain)
    return affines


def _layer_names() -> list[str]:
    """Modulated layers in the order of execution."""
    levels = [f"levels.{level}.{layer}" for level in range(7) for layer in ("up", "first", "second")]
    return ["constant", *levels, "image"]


def _synthesis(graph: bytes, blob: bytes) -> Arrays:
    operations = list(_operations(graph, blob))
    affines = _affines(operations)
    names = iter(_layer_names())
    arrays: Arrays = {}
    name = ""
    for operation in operations:
        modulation = next((affines[i] for i in operation.inputs if i in affines), None)
        if operation.kind == "Multiply" and modulation and not operation.constants:
            name = next(names)
            arrays[f"{name}.affine.weight"], arrays[f"{name}.affine.bias"] = modulation
        elif operation.kind == "Broadcast" and operation.constants and operation.constants[0].size > 4:
            arrays["constant.input"] = operation.constants[0].astype(np.float32)
        elif name and operation.kind in ("Convolution", "GroupConvolution"):
            weight = operation.constants[0].astype(np.float32)
            depthwise = operation.kind == "GroupConvolution"
            arrays[f"{name}.{'depthwise' if depthwise else 'weight'}"] = weight[:, 0] if depthwise else weight
        elif name and operation.kind == "Add" and operation.constants:
            constant = operation.constants[0].astype(np.float32)
            arrays[f"{name}.{'noise' if constant.shape[1] == 1 else 'bias'}"] = constant
    return arrays


def import_generator(members: Mapping[str, bytes]) -> tuple[Arrays, dict[str, str]]:
    """The two networks of the face generator.

    members: MappingNetwork.xml/.bin and SynthesisNetwork.xml/.bin. Returns arrays named after the parameters of
    networks/generator.py and no metadata.
    """
    mapping = _mapping(members["MappingNetwork.xml"], members["MappingNetwork.bin"])
    synthesis = _synthesis(members["SynthesisNetwork.xml"], members["SynthesisNetwork.bin"])
    return {**mapping, **{f"synthesis.{name}": array for name, array in synthesis.items()}}, {}
