import numpy as np
import pytest

from g2face_model.errors import WeightsError
from g2face_model.importers.dlib import MEMBER, import_dlib
from g2face_model.networks.dlib_resnet import BLOCKS


def _integer(value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes((size,)) + value.to_bytes(size, "little")


def _layer(version: bytes, values: np.ndarray, *, before: bytes = b"") -> bytes:
    shape = b"".join(_integer(n) for n in (2, values.size, 1, 1, 1))
    return _integer(len(version)) + version + before + shape + values.astype("<f4").tobytes()


def _convolution(outputs: int, inputs: int, kernel: int, seed: int) -> tuple[bytes, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    values = random.standard_normal(outputs * inputs * kernel**2 + outputs)
    gain, offset = random.standard_normal((2, outputs))
    data = _layer(b"con_4", values) + _layer(b"affine_", np.concatenate([gain, offset]))
    return data, values, gain, offset


def _network() -> bytes:
    parts = [b"\x01\x01 versions of the layers", _convolution(32, 3, 7, 0)[0]]
    for index, (_, inputs, outputs) in enumerate(BLOCKS):
        parts += [
            _convolution(outputs, inputs, 3, 2 * index + 1)[0],
            _convolution(outputs, outputs, 3, 2 * index + 2)[0],
        ]
    dense = np.random.default_rng(99).standard_normal(256 * 128)
    return b"".join([*parts, _layer(b"fc_2", dense, before=_integer(128) + _integer(256))])


def test_folds_the_affine_layer_into_its_convolution() -> None:
    arrays, _ = import_dlib({MEMBER: _network()})
    _, values, gain, offset = _convolution(32, 3, 7, 0)
    patch = np.random.default_rng(5).standard_normal(3 * 7 * 7)
    weight, bias = values[:-32].reshape(32, -1), values[-32:]
    expected = gain * (weight @ patch + bias) + offset
    folded = arrays["stem.weight"].reshape(32, -1) @ patch + arrays["stem.bias"]
    np.testing.assert_allclose(folded, expected, atol=1e-4)


def test_turns_the_dense_layer_to_outputs_by_inputs() -> None:
    arrays, _ = import_dlib({MEMBER: _network()})
    dense = np.random.default_rng(99).standard_normal(256 * 128).astype(np.float32)
    assert arrays["embedding.weight"].shape == (128, 256)
    assert arrays["embedding.weight"][3, 7] == dense[7 * 128 + 3]


def test_reads_every_block() -> None:
    arrays, _ = import_dlib({MEMBER: _network()})
    assert len(arrays) == 2 + 4 * len(BLOCKS) + 1
    assert arrays["blocks.block128_down.first.weight"].shape == (128, 64, 3, 3)


@pytest.mark.parametrize(
    "data",
    [b"", b"not a network", _network()[:-1], _network().replace(b"fc_2", b"fc_9"), _network()[: len(_network()) // 2]],
    ids=["empty", "foreign", "cut by a byte", "unknown version", "cut in half"],
)
def test_refuses_what_is_not_the_network(data: bytes) -> None:
    with pytest.raises(WeightsError):
        import_dlib({MEMBER: data})


def test_refuses_a_missing_member() -> None:
    with pytest.raises(WeightsError, match="missing"):
        import_dlib({})
