from __future__ import annotations

from collections.abc import Mapping

import pytest

from g2face_model.evaluation.findings import Figure, Findings, Unit
from g2face_model.evaluation.report.summary import Verdict, answers, headlines


def _figure(name: str, value: float, count: int = 50, unit: Unit = Unit.SHARE, **by: str) -> Figure:
    return Figure(name, value, unit, count, {"method": "g2face", **by}, value, value)


def _identity(*, found: float, accepted: float, count: int = 50, method: str = "g2face without dlib") -> list[Figure]:
    by = {"method": method, "recogniser": "dlib", "role": "no part", "probes": "after"}
    before = {"method": "none", "recogniser": "dlib", "role": "no part", "probes": "before"}
    return [
        Figure("rank_one", 1.0, Unit.SHARE, 50, before),
        Figure("rank_one", found, Unit.SHARE, count, by),
        Figure("tar_far_0.1", accepted, Unit.SHARE, count, by),
    ]


def _verdicts(*figures: Figure) -> Mapping[str, Verdict]:
    return {own.question: own.verdict for own in answers([Findings("m", figures)])}


@pytest.mark.parametrize(
    ("found", "accepted", "left_alone", "verdict"),
    [
        (0.02, 0.0, 0.0, Verdict.GOOD),
        (0.25, 0.0, 0.0, Verdict.MIXED),
        (0.02, 0.1, 0.0, Verdict.MIXED),
        (0.02, 0.0, 0.02, Verdict.MIXED),
        (0.02, 0.5, 0.0, Verdict.BAD),
        (0.80, 0.0, 0.0, Verdict.BAD),
    ],
)
def test_nobody_is_recognised_when_no_judge_finds_more_than_luck(
    found: float, accepted: float, left_alone: float, verdict: Verdict
) -> None:
    figures = _identity(found=found, accepted=accepted)
    assert _verdicts(*figures, _figure("left_alone", left_alone))["recognised"] is verdict


def test_few_people_tell_nothing_and_none_even_less() -> None:
    assert _verdicts(*_identity(found=0.0, accepted=0.0, count=4))["recognised"] is Verdict.UNSURE
    assert set(_verdicts().values()) == {Verdict.UNMEASURED}


def test_a_judge_that_took_no_part_is_asked_first() -> None:
    gate = Figure("rank_one", 0.0, Unit.SHARE, 50, {"method": "g2face", "role": "gate", "probes": "after"})
    (answer, *_) = answers([Findings("m", (gate, *_identity(found=0.9, accepted=0.9)))])
    assert answer.verdict is Verdict.BAD
    (row, *_) = headlines([Findings("m", (gate, *_identity(found=0.9, accepted=0.9)))], ["g2face"])
    assert row.cells["g2face"].value == 0.9


@pytest.mark.parametrize(
    ("found", "same", "moved", "count", "verdict"),
    [
        (1.0, 0.95, 0.02, 50, Verdict.GOOD),
        (1.0, 0.95, 0.02, 5, Verdict.UNSURE),
        (0.9, 0.95, 0.02, 50, Verdict.MIXED),
        (1.0, 0.95, 0.09, 50, Verdict.MIXED),
        (0.1, 0.95, 0.02, 50, Verdict.BAD),
        (1.0, 0.2, 0.02, 50, Verdict.BAD),
    ],
)
def test_analysis_works_when_all_three_hold(
    found: float, same: float, moved: float, count: int, verdict: Verdict
) -> None:
    figures = (
        _figure("found_again", found, count),
        _figure("same_expression", same, count, faces="all", estimator="emotion"),
        _figure("same_expression", 0.0, count, faces="all", estimator="gate"),
        _figure("landmark_nme", moved, count, Unit.NME, faces="all"),
    )
    assert _verdicts(*figures)["works"] is verdict


def test_one_photograph_that_does_not_come_back_is_a_no() -> None:
    names = ("bit_exact", "wrong_key_refused", "wrong_image_refused", "tampering_refused")
    every = [_figure(name, 1.0, format="png") for name in names]
    assert _verdicts(*every)["recovery"] is Verdict.GOOD
    for place, name in enumerate(names):
        worse = [*every[:place], _figure(name, 0.98, format="png"), *every[place + 1 :]]
        assert _verdicts(*worse)["recovery"] is Verdict.BAD


def test_figures_of_groups_and_conditions_do_not_reach_the_first_page() -> None:
    figures = (
        _figure("found_again", 1.0),
        _figure("found_again", 0.1, condition="dark"),
        _figure("found_again", 0.2, attribute="a", group="b"),
    )
    (row,) = headlines([Findings("m", figures)], ["g2face"])
    assert row.cells["g2face"].value == 1.0
