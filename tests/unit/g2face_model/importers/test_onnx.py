import numpy as np
import onnxruntime
import pytest

from g2face_model.importers.onnx import free_sizes


def _session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def centerface(store):
    return store.file("centerface.onnx")


def test_sizes_become_free_and_weights_stop_being_inputs(centerface):
    free = _session(free_sizes(centerface))
    assert [entry.shape for entry in free.get_inputs()] == [[None, None, None, None]]
    (heat, *_) = free.run(None, {free.get_inputs()[0].name: np.zeros((1, 3, 64, 96), np.float32)})
    assert heat.shape == (1, 1, 16, 24)


def test_outputs_stay_the_same_at_the_exported_size(centerface):
    fixed, free = _session(centerface), _session(free_sizes(centerface))
    image = np.random.default_rng(0).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    name = free.get_inputs()[0].name
    for before, after in zip(fixed.run(None, {name: image}), free.run(None, {name: image}), strict=True):
        assert np.abs(before - after).max() < 1e-3


def test_freeing_twice_changes_nothing_more(centerface):
    once = free_sizes(centerface)
    assert free_sizes(once) == once
