from __future__ import annotations

from collections.abc import Mapping

import defusedxml
import numpy as np
import pytest
from numpy.typing import NDArray

from g2face_model.importers.openvino import import_generator
from g2face_model.networks.generator import Generator
from g2face_model.weights import WeightStore


@pytest.fixture(scope="module")
def members(store: WeightStore) -> dict[str, bytes]:
    """The pinned files as a pull leaves them."""
    part = store.parts["generator"]
    folder = store.directory / "sources" / part.source.folder
    return {member.name: (folder / member.name).read_bytes() for member in part.members}


@pytest.fixture(scope="module")
def arrays(members: Mapping[str, bytes]) -> dict[str, NDArray[np.float32]]:
    return import_generator(members)[0]


def test_arrays_are_the_parameters_of_the_generator(arrays: Mapping[str, NDArray[np.float32]]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in Generator().state_dict().items()}
    assert {name: array.shape for name, array in arrays.items()} == expected
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


def test_no_constant_is_taken_twice(arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Walking one step too far or too short would hand one layer's constants to its neighbour as well."""
    seen = {array.tobytes() for array in arrays.values()}
    assert len(seen) == len(arrays)


def test_mapping_layers_stand_in_the_order_of_execution(
    members: Mapping[str, bytes], arrays: Mapping[str, NDArray[np.float32]]
) -> None:
    openvino = pytest.importorskip("openvino", reason="needs the OpenVINO runtime (extra: dev)")
    core = openvino.Core()
    graph = core.read_model(members["MappingNetwork.xml"], members["MappingNetwork.bin"])
    runtime = core.compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"})
    z = np.random.default_rng(3).standard_normal((1, 512)).astype(np.float32)
    w = z / np.sqrt(np.square(z).mean() + 1e-8)
    for layer in range(8):
        w = w @ arrays[f"mapping.{layer}.weight"].T + arrays[f"mapping.{layer}.bias"]
        w = np.where(w < 0, 0.2 * w, w) * np.sqrt(2)
    np.testing.assert_allclose(w, runtime(z)[0], atol=1e-4)


def test_a_graph_that_defines_entities_is_refused(members: Mapping[str, bytes]) -> None:
    bomb = b'<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa">]><net><layers/><edges/></net>'
    with pytest.raises(defusedxml.EntitiesForbidden):
        import_generator({**members, "MappingNetwork.xml": bomb})
