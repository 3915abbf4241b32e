"""How much harder may photographs be? Every headline figure again, under every condition that was tried.

Figures: those of identity, utility and recovery that are headlines, by all that they are told by and by condition;
"as-is" are the very photographs that the conditions were tried on, so that a line of the table is one comparison. The
order of the conditions is that of `conditions.CONDITIONS`, sizes and strengths from easy to hard: a curve. A method
that was tried under no condition is left out.
"""

from __future__ import annotations

import dataclasses

from g2face_model.evaluation.conditions import CONDITIONS
from g2face_model.evaluation.findings import Figure, Findings, Layout, Note
from g2face_model.evaluation.measurements import Measurements
from g2face_model.evaluation.metrics import identity, recovery, utility
from g2face_model.evaluation.trials import AS_IS, Need

NAME = "robustness"
NEEDS = frozenset({Need.CONDITIONS})
_METRICS = (identity, utility, recovery)
_FEW = 30
_BY_METHOD = ("condition", "method")
_LAYOUTS = (
    Layout("harder_faces", _BY_METHOD, ("found_again", "replaced", "left_alone")),
    Layout("harder_analysis", (*_BY_METHOD, "faces"), ("landmark_nme", "pose_change", "same_expression")),
    Layout("harder_search", (*_BY_METHOD, "recogniser", "probes"), ("rank_one", "tar_far_0.1", "own_match")),
    Layout("harder_recovery", (*_BY_METHOD, "format"), ("bit_exact", "wrong_key_refused")),
)


def compute(measurements: Measurements) -> Findings:
    tried = [name for name in CONDITIONS if name != AS_IS and name in measurements.conditions]
    trials = [own for own, photo in measurements.every_photo.items() if own.condition in tried and not photo.error]
    photographs = {own.photograph for own in trials} & {photograph.file for photograph in measurements.probes}
    methods = {own.method for own in trials}
    if not photographs:
        return Findings(NAME, notes=(Note("no_conditions", warning=True),))
    sample = measurements.among(photographs)
    every = [figure for name in (AS_IS, *tried) for figure in _headlines(sample.under(name), name)]
    figures = [figure for figure in every if figure.by["method"] in methods]
    notes = [Note("conditions_sampled", {"photographs": len(photographs), "conditions": len(tried)})]
    if len(photographs) < _FEW:
        notes.append(Note("few_photographs", {"photographs": len(photographs)}, warning=True))
    return Findings(NAME, tuple(figures), _LAYOUTS, notes=tuple(notes))


def _headlines(measurements: Measurements, condition: str) -> list[Figure]:
    """Headlines of a whole evaluation, not of this one: there are too many for a first page."""
    every = (figure for metric in _METRICS for figure in metric.compute(measurements).figures)
    return [
        dataclasses.replace(figure, by={**figure.by, "condition": condition}, headline=False)
        for figure in every
        if figure.headline
    ]
