from __future__ import annotations

import pytest
from made_measurements import MadeMeasurements

from g2face_model.evaluation.findings import Figure, Findings
from g2face_model.evaluation.measurements import MethodFacts, RunFacts
from g2face_model.evaluation.metrics import cost


def _figure(findings: Findings, name: str, **by: str) -> Figure:
    (found,) = (own for own in findings.figures if own.name == name and by.items() <= dict(own.by).items())
    return found


def _made(price: float | None) -> MadeMeasurements:
    facts = RunFacts(jobs=2, threads=1, price_per_hour=price)
    made = MadeMeasurements({"g2face": MethodFacts(), "without": MethodFacts(left_out=True)}, facts)
    for number, seconds in enumerate((1.0, 3.0)):
        file = made.stranger(f"{number}.jpg")
        stages = {"detect": 0.25, "render": 0.5}
        for method in made.methods:
            made.photo(file, method, seconds=seconds, found=2, stages=stages, peak_megabytes=900.0)
    return made


def test_seconds_memory_and_price_of_a_machine_with_two_processes() -> None:
    findings = cost.compute(_made(price=0.9).view)
    assert _figure(findings, "seconds_per_photo").value == 2.0
    assert _figure(findings, "seconds_per_face").value == 1.0
    assert _figure(findings, "photos_per_hour").value == 3600
    assert _figure(findings, "peak_megabytes").value == 900
    price = _figure(findings, "price_per_1000")
    assert price.value == pytest.approx(0.25)  # 1,000 photographs take 1,000 s of the machine
    assert price.low == pytest.approx(0.125)
    stages = {own.by["stage"]: own.value for own in findings.figures if own.name == "stage_seconds"}
    assert stages == {"detect": 0.25, "render": 0.5, "rest": 1.25}


def test_no_price_no_cost() -> None:
    findings = cost.compute(_made(price=None).view)
    assert not [own for own in findings.figures if own.name == "price_per_1000"]
    assert [note.code for note in findings.notes] == ["timed_beside", "no_price"]


def test_engines_that_serve_a_judge_are_not_offered() -> None:
    assert {own.by["method"] for own in cost.compute(_made(None).view).figures} == {"g2face"}


def test_nothing_measured_costs_nothing() -> None:
    assert not cost.compute(MadeMeasurements().view).figures


def test_other_work_on_the_machine_is_told() -> None:
    for load, told in ((2.1, False), (7.0, True)):
        facts = RunFacts(jobs=2, load=load, cores=2)
        codes = [note.code for note in cost.compute(MadeMeasurements(facts=facts).view).notes]
        assert ("busy_machine" in codes) == told
