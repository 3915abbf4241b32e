"""A pilot's photos, measured as `evaluate` measures: pairs of an original and what was published of it, one at a time.

Nothing is made anew here, so that what needs new faces of the originals (other keys, harder photographs, the engine
without a recogniser) is left out, and the report says so. Pixels are dropped once they are measured; figures, face
templates and small crops stay in memory, and end with the `Examination`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from g2face_model.errors import RecoveryError
from g2face_model.evaluation.collection import Collection
from g2face_model.evaluation.findings import Figure, Findings, Layout, Note, Unit, mean, share
from g2face_model.evaluation.identification import Share
from g2face_model.evaluation.judges import Judges
from g2face_model.evaluation.measurements import (
    MISSED,
    Array,
    FaceMeasurement,
    Judge,
    Measurements,
    MethodFacts,
    PhotoMeasurement,
    RunFacts,
)
from g2face_model.evaluation.methods import G2FACE, Setup
from g2face_model.evaluation.metrics import cost, fairness, identity, realism, recovery, utility
from g2face_model.evaluation.observer import found_again
from g2face_model.evaluation.photographs import Photograph, couples
from g2face_model.evaluation.provenance import provenance
from g2face_model.evaluation.report.html import render
from g2face_model.evaluation.report.pictures import evaluation
from g2face_model.evaluation.report.words import LANGUAGES
from g2face_model.evaluation.trials import NONE, Trial
from g2face_model.recognition import RECOGNISERS
from g2face_model.types import Box, Image

_RECOVERY = Layout("recovery", ("method", "format"), ("bit_exact", "restore_seconds", "payload_bytes"))
_FACTS = MethodFacts(keyed=True, reversible=True, gate=tuple(RECOGNISERS))


@dataclass(frozen=True, slots=True)
class SpecimenFace:
    """A face as the engine noted it: where, and what became of it ("anonymized" or "covered"; why)."""

    box: Box
    outcome: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Specimen:
    """A photo as it was and as it was published, (H, W, 3) each.

    name: told in the report. person: the same for photos of one person, "" where nobody knows; never told. bit_exact:
    it was given back without a mark. work_seconds: what a worker took to anonymize and lock it, None where that was not
    noted. retrieve_seconds: until the original was there. sealed_bytes: what is kept for it.
    """

    name: str
    person: str
    original: Image = field(repr=False)
    published: Image = field(repr=False)
    faces: tuple[SpecimenFace, ...]
    bit_exact: bool
    format: str
    work_seconds: float | None
    retrieve_seconds: float
    sealed_bytes: int


@dataclass(frozen=True, slots=True)
class _GivenBack:
    """What is told of a photo's recovery."""

    bit_exact: bool
    format: str
    seconds: float
    sealed_bytes: int


class Examination:
    """One pilot's judges and all that they measured. Not for concurrent use. Raises WeightsError."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._judges = setup, Judges(setup)
        self._people: dict[str, str] = {}
        self._faces: dict[tuple[Trial, int], FaceMeasurement] = {}
        self._photos: dict[Trial, PhotoMeasurement] = {}
        self._arrays: dict[tuple[Trial, int, str], Array] = {}
        self._given_back: list[_GivenBack] = []

    def look(self, specimen: Specimen) -> None:
        """Measure a photo. Raises ModelError, also when both pictures are not of one size."""
        if specimen.original.shape != specimen.published.shape:
            raise RecoveryError("what came back has another size than what was published")
        boxes = self._judges.observer.boxes(specimen.original)
        for method, image in ((NONE, specimen.original), (G2FACE, specimen.published)):
            trial, detected = Trial(specimen.name, method), self._judges.observer.boxes(image)
            for index, box in enumerate(boxes):
                treated = None if method == NONE else _treated(box, specimen.faces)
                self._measure(trial, image, index=index, box=box, detected=detected, treated=treated)
            self._photos[trial] = _photo(trial, specimen, faces=len(boxes))
        self._people[specimen.name] = specimen.person
        self._given_back.append(
            _GivenBack(specimen.bit_exact, specimen.format, specimen.retrieve_seconds, specimen.sealed_bytes)
        )

    def pages(self, *, asked: int) -> dict[str, str]:
        """The report by language, of so many photos that were `asked` for."""
        measurements = self._measurements(asked)
        shown = evaluation(
            measurements, self._findings(measurements), provenance=provenance(self._setup), show_originals=False
        )
        shown = dataclasses.replace(shown, alone=True)
        return {language: render(shown, language=language) for language in LANGUAGES}

    def _measure(
        self,
        trial: Trial,
        image: Image,
        *,
        index: int,
        box: Box,
        detected: Sequence[Box],
        treated: SpecimenFace | None,
    ) -> None:
        """A face of the original, at its place in one of both pictures."""
        again = found_again(box, detected)
        mesh = self._judges.observer.mesh(image, again or box)
        seen = self._judges.landmarks(image, box, roll_degrees=0.0)
        self._faces[trial, index] = FaceMeasurement(
            trial,
            index,
            box=(box.left, box.top, box.right, box.bottom),
            size_px=min(box.width, box.height),
            detected=again is not None,
            outcome=NONE if trial.method == NONE else treated.outcome if treated else MISSED,
            reasons=treated.reasons if treated else (),
            **self._judges.look(image, mesh, seen),
        )
        arrays = self._judges.arrays(image, mesh, seen)
        self._arrays |= {(trial, index, name): value for name, value in arrays.items()}

    def _measurements(self, asked: int) -> Measurements:
        """As the metrics want it: everybody is tried, and searched for on another photo of theirs if there is one."""
        probes = tuple(Photograph(name, person) for name, person in self._people.items())
        gallery = tuple(second for _, second in couples(probes))
        return Measurements(
            Collection(probes, gallery, tuple(_notes(probes, gallery, asked))),
            {G2FACE: _FACTS},
            {
                own.name: Judge(own.family, own.threshold, own.threshold_far_1)
                for own in self._judges.observer.recognisers
            },
            self._faces,
            self._photos,
            lambda trial, index, name: self._arrays.get((trial, index, name)),
            RunFacts(jobs=1, threads=self._setup.threads),
        )

    def _findings(self, measurements: Measurements) -> tuple[Findings, ...]:
        return (
            _told(identity.compute(measurements), "pilot_left_out_identity"),
            utility.compute(measurements),
            realism.compute(measurements),
            _recovery(self._given_back),
            fairness.compute(measurements),
            _told(cost.compute(measurements), "pilot_cost"),
        )


def _treated(box: Box, faces: Sequence[SpecimenFace]) -> SpecimenFace | None:
    """What the engine says it did to the face in `box`, or None."""
    there = found_again(box, [face.box for face in faces])
    return next((face for face in faces if face.box == there), None)


def _photo(trial: Trial, specimen: Specimen, *, faces: int) -> PhotoMeasurement:
    height, width = specimen.original.shape[:2]
    seconds = math.nan if specimen.work_seconds is None else specimen.work_seconds
    return PhotoMeasurement(trial, width=width, height=height, faces=faces, found=len(specimen.faces), seconds=seconds)


def _notes(probes: Sequence[Photograph], gallery: Sequence[Photograph], asked: int) -> Iterator[Note]:
    """All of them for the first page, where warnings stand."""
    yield Note("pilot_sample", {"photographs": len(probes), "asked": asked}, warning=True)
    yield Note("pilot_left_out", warning=True)
    if len(probes) < asked:
        yield Note("pilot_not_measured", {"photographs": asked - len(probes)}, warning=True)
    if not any(own.person for own in probes):
        yield Note("nobody_named", warning=True)
    elif not gallery:
        yield Note("no_pairs", warning=True)


def _recovery(given_back: Sequence[_GivenBack]) -> Findings:
    """What was seen of recovery through the admin's API: no wrong key was tried on anybody's original."""
    formats = dict.fromkeys(own.format for own in given_back)
    figures = tuple(figure for name in formats for figure in _of_format(given_back, name))
    marked = () if all(own.bit_exact for own in given_back) else (Note("pilot_marked", warning=True),)
    return Findings(recovery.NAME, figures, (_RECOVERY,), notes=(Note("pilot_recovered"), *marked))


def _of_format(given_back: Sequence[_GivenBack], name: str) -> Iterator[Figure]:
    own = [one for one in given_back if one.format == name]
    by = {"method": G2FACE, "format": name}
    yield share("bit_exact", Share(sum(one.bit_exact for one in own), len(own)), by=by, headline=True)
    yield mean("restore_seconds", [one.seconds for one in own], Unit.SECONDS, by=by)
    yield mean("payload_bytes", [one.sealed_bytes for one in own], Unit.BYTES, by=by)


def _told(findings: Findings, code: str) -> Findings:
    return dataclasses.replace(findings, notes=(*findings.notes, Note(code)))
