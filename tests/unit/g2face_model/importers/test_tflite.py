from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter

from g2face_model.errors import WeightsError
from g2face_model.importers.tflite import graph
from g2face_model.networks.graph import GraphNetwork
from g2face_model.weights import WeightStore


def test_the_mesh_network_in_torch_is_the_one_in_litert(store: WeightStore) -> None:
    content = store.file("face_mesh.tflite")
    arrays, description = graph(content, {"points": 0, "face": 1})
    network = GraphNetwork(description, {name: torch.from_numpy(array) for name, array in arrays.items()})
    pixels = np.random.default_rng(0).random((1, 192, 192, 3), dtype=np.float32)
    reference = Interpreter(model_content=content)
    reference.allocate_tensors()
    reference.set_tensor(reference.get_input_details()[0]["index"], pixels)
    reference.invoke()
    found = network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    for name, detail in zip(("points", "face"), reference.get_output_details(), strict=True):
        wanted = reference.get_tensor(detail["index"]).ravel()
        assert np.abs(found[name].detach().numpy().ravel() - wanted).max() < 1e-2  # of 192 px


def test_a_model_with_other_operators_is_refused(store: WeightStore) -> None:
    with pytest.raises(WeightsError):
        graph(store.file("expression.tflite"), {"probabilities": 0})


@pytest.mark.parametrize("content", [b"", b"no model at all, but long enough to be read as one", bytes(400)])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(WeightsError):
        graph(content, {"points": 0})
