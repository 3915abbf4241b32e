"""What a reader has to know to repeat a run, and what must not change while a run goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import g2face_model
from g2face_model.config import MODEL_VERSION, ModelConfig
from g2face_model.evaluation.landmarker import NAME as LANDMARKER
from g2face_model.evaluation.measurements import Judge
from g2face_model.evaluation.methods import Setup
from g2face_model.recognition import RECOGNISERS, load_recognisers
from g2face_model.weights import WeightStore

FORMAT = 1  # of the measurements: raise it when what is measured changes
_PACKAGES = ("numpy", "opencv-python-headless", "torch", "onnxruntime", "ai-edge-litert")


def provenance(setup: Setup) -> dict[str, Any]:
    """Model, weights, settings, machine, versions."""
    store = WeightStore(setup.weights_dir)
    config = dataclasses.asdict(dataclasses.replace(ModelConfig(), device=setup.device))
    del config["weights_dir"], config["threads"]
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "format": FORMAT,
        "model_version": MODEL_VERSION,
        "engine": _digest_of_code(),
        "weights": {name: store.digest(name) for name in store.names},
        "settings": config,
        "landmarker": LANDMARKER,
        "machine": {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), **versions},
    }


def judges(setup: Setup) -> dict[str, Judge]:
    """The recognisers and their calibrated thresholds."""
    loaded = load_recognisers(WeightStore(setup.weights_dir), RECOGNISERS)
    return {own.name: Judge(own.family, own.threshold, own.threshold_far_1) for own in loaded}


def _digest_of_code() -> str:
    """sha256 over the engine's own source files: an engine that was changed is another one."""
    package = Path(g2face_model.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*package.glob("*.py"), *package.glob("networks/**/*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _processor() -> str:
    """The processor's name as the system tells it."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return platform.processor()
