"""Conditions that harm by a known amount."""

from __future__ import annotations

import numpy as np
import pytest
from made_measurements import EYES, MadeMeasurements

from g2face_model.evaluation.metrics import robustness

_PEOPLE = 12


def _made() -> MadeMeasurements:
    """Under "dark" nobody is found again and landmarks lie 2 px aside; "grey" changes nothing. Of twelve, ten are
    tried."""
    made = MadeMeasurements()
    for person in range(_PEOPLE):
        axis = np.eye(2 * _PEOPLE)[person]
        file = made.person(f"p{person}", axis, axis)
        made.face(file, "blur", embedding=axis, detected=person < 10)
        for condition in ("grey", "dark") if person < 10 else ():
            dark = condition == "dark"
            made.face(file, condition=condition, embedding=axis)
            made.face(
                file,
                "blur",
                condition=condition,
                embedding=np.eye(2 * _PEOPLE)[_PEOPLE + person] - axis if dark else axis,
                detected=not dark,
                landmarks=EYES + np.array([2, 0], np.float32) if dark else EYES,
            )
    return made


@pytest.mark.parametrize(("condition", "again", "nme"), [("as-is", 1.0, 0), ("grey", 1.0, 0), ("dark", 0.0, 0.02)])
def test_each_condition_has_its_own_figures(condition: str, again: float, nme: float) -> None:
    findings = robustness.compute(_made().view)
    figures = {
        own.name: own
        for own in findings.figures
        if (own.by["method"], own.by["condition"]) == ("blur", condition)
        and own.by.get("estimator") in (None, "emotion")
    }
    assert (figures["found_again"].value, figures["found_again"].count) == (again, 10)
    assert figures["landmark_nme"].value == pytest.approx(nme)
    assert figures["rank_one"].value == again
    assert not any(own.headline for own in findings.figures)


def test_tables_follow_the_conditions_from_easy_to_hard() -> None:
    findings = robustness.compute(_made().view)
    assert list(dict.fromkeys(own.by["condition"] for own in findings.figures)) == ["as-is", "dark", "grey"]
    assert all(layout.rows[0] == "condition" for layout in findings.layouts)
    told = {name for layout in findings.layouts for name in layout.columns}
    assert {own.name for own in findings.figures} <= told
    assert {note.code for note in findings.notes} == {"conditions_sampled", "few_photographs"}


def test_without_conditions_it_says_so() -> None:
    made = MadeMeasurements()
    made.face(made.stranger("x.jpg"))
    findings = robustness.compute(made.view)
    assert not findings.figures
    assert [note.code for note in findings.notes] == ["no_conditions"]


def test_a_method_that_was_tried_under_no_condition_is_left_out() -> None:
    made = _made()
    made.face("p0-1.jpg", "g2face", embedding=np.eye(2 * _PEOPLE)[_PEOPLE])
    assert {own.by["method"] for own in robustness.compute(made.view).figures} == {"none", "blur"}
