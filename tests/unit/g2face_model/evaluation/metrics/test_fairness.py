"""Groups that differ by a known amount, and groups that do not differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_measurements import MadeMeasurements

from g2face_model.evaluation.findings import Figure, Findings, Unit
from g2face_model.evaluation.metrics import fairness

_LIGHT, _DARK = (75.0, 10.0, 12.0), (30.0, 10.0, 12.0)


def _made(*, missed_of: str = "", people: int = 80, **more: str) -> MadeMeasurements:
    """Half of the people are "a" with light skin, half "b" with dark; every second face of a group may be missed."""
    made = MadeMeasurements()
    for person in range(people):
        group = "ab"[person % 2]
        file = made.stranger(f"{person}.jpg", group=group, age=str(20 + person // 2), **more)
        made.face(file, skin=_LIGHT if group == "a" else _DARK)
        made.face(file, "g2face", detected=not (group == missed_of and person % 4 < 2))
    return made


def _figure(findings: Findings, name: str, **by: str) -> Figure:
    (found,) = (own for own in findings.figures if own.name == name and by.items() <= dict(own.by).items())
    return found


def test_a_gap_between_groups_is_found_at_its_size() -> None:
    findings = fairness.compute(_made(missed_of="b").view)
    for attribute, groups in {"group": ("a", "b"), "skin_tone": ("very light", "dark")}.items():
        values = [_figure(findings, "found_again", attribute=attribute, group=own).value for own in groups]
        assert values == [1.0, 0.5]
        found = _figure(findings, "found_again_gap", attribute=attribute)
        assert found.value == 0.5
        assert 0.3 < found.low < 0.5 < found.high < 0.7
        assert _figure(findings, "gaps_clear", attribute=attribute).value == 1
        assert _figure(findings, "gaps_compared", attribute=attribute).value > 3
    age = _figure(findings, "found_again_gap", attribute="age")
    assert age.low < 0 < age.high
    assert age.by["group"] == "< 39.5"


def test_a_clear_gap_of_the_engine_is_warned_of() -> None:
    notes = [note for note in fairness.compute(_made(missed_of="b").view).notes if note.code.startswith("gap")]
    told = {(note.code, note.values["group"], note.values["figure"]) for note in notes}
    assert told == {("gap_upwards", own, "found_again") for own in ("a", "very light")}
    assert not [note for note in fairness.compute(_made().view).notes if note.code.startswith("gap")]


def test_a_few_words_among_numbers_are_no_group() -> None:
    made = _made(people=40)
    made.face(made.stranger("x.jpg", age="NA"))
    assert list(fairness.told_groups(made.view, "age")) == ["< 29.5", ">= 29.5"]


def test_groups_that_are_alike_have_no_gap() -> None:
    findings = fairness.compute(_made().view)
    found = _figure(findings, "found_again_gap", attribute="group")
    assert found.value == 0.0
    assert found.low < 0 < found.high
    assert _figure(findings, "gaps_clear", attribute="group").value == 0


def test_the_interval_of_two_shares_is_newcombes() -> None:
    own = Figure("x", 56 / 70, Unit.SHARE, 70, low=0.6918, high=0.8769)
    other = Figure("x", 48 / 80, Unit.SHARE, 80, low=0.4905, high=0.7004)
    found = fairness.gap("x_gap", own, other, by={})
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=2e-4)


def test_an_unknown_interval_stays_unknown() -> None:
    found = fairness.gap("x_gap", Figure("x", 1.0, Unit.NUMBER, 1), Figure("x", 2.0, Unit.NUMBER, 1), by={})
    assert found.value == -1.0
    assert math.isnan(found.low)


def test_small_groups_and_single_ones_are_warned_of() -> None:
    notes = fairness.compute(_made(people=20, place="here").view).notes
    small = {note.values["attribute"]: note.values["groups"] for note in notes if note.code == "small_groups"}
    assert small == {"group": 2, "age": 2, "skin_tone": 2}
    assert [note.values["attribute"] for note in notes if note.code == "one_group"] == ["place"]


def test_names_are_no_groups() -> None:
    made = MadeMeasurements()
    for person in range(20):
        file = made.stranger(f"{person}.jpg", name=f"somebody {person}")
        made.face(file)
    codes = [note.code for note in fairness.compute(made.view).notes]
    assert "too_many_groups" in codes


@pytest.mark.parametrize(
    ("angle", "name"),
    [(60, "very light"), (50, "light"), (30, "intermediate"), (20, "tan"), (0, "brown"), (-40, "dark")],
)
def test_skin_is_classed_by_its_angle(angle: float, name: str) -> None:
    assert fairness.skin_class(angle) == name


def test_without_attributes_skin_is_all_that_is_told() -> None:
    made = MadeMeasurements()
    for number in range(6):
        file = made.stranger(f"{number}.jpg")
        made.face(file, skin=(_LIGHT, _DARK)[number % 2])
        made.face(file, "blur")
    findings = fairness.compute(made.view)
    assert {own.by["attribute"] for own in findings.figures} == {"skin_tone"}
    assert "no_attributes" in [note.code for note in findings.notes]
    assert np.isfinite([own.value for own in findings.figures if own.name == "found_again"]).all()
