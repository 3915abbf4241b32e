from __future__ import annotations

import pytest
from made_measurements import MadeMeasurements

from g2face_model.evaluation import scorecard
from g2face_model.evaluation.scorecard import METRICS
from g2face_model.evaluation.trials import Need


def test_needs_are_those_of_the_named_metrics() -> None:
    assert scorecard.needs(["cost"]) == frozenset()
    assert Need.LEFT_OUT in scorecard.needs(["cost", "identity"])


def test_metrics_come_in_the_registrys_order() -> None:
    made = MadeMeasurements()
    found = scorecard.compute(made.view, ["cost", "identity"])
    assert [own.metric for own in found] == ["identity", "cost"]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_so_when_there_is_nothing(name: str) -> None:
    findings = METRICS[name].compute(MadeMeasurements().view)
    assert findings.metric == name
    assert findings.notes


@pytest.mark.parametrize("name", METRICS)
def test_every_figure_has_its_place_in_a_table(name: str) -> None:
    made = MadeMeasurements()
    for number in range(3):
        file = made.person(f"p{number}", [number, 1.0], [number, 1.1])
        for method in ("g2face", "blur"):
            made.face(file, method, embedding=[1.0, number])
    findings = METRICS[name].compute(made.view)
    for figure in findings.figures:
        assert any(
            figure.name in layout.columns and set(layout.rows) <= figure.by.keys() for layout in findings.layouts
        ), figure
