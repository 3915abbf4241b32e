"""Make a trial and measure what came of it: the only place of an evaluation where photographs are opened.

The faces of the photograph as it is, found by the detector, are the faces of all its trials. Each is measured at its
place in the published picture, whatever the method says it found, so that a face left in the clear counts as one.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from g2face_model import images
from g2face_model.anonymizer import Seeds
from g2face_model.errors import ModelError, UnreadableImageError
from g2face_model.evaluation import recovering
from g2face_model.evaluation.bench import forget_peak, peak_megabytes, resident_megabytes
from g2face_model.evaluation.conditions import CONDITIONS, Subject, moved
from g2face_model.evaluation.judges import Judges
from g2face_model.evaluation.measurements import MISSED, Array, FaceMeasurement, Measured, PhotoMeasurement
from g2face_model.evaluation.methods import Method, Setup, Treated, Treatment, entry
from g2face_model.evaluation.observer import found_again, overlap
from g2face_model.evaluation.seams import seam
from g2face_model.evaluation.trials import FIRST_KEY, NONE, Trial
from g2face_model.types import Box, FaceMesh, Image

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Scene:
    """A photograph under a condition, where its faces are, and by how much it was turned."""

    image: Image
    boxes: tuple[Box, ...]
    roll_degrees: float


class Laboratory:
    """Judges and methods of one process; a method is built when it is first needed. Not for concurrent use."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self._folder, self._setup = folder, setup
        self._bare_megabytes = resident_megabytes()
        self._judges = Judges(setup)
        self._methods: dict[str, tuple[Method, float]] = {}

    def measure(self, trials: Sequence[Trial]) -> Iterator[Measured]:
        """The trials of one photograph under one condition. One that cannot be made has an error in its place."""
        try:
            scene = self._scene(trials[0].photograph, trials[0].condition)
        except Exception as error:
            yield from (_failed(trial, error) for trial in trials)
            return
        for trial in trials:
            try:
                yield self._measured(trial, scene)
            except Exception as error:  # one odd photograph must not cost the other thousand
                yield _failed(trial, error)

    def _scene(self, photograph: str, condition: str) -> _Scene:
        image = images.decode(_bytes(self._folder / photograph))
        observer = self._judges.observer
        subjects = [Subject(box, observer.mesh(image, box)) for box in observer.boxes(image)]
        name = f"{condition} {photograph}".encode("utf-8", "surrogateescape")
        random = np.random.default_rng(int.from_bytes(hashlib.sha256(name).digest()[:8], "big"))
        degraded = CONDITIONS[condition](image, subjects, random)
        boxes = tuple(moved(subject.box, degraded.matrix) for subject in subjects)
        turned = math.atan2(degraded.matrix[1, 0], degraded.matrix[0, 0])
        return _Scene(degraded.image, boxes, math.degrees(turned))

    def _measured(self, trial: Trial, scene: _Scene) -> Measured:
        treatment, seconds, peak = self._treat(trial, scene.image)
        recovered = (
            recovering.recover(scene.image, treatment, recovering.key_of(trial.key))
            if treatment.replaced and _is_judged_for_itself(trial)
            else ()
        )
        detected = self._judges.observer.boxes(treatment.image)
        faces: list[FaceMeasurement] = []
        arrays: dict[tuple[int, str], Array] = {}
        for index in range(len(scene.boxes)):
            face, own = self._face(trial, scene, treatment, index=index, detected=detected)
            faces.append(face)
            arrays |= {(index, name): value for name, value in own.items()}
        photo = PhotoMeasurement(
            trial,
            width=scene.image.shape[1],
            height=scene.image.shape[0],
            faces=len(faces),
            found=len(treatment.faces),
            seconds=seconds,
            stages=treatment.stages,
            peak_megabytes=peak,
            recovered=recovered,
        )
        return Measured(photo, tuple(faces), arrays)

    def _treat(self, trial: Trial, image: Image) -> tuple[Treatment, float, float]:
        """What a method makes of it, and the seconds and memory that a process which does only this would need."""
        if trial.method == NONE:
            return Treatment(image, ()), 0.0, math.nan
        seeds = recovering.seeds(image, trial.key)
        method, own_megabytes = self._method(trial.method, image, seeds)
        forget_peak()
        before, started = resident_megabytes(), time.perf_counter()
        treatment = method.anonymize(image, seeds)
        seconds = time.perf_counter() - started
        if treatment.seconds is not None:
            return treatment, treatment.seconds, treatment.peak_megabytes or math.nan
        return treatment, seconds, self._bare_megabytes + own_megabytes + peak_megabytes() - before

    def _method(self, name: str, image: Image, seeds: Seeds) -> tuple[Method, float]:
        """The method, warm, and the memory that it took."""
        if name not in self._methods:
            before = resident_megabytes()
            method = entry(name).make(self._setup)
            if not entry(name).left_out:  # those are not timed
                method.anonymize(image, seeds)
            self._methods[name] = method, resident_megabytes() - before
        return self._methods[name]

    def _face(
        self, trial: Trial, scene: _Scene, treatment: Treatment, *, index: int, detected: Sequence[Box]
    ) -> tuple[FaceMeasurement, dict[str, Array]]:
        box = scene.boxes[index]
        again = found_again(box, detected)
        mesh: FaceMesh = self._judges.observer.mesh(treatment.image, again or box)
        seen = self._judges.landmarks(treatment.image, box, roll_degrees=scene.roll_degrees)
        treated = None if trial.method == NONE else _treated(box, treatment)
        face = FaceMeasurement(
            trial,
            index,
            box=(box.left, box.top, box.right, box.bottom),
            size_px=min(box.width, box.height),
            detected=again is not None,
            outcome=NONE if trial.method == NONE else treated.outcome if treated else MISSED,
            reasons=treated.reasons if treated else (),
            attempts=treated.attempts if treated else 0,
            seam=seam(scene.image, treatment.image, treated.rectangle) if treated else None,
            **self._judges.look(treatment.image, mesh, seen),
        )
        return face, self._judges.arrays(treatment.image, mesh, seen)


def _bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise UnreadableImageError("not a file")
    return path.read_bytes()


def _is_judged_for_itself(trial: Trial) -> bool:
    """Whether its way back, too, is of interest: not in a trial that is made for one recogniser or for another key."""
    return trial.key == FIRST_KEY and not entry(trial.method).left_out


def _treated(box: Box, treatment: Treatment) -> Treated | None:
    """What the method did to the face in `box`, or None."""
    best = max(treatment.faces, key=lambda own: overlap(box, own.box), default=None)
    return best if best is not None and found_again(box, [best.box]) else None


def _failed(trial: Trial, error: Exception) -> Measured:
    """The trial with its error, in words that tell no path."""
    if isinstance(error, ModelError):
        reason = str(error)
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        _LOG.debug("unexpected", exc_info=error)
        reason = f"unexpected {type(error).__name__}"
    return Measured(PhotoMeasurement(trial, error=reason))
