from __future__ import annotations

import math

import numpy as np
import pytest

from g2face_model.evaluation import findings
from g2face_model.evaluation.findings import Figure, Findings, Unit
from g2face_model.evaluation.identification import Share


def test_a_share_has_wilsons_interval_and_what_it_is_of() -> None:
    figure = findings.share("found", Share(0, 50), by={"method": "a"}, headline=True)
    assert (figure.value, figure.count, figure.unit, figure.headline) == (0.0, 50, Unit.SHARE, True)
    assert figure.low == 0.0
    assert figure.high == pytest.approx(0.0714, abs=1e-3)
    assert math.isnan(findings.share("found", Share(0, 0), by={}).value)


def test_the_interval_of_a_mean_holds_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        figure = findings.mean("x", random.normal(5.0, 1.0, size=40), Unit.NUMBER, by={})
        held += figure.low <= 5.0 <= figure.high
    assert 175 <= held <= 199


def test_the_interval_is_the_same_in_every_run() -> None:
    values = [1.0, 2.0, 4.0]
    assert findings.bootstrap(values) == findings.bootstrap(values)


def test_what_is_no_number_is_left_out_of_a_mean() -> None:
    figure = findings.mean("x", [1.0, math.nan, 3.0, math.inf], Unit.NUMBER, by={})
    assert (figure.value, figure.count) == (2.0, 2)
    alone = findings.mean("x", [1.0], Unit.NUMBER, by={})
    assert alone.value == 1.0
    assert math.isnan(alone.low)
    assert math.isnan(findings.mean("x", [], Unit.NUMBER, by={}).value)


def test_quantiles_and_plain_numbers() -> None:
    assert findings.quantile("x", range(101), Unit.NUMBER, q=0.95, by={}).value == 95
    assert math.isnan(findings.quantile("x", [], Unit.NUMBER, q=0.95, by={}).value)
    assert findings.number("x", 3.0, Unit.COUNT, by={}, count=9).count == 9


def test_figures_are_found_by_name_and_what_they_are_of() -> None:
    figures = tuple(Figure("a", value, Unit.NUMBER, 1, {"method": name}) for value, name in ((1.0, "x"), (2.0, "y")))
    own = [Findings("one", figures), Findings("two", (Figure("a", 3.0, Unit.NUMBER, 1),))]
    assert [figure.value for figure in findings.figures_called("a", own)] == [1.0, 2.0, 3.0]
    assert [figure.value for figure in findings.figures_called("a", own, method="y")] == [2.0]
