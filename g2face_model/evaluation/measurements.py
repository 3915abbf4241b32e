"""What was measured, and the view of it that a metric gets.

`Measurements` is read-only and already joined with the collection. A metric asks it for the faces of one method
(`faces`), for the same faces as they were (`before`), or for both (`pairs`). `under` and `among` narrow the view to a
condition or to some photographs, so that any metric can be computed again for a condition or a group; the collection,
with what an attacker would compare with, stays whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2face_model.evaluation.collection import Collection
from g2face_model.evaluation.photographs import Photograph
from g2face_model.evaluation.trials import AS_IS, FIRST_KEY, NONE, Trial

Array = NDArray[Any]
MISSED = "missed"  # the outcome of a face that the method did not find


@dataclass(frozen=True, slots=True)
class Judge:
    """A recogniser: the family its weights come from, and its calibrated thresholds at 0.1 % and 1 % false accepts."""

    family: str
    threshold: float
    threshold_far_1: float


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What is told of a method: see `methods.Entry`. `left_out`: it is the engine without one of its recognisers, made
    for the sake of that judge and no method of its own."""

    keyed: bool = False
    reversible: bool = False
    gate: tuple[str, ...] = ()
    left_out: bool = False


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How the trials were run: processes side by side, threads of each; what an hour of the machine costs; how many
    processes wanted to run at once on the average of the last quarter of an hour, and on how many cores."""

    jobs: int = 1
    threads: int = 1
    price_per_hour: float | None = None
    load: float = 0.0
    cores: int = 1


@dataclass(frozen=True, slots=True)
class FaceMeasurement:
    """One face in one trial; `index` counts the faces of the photograph as it is, largest first.

    `box` (left, top, right, bottom) px of the trial's picture, `size_px` its shorter side. `detected`: found again at
    its place by the detector. `outcome`: what the method says, MISSED, or NONE. `expressions`: probabilities (7,) by
    estimator. `pose`: yaw, pitch, roll in degrees by the second landmarker, `landmark_spread` its doubt. `gaze`: the
    irises' mean place along and across the eyes, in eye widths, by the engine's iris network. `skin`: CIE Lab of the
    bare skin. `seam`: colour step over the border of what was changed, less the one of the original there, in levels.
    """

    trial: Trial
    index: int
    box: tuple[float, float, float, float]
    size_px: float
    detected: bool
    outcome: str
    reasons: tuple[str, ...] = ()
    attempts: int = 0
    expressions: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    landmark_spread: float = 1.0
    gaze: tuple[float, float] = (0.0, 0.0)
    skin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    seam: float | None = None

    @property
    def released(self) -> bool:
        """Replaced by a new face, not covered or blurred."""
        return self.outcome == "anonymized"


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one saved file: whether every bit came back, what was refused that had to be, and its cost."""

    format: str
    bit_exact: bool
    wrong_key_refused: bool
    wrong_image_refused: bool
    tampering_refused: bool
    protect_seconds: float
    restore_seconds: float
    payload_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class PhotoMeasurement:
    """One trial. `faces`: how many there are, `found`: how many the method says it treated; `stages`: seconds by
    stage, `seconds` in all; `peak_megabytes`: of a process that does nothing else. `error`: why it could not be made;
    then all else is empty."""

    trial: Trial
    width: int = 0
    height: int = 0
    faces: int = 0
    found: int = 0
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    peak_megabytes: float | None = None
    recovered: tuple[Recovered, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished trial, as a worker hands it in. `arrays`: by face index and name."""

    photo: PhotoMeasurement
    faces: tuple[FaceMeasurement, ...] = ()
    arrays: Mapping[tuple[int, str], Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """A face before and after."""

    before: FaceMeasurement
    after: FaceMeasurement


@dataclass(frozen=True)
class Measurements:
    """`methods` in the order of the run, NONE not among them. `load` gives an array of a face."""

    collection: Collection
    methods: Mapping[str, MethodFacts]
    judges: Mapping[str, Judge]
    every_face: Mapping[tuple[Trial, int], FaceMeasurement]
    every_photo: Mapping[Trial, PhotoMeasurement]
    load: Callable[[Trial, int, str], Array | None]
    facts: RunFacts = RunFacts()
    condition: str = AS_IS
    chosen: frozenset[str] | None = None

    def under(self, condition: str) -> Measurements:
        """The view of the trials under a condition."""
        return dataclasses.replace(self, condition=condition)

    def among(self, photographs: Iterable[str]) -> Measurements:
        """The view of these photographs' outcomes only."""
        return dataclasses.replace(self, chosen=frozenset(photographs))

    @property
    def conditions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(trial.condition for trial in self.every_photo))

    @property
    def compared(self) -> tuple[str, ...]:
        """The methods that a reader can choose between."""
        return tuple(name for name, facts in self.methods.items() if not facts.left_out)

    @property
    def probes(self) -> tuple[Photograph, ...]:
        """The photographs that are anonymized, of this view."""
        every = self.collection.probes
        return every if self.chosen is None else tuple(own for own in every if own.file in self.chosen)

    @property
    def paired(self) -> tuple[Photograph, ...]:
        """The probes of this view whose person is in the gallery with another photograph."""
        inside = {photograph.file for photograph in self.probes}
        return tuple(photograph for photograph in self.collection.paired if photograph.file in inside)

    def photos(self, method: str, *, key: str = FIRST_KEY) -> list[PhotoMeasurement]:
        """The trials of this view by a method, those that failed left out."""
        trials = (Trial(photograph.file, method, self.condition, key) for photograph in self.probes)
        found = (self.every_photo.get(trial) for trial in trials)
        return [photo for photo in found if photo is not None and not photo.error]

    def failed(self) -> list[PhotoMeasurement]:
        """The trials of every method and photograph that could not be made."""
        return [photo for photo in self.every_photo.values() if photo.error]

    def faces(self, method: str, *, key: str = FIRST_KEY) -> list[FaceMeasurement]:
        """The faces of this view after a method, or as they are for NONE."""
        photos = self.photos(method, key=key)
        found = (self.every_face.get((photo.trial, index)) for photo in photos for index in range(photo.faces))
        return [face for face in found if face is not None]

    def before(self, face: FaceMeasurement) -> FaceMeasurement | None:
        """The same face as it was, under the same condition."""
        trial = Trial(face.trial.photograph, NONE, face.trial.condition)
        return self.every_face.get((trial, face.index))

    def pairs(self, method: str, *, key: str = FIRST_KEY) -> list[Pair]:
        found = ((self.before(face), face) for face in self.faces(method, key=key))
        return [Pair(before, after) for before, after in found if before is not None]

    def array(self, face: FaceMeasurement, name: str) -> Array | None:
        """ "landmarks" (68, 2), "crop" (S, S, 3) uint8, "embedding.RECOGNISER" (D,) of unit length, and whatever else
        the laboratory keeps; None where it was not measured."""
        return self.load(face.trial, face.index, name)

    def embedding(self, photograph: str, recogniser: str, *, method: str = NONE, key: str = FIRST_KEY) -> Array | None:
        """Of a photograph's largest face, in this view's condition."""
        return self.load(Trial(photograph, method, self.condition, key), 0, f"embedding.{recogniser}")

    def attributes(self, file: str) -> Mapping[str, str]:
        """What is told of the person on a photograph."""
        return next((own.attributes for own in self.collection.photographs if own.file == file), {})


def stacked(vectors: Sequence[Array]) -> NDArray[np.float64]:
    """(N, D); (0, 1) for none."""
    return np.stack(vectors).astype(np.float64) if vectors else np.zeros((0, 1))
