"""Faces whose change is known."""

from __future__ import annotations

import numpy as np
import pytest
from made_measurements import EYES, HAPPY, NEUTRAL, MadeMeasurements

from g2face_model.evaluation.findings import Figure, Findings
from g2face_model.evaluation.metrics import utility


def _figure(findings: Findings, name: str, **by: str) -> Figure:
    (found,) = (own for own in findings.figures if own.name == name and by.items() <= dict(own.by).items())
    return found


def test_an_unchanged_face_is_unchanged() -> None:
    made = MadeMeasurements()
    for number in range(5):
        file = made.stranger(f"{number}.jpg")
        made.face(file, pose=(10.0, -5.0, 3.0), gaze=(0.1, 0.2))
        made.face(file, "g2face", pose=(10.0, -5.0, 3.0), gaze=(0.1, 0.2))
    findings = utility.compute(made.view)
    for name in ("landmark_nme", "landmark_nme_p95", "landmarks_lost", "yaw_change", "gaze_change", "left_alone"):
        assert _figure(findings, name).value == 0.0
    assert _figure(findings, "pose_change").value == pytest.approx(0.0, abs=1e-5)
    for name in ("found_again", "replaced"):
        assert _figure(findings, name).value == 1.0
    for estimator in ("gate", "emotion"):
        assert _figure(findings, "same_expression", estimator=estimator).value == 1.0
        assert _figure(findings, "expression_agreement", estimator=estimator).value == 1.0


def test_a_known_shift_of_landmarks_is_that_error() -> None:
    made = MadeMeasurements()
    for number, shift_px in enumerate((1.0, 3.0)):
        file = made.stranger(f"{number}.jpg")
        made.face(file)
        made.face(file, "g2face", landmarks=EYES + np.float32([0.0, shift_px]))
    findings = utility.compute(made.view)
    figure = _figure(findings, "landmark_nme")
    assert figure.value == pytest.approx(0.02)  # of 100 px between the eyes
    assert figure.count == 2
    assert figure.low == pytest.approx(0.01)
    assert figure.high == pytest.approx(0.03)
    (ranking,) = findings.rankings
    assert [face.file for face in ranking.faces] == ["1.jpg", "0.jpg"]
    assert ranking.faces[0].values["landmark_nme"] == pytest.approx(0.03)


def test_landmarks_that_cannot_be_trusted_are_not_compared() -> None:
    made = MadeMeasurements()
    for number, (before, after) in enumerate(((0.01, 0.01), (0.2, 0.01), (0.01, 0.2))):
        file = made.stranger(f"{number}.jpg")
        made.face(file, landmark_spread=before)
        made.face(file, "g2face", landmark_spread=after)
    findings = utility.compute(made.view)
    assert _figure(findings, "landmark_nme").count == 1
    lost = _figure(findings, "landmarks_lost")
    assert (lost.value, lost.count) == (0.5, 2)
    (note,) = findings.notes
    assert (note.code, note.values["faces"]) == ("landmarks_unsure", 1)
    (ranking,) = findings.rankings
    assert ranking.faces[0].file == "2.jpg"  # lost is worst
    assert ranking.faces[0].values["landmark_nme"] is None


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turning_the_head_is_that_change_of_pose(axis: int) -> None:
    made = MadeMeasurements()
    file = made.stranger("x.jpg")
    turned = [20.0, 0.0, 0.0]
    turned[axis] += 7.0
    made.face(file, pose=(20.0, 0.0, 0.0))
    made.face(file, "g2face", pose=tuple(turned))
    findings = utility.compute(made.view)
    names = ("yaw_change", "pitch_change", "roll_change")
    assert [_figure(findings, name).value for name in names] == pytest.approx([7.0 * (own == axis) for own in range(3)])
    assert _figure(findings, "pose_change").value == pytest.approx(7.0, abs=1e-4)


def test_angles_are_compared_the_short_way_round() -> None:
    made = MadeMeasurements()
    file = made.stranger("x.jpg")
    made.face(file, pose=(0.0, 0.0, 179.0))
    made.face(file, "g2face", pose=(0.0, 0.0, -179.0))
    assert _figure(utility.compute(made.view), "roll_change").value == pytest.approx(2.0)


def test_who_smiles_afterwards_is_in_the_confusion() -> None:
    made = MadeMeasurements()
    for number in range(4):
        file = made.stranger(f"{number}.jpg")
        made.face(file)
        after = HAPPY if number == 0 else NEUTRAL
        made.face(file, "g2face", expressions={"gate": NEUTRAL, "emotion": after})
    findings = utility.compute(made.view)
    assert _figure(findings, "same_expression", estimator="gate").value == 1.0
    assert _figure(findings, "same_expression", estimator="emotion").value == 0.75
    assert _figure(findings, "expression_agreement", estimator="emotion").value == 0.75
    confused = _figure(findings, "confusion", estimator="emotion", before="neutral", after="happy")
    assert (confused.value, confused.count) == (0.25, 4)


def test_lost_covered_and_missed_faces_are_counted() -> None:
    made = MadeMeasurements()
    outcomes = ("anonymized", "anonymized", "covered", "missed")
    for number, outcome in enumerate(outcomes):
        file = made.stranger(f"{number}.jpg")
        made.face(file)
        moved = EYES + np.float32([0.0, 0.0 if outcome == "anonymized" else 20.0])
        made.face(file, "g2face", outcome=outcome, detected=outcome != "covered", landmarks=moved)
    findings = utility.compute(made.view)
    values = {name: _figure(findings, name).value for name in ("found_again", "replaced", "covered", "left_alone")}
    assert values == {"found_again": 0.75, "replaced": 0.5, "covered": 0.25, "left_alone": 0.25}
    assert _figure(findings, "landmark_nme", faces="all").value == pytest.approx(0.1)
    assert _figure(findings, "landmark_nme", faces="replaced").value == 0.0


def test_a_photograph_without_a_face_is_said() -> None:
    made = MadeMeasurements()
    made.photo(made.stranger("landscape.jpg"), "g2face", faces=0)
    findings = utility.compute(made.view)
    assert [note.code for note in findings.notes] == ["no_faces"]
    assert not findings.figures
