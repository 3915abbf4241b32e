"""ONNX file -> the same network with free image and batch sizes, without the onnx package.

Exporters of the PyTorch 0.4 era fix every size and list the weights among the inputs. ONNX Runtime refuses any other
size and, taking the weights for inputs, does not fold them. Both are mended on the protobuf wire format: fields are
copied unread, except the graph's inputs and outputs (numbers from onnx.proto: ModelProto.graph = 7,
GraphProto.initializer = 5, .input = 11, .output = 12, name = 8 in a tensor and 1 in a value).
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def free_sizes(model: bytes) -> bytes:
    """The ONNX model with weights taken out of its inputs and all sizes of the remaining inputs and outputs free."""
    return b"".join(
        _field(7, _free_graph(value)) if number == 7 else raw for number, value, raw in _fields(memoryview(model))
    )


def _free_graph(graph: memoryview) -> bytes:
    weights = {_text(value, 8) for number, value, _ in _fields(graph) if number == 5}
    parts: list[bytes] = []
    for number, value, raw in _fields(graph):
        if number == 11 and _text(value, 1) in weights:
            continue
        parts.append(_field(number, _free_value(value)) if number in (11, 12) else raw)
    return b"".join(parts)


def _free_value(message: memoryview, path: tuple[int, ...] = (2, 1, 2, 1)) -> bytes:
    """Empty every Dimension below ValueInfoProto.type.tensor_type.shape.dim: a size without a value is any size."""
    if not path:
        return b""
    return b"".join(
        _field(number, _free_value(value, path[1:])) if number == path[0] else raw
        for number, value, raw in _fields(message)
    )


def _text(message: memoryview, wanted: int) -> str:
    return next((bytes(value).decode() for number, value, _ in _fields(message) if number == wanted), "")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, bytes]]:
    """Each field of a protobuf message: number, content (empty unless length-delimited), and its raw bytes."""
    at = 0
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        kind, value = key & 7, message[:0]
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _LENGTH:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        else:
            at += {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}[kind]
        yield key >> 3, value, bytes(message[start:at])


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = message[at]
        result, shift, at = result | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return result, at


def _field(number: int, content: bytes) -> bytes:
    return _encode(number << 3 | _LENGTH) + _encode(len(content)) + content


def _encode(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
