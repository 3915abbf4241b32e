"""What became of every face of a photograph, and the figures of many: privacy by its gate, utility, cost."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from g2face_model.evaluation.identification import Share
from g2face_model.evaluation.observer import Observer, found_again
from g2face_model.evaluation.photographs import Photograph
from g2face_model.types import AnonymizedFace, AnonymizedImage, Box, Image
from g2face_model.verification import expression_agreement

Anonymize = Callable[[Image, Callable[[int], bytes]], AnonymizedImage]


@dataclass(frozen=True, slots=True)
class FaceFigures:
    """One face. `size_px`: the shorter side of its box. What a released face shows (NME, both kinds of expression
    agreement, found again) is None for a covered one; `landmark_nme` is the gate's own measurement."""

    file: str
    index: int
    groups: tuple[str, ...]
    size_px: float
    outcome: str
    reasons: tuple[str, ...]
    attempts: int
    similarities: Mapping[str, float]
    landmark_nme: float | None = None
    expression_agreement: float | None = None
    same_expression: bool | None = None
    found_again: bool | None = None

    @property
    def released(self) -> bool:
        return self.outcome == "anonymized"


@dataclass(frozen=True, slots=True)
class PhotoFigures:
    """One photograph: `seconds` to anonymize it, warm, without reading or writing files."""

    file: str
    seconds: float
    faces: tuple[FaceFigures, ...]


def seeds_of(photograph: Photograph) -> Callable[[int], bytes]:
    """The same 32 bytes for the same face of the same photograph in every run."""
    return lambda index: hashlib.sha256(f"figures {index} {photograph.file}".encode()).digest()


def measure(
    anonymize: Anonymize, observer: Observer, photograph: Photograph, image: Image
) -> tuple[AnonymizedImage, PhotoFigures]:
    """Anonymize one photograph and look at what came of it."""
    started = time.perf_counter()
    result = anonymize(image, seeds_of(photograph))
    seconds = time.perf_counter() - started
    boxes = observer.boxes(result.image) if any(face.verdict.passed for face in result.faces) else ()
    faces = [_face_figures(observer, photograph, face, (image, result.image, boxes)) for face in result.faces]
    return result, PhotoFigures(photograph.file, seconds, tuple(faces))


def _face_figures(
    observer: Observer, photograph: Photograph, face: AnonymizedFace, seen: tuple[Image, Image, Sequence[Box]]
) -> FaceFigures:
    verdict, box = face.verdict, face.box
    common = (
        photograph.file,
        face.index,
        photograph.groups,
        min(box.width, box.height),
        verdict.outcome,
        verdict.reasons,
        verdict.attempts,
        verdict.similarities,
    )
    if not verdict.passed:
        return FaceFigures(*common)
    original, published, boxes = seen
    again = found_again(box, boxes)
    before = observer.expression(original, observer.mesh(original, box))
    after = observer.expression(published, observer.mesh(published, again or box))
    return FaceFigures(
        *common,
        landmark_nme=verdict.landmark_nme,
        expression_agreement=expression_agreement(before, after),
        same_expression=bool(before.argmax() == after.argmax()),
        found_again=again is not None,
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of many photographs. `reasons` counts why faces were covered (one face may have several); NME,
    expressions and found again are those of released faces; NaN where there is none. `attempts`: mean of the faces
    that were attempted. `seconds_per_face`: all seconds, those of photographs without faces too, over all faces."""

    photographs: int
    faces: int
    released: Share
    reasons: Mapping[str, int]
    nme_mean: float
    nme_p95: float
    same_expression: Share
    expression_agreement: float
    found_again: Share
    attempts: float
    seconds_per_face: float


def summarise(photographs: Sequence[PhotoFigures], *, group: str | None = None, min_px: float = 0.0) -> Summary:
    """The figures of all faces, or of those of a group, or of a size of at least `min_px`."""
    everything = group is None and not min_px
    chosen = [(photograph, _chosen(photograph, group, min_px)) for photograph in photographs]
    chosen = [(photograph, own) for photograph, own in chosen if own or everything]
    faces = [face for _, own in chosen for face in own]
    released = [face for face in faces if face.released]
    nme = [face.landmark_nme for face in released if face.landmark_nme is not None]
    seconds = sum(photograph.seconds for photograph, _ in chosen)
    counted = sum(len(photograph.faces) for photograph, _ in chosen)
    return Summary(
        photographs=len(chosen),
        faces=len(faces),
        released=Share(len(released), len(faces)),
        reasons=dict(Counter(reason for face in faces if not face.released for reason in face.reasons).most_common()),
        nme_mean=_mean(nme),
        nme_p95=float(np.quantile(nme, 0.95)) if nme else math.nan,
        same_expression=_share([face.same_expression for face in released]),
        expression_agreement=_mean([face.expression_agreement for face in released]),
        found_again=_share([face.found_again for face in released]),
        attempts=_mean([face.attempts for face in faces if face.attempts]),
        seconds_per_face=seconds / counted if counted else math.nan,
    )


def _chosen(photograph: PhotoFigures, group: str | None, min_px: float) -> list[FaceFigures]:
    return [face for face in photograph.faces if group in (None, *face.groups) and face.size_px >= min_px]


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def _share(flags: Sequence[bool | None]) -> Share:
    known = [flag for flag in flags if flag is not None]
    return Share(sum(known), len(known))
