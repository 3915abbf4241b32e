"""What was measured as envelopes of HiFD 1.0 (https://github.com/infraface/hifd), which scores de-identification.

FOLDER/original and FOLDER/METHOD hold a JSON file per task and estimator, methods.yaml and estimators.yaml name them;
`hifd run-all --methods methods.yaml --estimators estimators.yaml --data-dir . --out scores` reads them. There are
embeddings by every recogniser, landmarks and expressions. What is not measured here (age, gender, ethnicity, gaze as a
direction, micro expressions, pulse, NIQE, LPIPS) is left out, and so of HiFD's scores P and part of U1 are told, Q, U2
and U3 are not. The folder holds face templates: it is its owner's alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g2face_model import atomic_file
from g2face_model.evaluation.measurements import FaceMeasurement, Measurements
from g2face_model.evaluation.trials import NONE
from g2face_model.expression import EXPRESSIONS

SCHEMA_VERSION = "1.0"
_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)  # of the 68 points, as the picture shows them
_ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class _Task:
    """One estimator of a task; its file is the same in every folder."""

    task: str
    estimator: str

    @property
    def file(self) -> str:
        return f"{self.task}.{self.estimator}.json"


def export(measurements: Measurements, folder: Path) -> int:
    """Write all envelopes into `folder` and tell how many. Raises OSError."""
    tasks = [*_tasks(measurements)]
    places = {NONE: _ORIGINAL} | {name: name.replace(" ", "-") for name in measurements.compared}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for method, place in places.items():
        (folder / place).mkdir(mode=0o700, exist_ok=True)
        faces = measurements.faces(method)
        for task in tasks:
            _write(folder / place / task.file, _envelope(measurements, task, faces, method))
    methods = [{"name": method, "base_path": place} for method, place in places.items() if method != NONE]
    _write(folder / "methods.yaml", {"original": {"base_path": _ORIGINAL}, "methods": methods})
    _write(folder / "estimators.yaml", {"tasks": _estimators(tasks)})
    return len(tasks) * len(places)


def _tasks(measurements: Measurements) -> Iterator[_Task]:
    yield from (_Task("face_embedding", name) for name in measurements.judges)
    yield _Task("landmark", "face-api")
    faces = measurements.faces(NONE)
    yield from (_Task("macro_exp", name) for name in dict.fromkeys(name for own in faces for name in own.expressions))


def _estimators(tasks: Sequence[_Task]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for task in tasks:
        own = {"name": task.estimator, "orig_json": task.file, "deid_json": task.file}
        found.setdefault(task.task, {"estimators": []})["estimators"].append(own)
    return found


def _envelope(measurements: Measurements, task: _Task, faces: Sequence[FaceMeasurement], method: str) -> dict[str, Any]:
    predictions = {
        f"{face.trial.photograph}#{face.index}": told
        for face in faces
        if (told := _prediction(measurements, task, face)) is not None
    }
    names = {"class_names": list(EXPRESSIONS)} if task.task == "macro_exp" else {}
    return {
        "task": task.task,
        "source": _ORIGINAL if method == NONE else "deid",
        "estimator": task.estimator,
        "schema_version": SCHEMA_VERSION,
        **names,
        "predictions": predictions,
    }


def _prediction(measurements: Measurements, task: _Task, face: FaceMeasurement) -> dict[str, Any] | None:
    if task.task == "macro_exp":
        return {"probs": list(face.expressions[task.estimator])}
    name = "landmarks" if task.task == "landmark" else f"embedding.{task.estimator}"
    array = measurements.array(face, name)
    if array is None:
        return None
    values = np.asarray(array, np.float64).round(6)
    if task.task == "face_embedding":
        return {"embedding": values.tolist()}
    eyes = {"left_eye_center": _LEFT_EYE, "right_eye_center": _RIGHT_EYE}
    return {"points": values.tolist(), **{eye: values[own].mean(axis=0).tolist() for eye, own in eyes.items()}}


def _write(path: Path, content: Any) -> None:
    """JSON, which YAML is a superset of."""
    atomic_file.write(path, (json.dumps(content, allow_nan=False) + "\n").encode(), mode=0o600)
