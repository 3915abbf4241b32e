"""dlib's serialised face recognition network -> named arrays.

The format (dlib/serialize.h, dlib/dnn/core.h): an integer is one control byte, whose low four bits count the
little-endian bytes that follow and whose top bit is the sign; a string is its length as such an integer, then its
bytes; a tensor is a version, four dimensions, then little-endian float32. A network is written from its input to its
output, so the layers with parameters can be read one after the other, each behind its own version string.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from g2face_model.errors import WeightsError
from g2face_model.networks.dlib_resnet import BLOCKS

MEMBER = "dlib_face_recognition_resnet_model_v1.dat"
_CONVOLUTION, _AFFINE, _DENSE = b"con_4", b"affine_", b"fc_2"
Arrays = dict[str, NDArray[np.float32]]


class _Reader:
    """A cursor over the serialised bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def seek(self, version: bytes) -> None:
        """Move behind the next layer's version string."""
        marker = bytes((1, len(version))) + version
        found = self._data.find(marker, self._at)
        if found < 0:
            raise WeightsError(f"dlib network: no further layer {version.decode()}")
        self._at = found + len(marker)

    def integer(self) -> int:
        control = self._data[self._at]
        count = control & 0x0F
        if control & 0x70 or not 1 <= count <= 8:
            raise WeightsError("dlib network: an integer was expected")
        value = int.from_bytes(self._data[self._at + 1 : self._at + 1 + count], "little")
        self._at += 1 + count
        return -value if control & 0x80 else value

    def tensor(self, size: int) -> NDArray[np.float32]:
        """The (size,) float32 values of the tensor at the cursor."""
        version, *shape = (self.integer() for _ in range(5))
        if version != 2 or int(np.prod(shape)) != size or self._at + 4 * size > len(self._data):
            raise WeightsError("dlib network: a tensor has an unexpected shape")
        values = np.frombuffer(self._data, "<f4", size, self._at).astype(np.float32)
        self._at += 4 * size
        return values


def import_dlib(members: Mapping[str, bytes]) -> tuple[Arrays, dict[str, str]]:
    """Read the 29-layer network that maps 150 px faces to 128 numbers.

    Each convolution comes back with the affine layer behind it folded in: `NAME.weight` (O, I, K, K), `NAME.bias`
    (O,). `embedding.weight` is (128, 256). Raises WeightsError when the bytes are not that network.
    """
    try:
        reader = _Reader(members[MEMBER])
    except KeyError:
        raise WeightsError(f"dlib network: {MEMBER} is missing") from None
    arrays: Arrays = {}
    _read_convolution(reader, arrays, "stem", channels=(3, 32), kernel=7)
    for name, channels_in, channels_out in BLOCKS:
        _read_convolution(reader, arrays, f"blocks.{name}.first", channels=(channels_in, channels_out), kernel=3)
        _read_convolution(reader, arrays, f"blocks.{name}.second", channels=(channels_out, channels_out), kernel=3)
    reader.seek(_DENSE)
    if (reader.integer(), reader.integer()) != (128, 256):
        raise WeightsError("dlib network: the last layer has an unexpected shape")
    arrays["embedding.weight"] = np.ascontiguousarray(reader.tensor(256 * 128).reshape(256, 128).T)
    return arrays, {"network": "dlib_resnet", "licence": "CC0-1.0"}


def _read_convolution(reader: _Reader, arrays: Arrays, name: str, *, channels: tuple[int, int], kernel: int) -> None:
    """A convolution and its affine layer, folded: a(w * x + b) + c = (a w) * x + (a b + c)."""
    inputs, outputs = channels
    shape = (outputs, inputs, kernel, kernel)
    reader.seek(_CONVOLUTION)
    values = reader.tensor(int(np.prod(shape)) + outputs).astype(np.float64)
    reader.seek(_AFFINE)
    gain, offset = reader.tensor(2 * outputs).astype(np.float64).reshape(2, outputs)
    weight, bias = values[:-outputs].reshape(shape), values[-outputs:]
    arrays[f"{name}.weight"] = (weight * gain[:, None, None, None]).astype(np.float32)
    arrays[f"{name}.bias"] = (bias * gain + offset).astype(np.float32)
