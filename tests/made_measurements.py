"""Measurements in which the right answer is known, made face by face without any photograph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from g2face_model.evaluation.collection import Collection
from g2face_model.evaluation.measurements import (
    Array,
    FaceMeasurement,
    Judge,
    Measurements,
    MethodFacts,
    PhotoMeasurement,
    Recovered,
    RunFacts,
)
from g2face_model.evaluation.photographs import Photograph
from g2face_model.evaluation.trials import AS_IS, FIRST_KEY, NONE, SECOND_KEY, Trial

NEUTRAL = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
HAPPY = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
EYES = np.zeros((68, 2), np.float32)  # 68 points of a face whose eyes are 100 px apart
EYES[36:42] = (100.0, 100.0)
EYES[42:48] = (200.0, 100.0)


class MadeMeasurements:
    """Add photographs and what became of them, then look at `view`. There is one recogniser, "judge", which the method
    "g2face" has in its gate and "blur" has not."""

    def __init__(self, methods: dict[str, MethodFacts] | None = None, facts: RunFacts | None = None) -> None:
        self.methods = methods or {"g2face": MethodFacts(True, True, ("judge",)), "blur": MethodFacts()}
        self.judges = {"judge": Judge("family", threshold=0.8, threshold_far_1=0.6)}
        self.facts = facts or RunFacts()
        self._probes: list[Photograph] = []
        self._gallery: list[Photograph] = []
        self._faces: dict[tuple[Trial, int], FaceMeasurement] = {}
        self._photos: dict[Trial, PhotoMeasurement] = {}
        self._arrays: dict[tuple[Trial, int, str], Array] = {}

    def person(self, name: str, first: ArrayLike, other: ArrayLike, **attributes: str) -> str:
        """Somebody with two photographs, by their embeddings; the file that becomes a probe."""
        self._probes.append(Photograph(f"{name}-1.jpg", name, attributes=attributes))
        self._gallery.append(Photograph(f"{name}-2.jpg", name, attributes=attributes))
        self.face(f"{name}-1.jpg", embedding=first)
        self.face(f"{name}-2.jpg", embedding=other)
        return f"{name}-1.jpg"

    def stranger(self, file: str, **attributes: str) -> str:
        """A photograph of nobody knows whom."""
        self._probes.append(Photograph(file, attributes=attributes))
        return file

    def face(
        self,
        file: str,
        method: str = NONE,
        *,
        index: int = 0,
        key: str = FIRST_KEY,
        condition: str = AS_IS,
        embedding: ArrayLike | None = None,
        landmarks: Array | None = None,
        **fields: Any,
    ) -> FaceMeasurement:
        """A face after a method; `fields` are those of FaceMeasurement."""
        trial = Trial(file, method, condition, key)
        outcome = NONE if method == NONE else "anonymized" if method == "g2face" else "blurred"
        known = {
            "box": (0.0, 0.0, 100.0, 100.0),
            "size_px": 100.0,
            "detected": True,
            "outcome": outcome,
            "expressions": {"gate": NEUTRAL, "emotion": NEUTRAL},
            "landmark_spread": 0.01,
        }
        face = FaceMeasurement(trial, index, **{**known, **fields})
        self._faces[trial, index] = face
        if embedding is not None:
            vector = np.asarray(embedding, np.float32)
            self._arrays[trial, index, "embedding.judge"] = vector / np.linalg.norm(vector)
        self._arrays[trial, index, "landmarks"] = EYES if landmarks is None else landmarks
        count = 1 + max(place for own, place in self._faces if own == trial)
        self.photo(file, method, key=key, condition=condition, faces=count, found=count)
        return face

    def photo(
        self, file: str, method: str = NONE, *, key: str = FIRST_KEY, condition: str = AS_IS, **fields: Any
    ) -> None:
        """What is told of a whole trial; `fields` are those of PhotoMeasurement."""
        trial = Trial(file, method, condition, key)
        self._photos[trial] = PhotoMeasurement(trial, **fields)

    @property
    def view(self) -> Measurements:
        return Measurements(
            Collection(tuple(self._probes), tuple(self._gallery)),
            self.methods,
            self.judges,
            self._faces,
            self._photos,
            lambda trial, index, name: self._arrays.get((trial, index, name)),
            self.facts,
        )


def recovered(**changes: Any) -> Recovered:
    """A way back that works, but for the changes."""
    known: dict[str, Any] = {
        "format": "png",
        "bit_exact": True,
        "wrong_key_refused": True,
        "wrong_image_refused": True,
        "tampering_refused": True,
        "protect_seconds": 0.2,
        "restore_seconds": 0.1,
        "payload_bytes": 1000,
        "file_bytes": 5000,
    }
    return Recovered(**{**known, **changes})


def everything() -> Measurements:
    """Enough of everything for every figure of every metric: faces replaced and covered, two keys, two conditions,
    groups, a price."""
    made, random = MadeMeasurements(facts=RunFacts(price_per_hour=1.0)), np.random.default_rng(0)
    made.methods["g2face without judge"] = MethodFacts(True, True, (), left_out=True)
    for number in range(24):
        own, other, first, second = random.standard_normal((4, 30))
        file = made.person(f"p{number}", own, own + 0.1 * other, gender="mf"[number % 2], age=str(number))
        for condition in ("as-is", "dark"):
            made.face(file, condition=condition, embedding=own, skin=((70.0, 9.0, 12.0), (30.0, 9.0, 12.0))[number % 2])
            outcome = {"outcome": "covered"} if number == 3 else {}
            for method in ("g2face", "blur"):
                made.face(file, method, condition=condition, embedding=first, seam=1.0, **outcome)
                made.photo(
                    file,
                    method,
                    condition=condition,
                    faces=1,
                    found=1,
                    seconds=1.0,
                    stages={"render": 0.5},
                    peak_megabytes=9.0,
                    recovered=(recovered(), recovered(format="jpeg")),
                )
        made.face(file, "g2face without judge", embedding=first)
        made.face(file.replace("-1", "-2"), "g2face", key=SECOND_KEY, embedding=second)
    return made.view
