"""Brings together what a report shows: the findings and the crops of the faces that their rankings name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from g2face_model.evaluation.findings import Findings, Note, RankedFace
from g2face_model.evaluation.measurements import MISSED, Measurements
from g2face_model.evaluation.report.content import Evaluation, FaceName
from g2face_model.evaluation.trials import NONE, Trial
from g2face_model.types import Image

SHOWN = 6  # of the worst, of those in the middle and of the best


def evaluation(
    measurements: Measurements, findings: tuple[Findings, ...], *, provenance: Mapping[str, Any], show_originals: bool
) -> Evaluation:
    """Everything that the page tells."""
    faces: dict[FaceName, Image] = {}
    originals: dict[FaceName, Image] = {}
    for ranked in _shown(findings):
        name = (ranked.file, ranked.index, ranked.method)
        if show_originals or ranked.values.get("outcome") != MISSED:  # what was overlooked is the original
            _keep(faces, measurements, name)
        if show_originals:
            _keep(originals, measurements, (ranked.file, ranked.index, NONE))
    failures = [
        Note("failed", {"photograph": own.trial.photograph, "reason": own.error}) for own in _once(measurements)
    ]
    return Evaluation(
        provenance,
        findings,
        (*measurements.collection.notes, *failures),
        faces,
        originals,
        photographs=len(measurements.probes),
        found=len(measurements.faces(NONE)),
        methods=measurements.compared,
    )


def chosen(faces: tuple[RankedFace, ...]) -> dict[str, tuple[RankedFace, ...]]:
    """Of a ranking, worst first: the "worst", those in the "middle", and the "best", none of them twice."""
    count = min(SHOWN, max(1, len(faces) // 3))
    start = (len(faces) - count) // 2
    if len(faces) < 3:
        return {"worst": faces, "middle": (), "best": ()}
    return {"worst": faces[:count], "middle": faces[start : start + count], "best": faces[-count:][::-1]}


def _shown(findings: tuple[Findings, ...]) -> list[RankedFace]:
    rankings = [ranking for own in findings for ranking in own.rankings]
    return [face for ranking in rankings for some in chosen(ranking.faces).values() for face in some]


def _keep(crops: dict[FaceName, Image], measurements: Measurements, name: FaceName) -> None:
    crop = measurements.load(Trial(name[0], name[2], measurements.condition), name[1], "crop")
    if crop is not None:
        crops[name] = np.asarray(crop, np.uint8)


def _once(measurements: Measurements) -> list[Any]:
    """The failed trials, one per photograph."""
    return list({photo.trial.photograph: photo for photo in measurements.failed()}.values())
