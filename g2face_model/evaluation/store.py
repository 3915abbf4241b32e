"""The measurements on disk: added to trial by trial, whole or not at all, so that a run goes on where it was stopped.

FOLDER/measurements.jsonl: a line of provenance, then one line per face and, after a trial's faces, one for the trial.
FOLDER/private/IDENTIFIER.npz: the arrays of a trial's faces; they hold face templates and crops of originals, so the
folder is its owner's alone and not for handing out.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from g2face_model import atomic_file
from g2face_model.errors import ModelError
from g2face_model.evaluation.collection import Collection
from g2face_model.evaluation.measurements import (
    Array,
    FaceMeasurement,
    Judge,
    Measured,
    Measurements,
    MethodFacts,
    PhotoMeasurement,
    Recovered,
    RunFacts,
)
from g2face_model.evaluation.trials import Trial

LINES, PRIVATE = "measurements.jsonl", "private"
_MOVED = ("machine", "versions", "made")  # of the provenance: may change between the parts of a run
Line = dict[str, Any]


class Store:
    """One folder of measurements, written by one process at a time."""

    def __init__(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        """Open or begin. Raises ModelError when the folder's measurements were made otherwise or cannot be read."""
        self.folder, self.provenance = folder, _jsonable(dict(provenance))
        self._faces: dict[tuple[Trial, int], FaceMeasurement] = {}
        self._photos: dict[Trial, PhotoMeasurement] = {}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PRIVATE).mkdir(mode=0o700, exist_ok=True)
        self._path = folder / LINES
        if self._path.exists():
            self._resume()
        else:
            self._append([{"kind": "run", **self.provenance}])

    def holds(self, trial: Trial) -> bool:
        """Whether the trial was made and did not fail."""
        photo = self._photos.get(trial)
        return photo is not None and not photo.error

    def add(self, measured: Measured) -> None:
        """Keep a trial: the arrays first, so that a line never tells of what is not there. Raises OSError."""
        trial = measured.photo.trial
        if measured.arrays:
            named: dict[str, Any] = {f"{index}.{name}": value for (index, name), value in measured.arrays.items()}
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **named)
            atomic_file.write(self._private(trial), buffer.getvalue(), mode=0o600)
        lines = [{"kind": "face", **_jsonable(dataclasses.asdict(face))} for face in measured.faces]
        self._append([*lines, {"kind": "trial", **_jsonable(dataclasses.asdict(measured.photo))}])
        self._keep(measured.photo, measured.faces)

    def measurements(
        self,
        collection: Collection,
        *,
        methods: Mapping[str, MethodFacts],
        judges: Mapping[str, Judge],
        facts: RunFacts,
    ) -> Measurements:
        """The view of everything, for the metrics."""
        load = functools.lru_cache(maxsize=None)(self._arrays)
        return Measurements(
            collection,
            methods,
            judges,
            dict(self._faces),
            dict(self._photos),
            lambda trial, index, name: load(trial).get(f"{index}.{name}"),
            facts,
        )

    def _private(self, trial: Trial) -> Path:
        return self.folder / PRIVATE / f"{trial.identifier}.npz"

    def _arrays(self, trial: Trial) -> dict[str, Array]:
        path = self._private(trial)
        if not path.exists():
            return {}
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return dict(arrays)

    def _append(self, lines: list[Line]) -> None:
        text = "".join(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n" for line in lines)
        with self._path.open("ab") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()

    def _resume(self) -> None:
        """Read what is there; a line or a trial that was cut short is cut off."""
        data = self._path.read_bytes()
        lines = _lines(data)
        if not lines or lines[0][0].get("kind") != "run":
            raise ModelError(f"{LINES} in that folder is not of this program's making")
        self._compare(lines[0][0])
        faces: list[FaceMeasurement] = []
        end = lines[0][1]
        for line, behind in lines[1:]:
            if line["kind"] == "face":
                faces.append(_face(line))
            else:
                self._keep(_photo(line), tuple(faces))
                faces, end = [], behind
        if end < len(data):
            with self._path.open("r+b") as file:
                file.truncate(end)

    def _compare(self, before: Line) -> None:
        changed = [name for name, value in self.provenance.items() if name not in _MOVED and before.get(name) != value]
        if changed:
            told = ", ".join(name.replace("_", " ") for name in changed)
            raise ModelError(f"that folder holds measurements made with other {told}; choose another folder")

    def _keep(self, photo: PhotoMeasurement, faces: tuple[FaceMeasurement, ...]) -> None:
        self._photos[photo.trial] = photo
        self._faces |= {(photo.trial, face.index): face for face in faces}


def _lines(data: bytes) -> list[tuple[Line, int]]:
    """The whole lines and where each ends."""
    found, end = [], 0
    for raw in data.splitlines(keepends=True):
        try:
            line = json.loads(raw.decode("utf-8", "surrogateescape"))
        except ValueError:
            break
        if not raw.endswith(b"\n") or not isinstance(line, dict):
            break
        end += len(raw)
        found.append((line, end))
    return found


def _face(line: Line) -> FaceMeasurement:
    fields = {name: _tuples(value) for name, value in line.items() if name != "kind"}
    return FaceMeasurement(**{**fields, "trial": Trial(**line["trial"])})


def _photo(line: Line) -> PhotoMeasurement:
    fields = {name: value for name, value in line.items() if name != "kind"}
    recovered = tuple(Recovered(**own) for own in line["recovered"])
    return PhotoMeasurement(**{**fields, "trial": Trial(**line["trial"]), "recovered": recovered})


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return value


def _jsonable(value: Any) -> Any:
    """As JSON gives it back: lists for tuples, null for what is not a finite number, six significant digits."""
    if isinstance(value, Mapping):
        return {str(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Path):
        return value.name
    return float(f"{float(value):.6g}") if math.isfinite(value) else None
