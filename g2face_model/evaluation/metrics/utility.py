"""Does analysis still work? What of a face is as it was: landmarks, expression, pose, gaze, and that it is a face.

The second landmarker and the expression estimator "emotion" took no part in making the faces; the estimator "gate" and
the irises are the engine's own and named so.

Figures, by method: `found_again` (the detector finds a face where one was), `replaced`, `covered` and `left_alone` (no
method's hand was on it), all of all faces. By method and faces ("all", or "replaced" where others were covered):
`landmark_nme` and its `landmark_nme_p95`, `landmarks_lost` (placed before and not after), `yaw_change`, `pitch_change`,
`roll_change` and `pose_change` (the angle between both poses), `gaze_change`. By method, faces and estimator:
`same_expression`, `expression_agreement` (1 less the total variation); by expression before and after also `confusion`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from g2face_model.evaluation.findings import (
    Figure,
    Findings,
    Layout,
    Note,
    RankedFace,
    Ranking,
    Unit,
    mean,
    quantile,
    share,
)
from g2face_model.evaluation.identification import Share
from g2face_model.evaluation.landmarker import SURE, interocular
from g2face_model.evaluation.measurements import MISSED, FaceMeasurement, Measurements, Pair
from g2face_model.evaluation.trials import Need
from g2face_model.expression import EXPRESSIONS

NAME = "utility"
NEEDS: frozenset[Need] = frozenset()
ALL, REPLACED = "all", "replaced"
_FACES = ("found_again", "replaced", "covered", "left_alone")
_POINTS = ("landmark_nme", "landmark_nme_p95", "landmarks_lost")
_TURNS = ("pose_change", "yaw_change", "pitch_change", "roll_change", "gaze_change")
_EXPRESSION = ("same_expression", "expression_agreement")
_LAYOUTS = (
    Layout("faces", ("method",), _FACES),
    Layout("landmarks", ("method", "faces"), _POINTS),
    Layout("pose", ("method", "faces"), _TURNS),
    Layout("expression", ("method", "faces", "estimator"), _EXPRESSION),
    Layout("confusion", ("method", "estimator", "before"), ("confusion",), across="after"),
)


def compute(measurements: Measurements) -> Findings:
    figures: list[Figure] = []
    rankings: list[Ranking] = []
    notes: list[Note] = []
    for method in measurements.compared:
        pairs = measurements.pairs(method)
        if not pairs:
            continue
        figures += _kept(method, pairs)
        for faces, own in _groups(pairs):
            by = {"method": method, "faces": faces}
            figures += [*_landmarks(measurements, own, by), *_turned(own, by), *_expressions(own, by)]
        rankings.append(_ranked(measurements, method, pairs))
        unsure = sum(pair.before.landmark_spread > SURE for pair in pairs)
        if unsure:
            notes.append(Note("landmarks_unsure", {"method": method, "faces": unsure, "all": len(pairs)}))
    if not figures:
        notes.append(Note("no_faces", warning=True))
    return Findings(NAME, tuple(figures), _LAYOUTS, tuple(rankings), tuple(notes))


def nme(measurements: Measurements, pair: Pair) -> float:
    """Mean distance of the second landmarker's points over the inter-ocular distance; NaN where it is not sure of the
    face before or after."""
    before, after = (measurements.array(face, "landmarks") for face in (pair.before, pair.after))
    unsure = max(pair.before.landmark_spread, pair.after.landmark_spread) > SURE
    if before is None or after is None or unsure:
        return math.nan
    distances = np.linalg.norm(before.astype(np.float64) - after, axis=1)
    return float(distances.mean() / max(interocular(before), 1e-6))


def pose_change(pair: Pair) -> float:
    """The angle in degrees between the poses before and after; NaN where the landmarker is not sure."""
    if max(pair.before.landmark_spread, pair.after.landmark_spread) > SURE:
        return math.nan
    between = _rotation(pair.before.pose).T @ _rotation(pair.after.pose)
    return math.degrees(math.acos(float(np.clip((np.trace(between) - 1) / 2, -1, 1))))


def _groups(pairs: Sequence[Pair]) -> Iterator[tuple[str, list[Pair]]]:
    replaced = [pair for pair in pairs if pair.after.released]
    yield ALL, list(pairs)
    if 0 < len(replaced) < len(pairs):
        yield REPLACED, replaced


def _kept(method: str, pairs: Sequence[Pair]) -> Iterator[Figure]:
    by, count = {"method": method}, len(pairs)
    after = [pair.after for pair in pairs]
    seen = [pair for pair in pairs if pair.before.detected]
    again = Share(sum(pair.after.detected for pair in seen), len(seen))
    yield share("found_again", again, by=by, headline=True)
    yield share("replaced", Share(sum(face.released for face in after), count), by=by, headline=True)
    covered = sum(not face.released and face.outcome != MISSED for face in after)
    yield share("covered", Share(covered, count), by=by)
    yield share("left_alone", Share(sum(face.outcome == MISSED for face in after), count), by=by, headline=True)


def _landmarks(measurements: Measurements, pairs: Sequence[Pair], by: dict[str, str]) -> Iterator[Figure]:
    errors = [nme(measurements, pair) for pair in pairs]
    yield mean("landmark_nme", errors, Unit.NME, by=by, headline=True)
    yield quantile("landmark_nme_p95", errors, Unit.NME, q=0.95, by=by)
    known = [pair for pair in pairs if pair.before.landmark_spread <= SURE]
    lost = Share(sum(pair.after.landmark_spread > SURE for pair in known), len(known))
    yield share("landmarks_lost", lost, by=by)


def _turned(pairs: Sequence[Pair], by: dict[str, str]) -> Iterator[Figure]:
    yield mean("pose_change", [pose_change(pair) for pair in pairs], Unit.DEGREES, by=by, headline=True)
    sure = [pair for pair in pairs if max(pair.before.landmark_spread, pair.after.landmark_spread) <= SURE]
    for axis, name in enumerate(("yaw_change", "pitch_change", "roll_change")):
        yield mean(name, [_apart(pair, axis) for pair in sure], Unit.DEGREES, by=by)
    gaze = [math.dist(pair.before.gaze, pair.after.gaze) for pair in pairs]
    yield mean("gaze_change", gaze, Unit.EYE_WIDTHS, by=by)


def _apart(pair: Pair, axis: int) -> float:
    """Degrees between the two angles, the short way round."""
    return abs((pair.after.pose[axis] - pair.before.pose[axis] + 180) % 360 - 180)


def _expressions(pairs: Sequence[Pair], by: dict[str, str]) -> Iterator[Figure]:
    for estimator in dict.fromkeys(name for pair in pairs for name in pair.before.expressions):
        both = [(np.array(_of(pair.before, estimator)), np.array(_of(pair.after, estimator))) for pair in pairs]
        own = by | {"estimator": estimator}
        same = [int(before.argmax() == after.argmax()) for before, after in both]
        headline = estimator != "gate"
        yield share("same_expression", Share(sum(same), len(same)), by=own, headline=headline)
        agreement = [1 - 0.5 * float(np.abs(before - after).sum()) for before, after in both]
        yield mean("expression_agreement", agreement, Unit.SHARE, by=own)
        if by["faces"] == ALL:
            yield from _confusion(both, own)


def _confusion(both: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], by: dict[str, str]) -> Iterator[Figure]:
    """Of the faces with an expression before, the share with each expression after."""
    classes = np.array([(before.argmax(), after.argmax()) for before, after in both]).reshape(-1, 2)
    for before, name in enumerate(EXPRESSIONS):
        own = classes[classes[:, 0] == before, 1]
        for after, other in enumerate(EXPRESSIONS):
            if len(own):
                counted = Share(int((own == after).sum()), len(own))
                yield share("confusion", counted, by=by | {"before": name, "after": other})


def _of(face: FaceMeasurement, estimator: str) -> tuple[float, ...]:
    return face.expressions[estimator]


def _ranked(measurements: Measurements, method: str, pairs: Sequence[Pair]) -> Ranking:
    """Faces whose landmarks moved most first; those whose landmarks were lost before all others."""
    rows = [(nme(measurements, pair), pair) for pair in pairs if pair.before.landmark_spread <= SURE]
    rows.sort(key=lambda row: -row[0] if math.isfinite(row[0]) else -math.inf)
    faces = tuple(
        RankedFace(
            pair.after.trial.photograph,
            pair.after.index,
            method,
            {
                "landmark_nme": error if math.isfinite(error) else None,
                "pose_change": pose_change(pair) if math.isfinite(error) else None,
                "expression_before": EXPRESSIONS[int(np.argmax(_of(pair.before, "emotion")))],
                "expression_after": EXPRESSIONS[int(np.argmax(_of(pair.after, "emotion")))],
                "outcome": pair.after.outcome,
                "reasons": ", ".join(pair.after.reasons),
            },
        )
        for error, pair in rows
    )
    return Ranking(f"moved by {method}", "landmark_nme", faces)


def _rotation(pose: tuple[float, float, float]) -> NDArray[np.float64]:
    """The rotation (3, 3) whose angles geometry.angles_of tells."""
    yaw, pitch, roll = np.radians(pose)
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)
