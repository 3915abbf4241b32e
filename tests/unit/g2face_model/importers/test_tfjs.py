import base64
import json
from typing import Any

import numpy as np
import pytest
import torch

from g2face_model.errors import WeightsError
from g2face_model.importers.tfjs import graph_importer, read_weights
from g2face_model.networks.graph import GraphNetwork

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(3)


def _op(op: str, name: str, inputs: list[str], **attributes: object) -> dict[str, object]:
    return {"op": op, "name": name, "input": inputs, "attr": attributes}


def _window(padding: bytes, stride: int, *fused: bytes) -> dict[str, object]:
    return {
        "padding": {"s": base64.b64encode(padding).decode()},
        "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}},
        "fused_ops": {"list": {"s": [base64.b64encode(name).decode() for name in fused]}},
    }


def _members(nodes: list[dict[str, object]], weights: dict[str, Array]) -> dict[str, bytes]:
    entries = [
        {"name": name, "shape": list(value.shape), "dtype": "int32" if value.dtype == np.int32 else "float32"}
        for name, value in weights.items()
    ]
    constants = [{"op": "Const", "name": name} for name in weights]
    model = {"modelTopology": {"node": [*constants, *nodes]}, "weightsManifest": [{"weights": entries}]}
    return {"m.json": json.dumps(model).encode(), "m.bin": b"".join(value.tobytes() for value in weights.values())}


def _run(
    nodes: list[dict[str, object]], weights: dict[str, Array], x: Array, output: str
) -> tuple[Array, GraphNetwork]:
    """x (N, H, W, C) as TensorFlow has it -> the output in the same layout, and the network."""
    arrays, metadata = graph_importer("m", {"y": output})(_members([_op("Placeholder", "x", []), *nodes], weights))
    network = GraphNetwork(metadata["graph"], {name: torch.from_numpy(value) for name, value in arrays.items()})
    y = network(torch.from_numpy(x.transpose(0, 3, 1, 2)))["y"].numpy()
    return (y.transpose(0, 2, 3, 1) if y.ndim == 4 else y), network


def _values(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def _scalar(value: float) -> Array:
    return np.array(value, np.float32)


def test_folds_batch_norm_and_spelled_out_relu6_into_the_convolution() -> None:
    weights = {
        "w": _values(1, 1, 3, 4),
        "gain": _values(4),
        "offset": _values(4),
        "six": _scalar(6),
        "zero": _scalar(0),
    }
    nodes = [
        _op("Conv2D", "conv", ["x", "w"], **_window(b"SAME", 1)),
        _op("Mul", "scaled", ["conv", "gain"]),
        _op("AddV2", "shifted", ["scaled", "offset"]),
        _op("Relu", "relu", ["shifted"]),
        _op("Minimum", "least", ["relu", "six"]),
        _op("Maximum", "clipped", ["least", "zero"]),
    ]
    x = 4 * _values(2, 5, 5, 3)
    y, network = _run(nodes, weights, x, "clipped")
    np.testing.assert_allclose(
        y, np.clip(x @ weights["w"][0, 0] * weights["gain"] + weights["offset"], 0, 6), atol=1e-4
    )
    assert [node.op for node in network.nodes] == ["input", "conv"]


def test_a_batch_norm_behind_a_rectifier_stays_apart() -> None:
    weights = {"w": _values(1, 1, 2, 3), "b": _values(3), "gain": _values(3), "offset": _values(3)}
    nodes = [
        _op("_FusedConv2D", "conv", ["x", "w", "b"], **_window(b"VALID", 1, b"BiasAdd", b"Relu")),
        _op("Mul", "scaled", ["conv", "gain"]),
        _op("Add", "shifted", ["scaled", "offset"]),
    ]
    x = _values(1, 4, 4, 2)
    y, _ = _run(nodes, weights, x, "shifted")
    expected = np.maximum(x @ weights["w"][0, 0] + weights["b"], 0) * weights["gain"] + weights["offset"]
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_a_value_that_others_read_too_is_not_folded_away() -> None:
    weights = {"w": _values(1, 1, 2, 2), "gain": _values(2)}
    nodes = [
        _op("Conv2D", "conv", ["x", "w"], **_window(b"SAME", 1)),
        _op("Mul", "scaled", ["conv", "gain"]),
        _op("AddV2", "sum", ["scaled", "conv"]),
    ]
    x = _values(1, 3, 3, 2)
    y, _ = _run(nodes, weights, x, "sum")
    conv = x @ weights["w"][0, 0]
    np.testing.assert_allclose(y, conv * weights["gain"] + conv, atol=1e-5)


@pytest.mark.parametrize("flipped", [False, True])
def test_recognises_prelu_as_maximum_plus_slope_times_minimum(flipped: bool) -> None:
    weights = {"w": _values(1, 1, 2, 3), "slope": _values(3), "zero": _scalar(0), "nought": _scalar(0)}
    nodes = [
        _op("Conv2D", "conv", ["x", "w"], **_window(b"SAME", 1)),
        _op("Maximum", "upper", ["zero", "conv"]),
        _op("Minimum", "low", ["nought", "conv"]),
        _op("Mul", "lower", ["slope", "low"]),
        _op("AddV2", "prelu", ["lower", "upper"] if flipped else ["upper", "lower"]),
    ]
    x = _values(1, 4, 4, 2)
    y, network = _run(nodes, weights, x, "prelu")
    conv = x @ weights["w"][0, 0]
    np.testing.assert_allclose(y, np.where(conv > 0, conv, conv * weights["slope"]), atol=1e-5)
    assert len(network.nodes) == 2


def test_takes_back_the_rectifier_that_the_converter_fused_below_a_prelu() -> None:
    weights = {"w": _values(3, 3, 2, 1), "b": _values(2), "half": _values(2)}
    nodes = [
        _op("FusedDepthwiseConv2dNative", "conv", ["x", "w", "b"], **_window(b"VALID", 1, b"BiasAdd", b"Relu")),
        _op("Abs", "abs", ["conv"]),
        _op("Sub", "low", ["conv", "abs"]),
        _op("Mul", "lower", ["low", "half"]),
        _op("Add", "prelu", ["conv", "lower"]),
    ]
    x = _values(1, 3, 3, 2)
    y, _ = _run(nodes, weights, x, "prelu")
    conv = (x[0] * weights["w"][..., 0]).sum(axis=(0, 1)) + weights["b"]
    np.testing.assert_allclose(y[0, 0, 0], np.where(conv > 0, conv, conv * 2 * weights["half"]), atol=1e-5)


def test_pads_flattens_and_multiplies_in_tensorflows_order() -> None:
    weights = {
        "pads": np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32),
        "w": _values(3, 3, 2, 3),
        "shape": np.array([-1, 12], np.int32),
        "dense": _values(12, 5),
    }
    nodes = [
        _op("Pad", "padded", ["x", "pads"]),
        _op("Conv2D", "conv", ["padded", "w"], **_window(b"VALID", 2)),
        _op("Reshape", "flat", ["conv", "shape"]),
        _op("MatMul", "y", ["flat", "dense"]),
    ]
    x = _values(1, 4, 4, 2)
    y, _ = _run(nodes, weights, x, "y")
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)))
    conv = [[np.tensordot(padded[i : i + 3, j : j + 3], weights["w"], 3) for j in (0, 2)] for i in (0, 2)]
    np.testing.assert_allclose(y[0], np.array(conv).reshape(-1) @ weights["dense"], atol=1e-4)


def test_reads_quantised_weights() -> None:
    entries = [
        {"name": "a", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
        {
            "name": "b",
            "shape": [1],
            "dtype": "float32",
            "quantization": {"dtype": "float16", "original_dtype": "float32"},
        },
        {"name": "c", "shape": [], "dtype": "int32"},
    ]
    blob = bytes([0, 200]) + np.array([1.5], "<f2").tobytes() + np.array(7, "<i4").tobytes()
    weights = read_weights([{"weights": entries}], blob)
    assert weights["a"].tolist() == [-1.0, 99.0]
    assert weights["b"].tolist() == [1.5]
    assert weights["b"].dtype == np.float32
    assert weights["c"] == 7


def test_refuses_operations_it_does_not_know() -> None:
    members = _members([_op("Placeholder", "x", []), _op("Erf", "y", ["x"])], {})
    with pytest.raises(WeightsError, match="Erf"):
        graph_importer("m", {"y": "y"})(members)


def test_refuses_weights_that_do_not_fit_the_layout() -> None:
    members = _members([_op("Placeholder", "x", [])], {"w": _values(3)})
    with pytest.raises(WeightsError, match="not a TensorFlow"):
        graph_importer("m", {"y": "x"})({**members, "m.bin": members["m.bin"] + b"\0"})
    with pytest.raises(WeightsError, match="not a TensorFlow"):
        graph_importer("m", {"y": "x"})({"m.json": b"{"})
