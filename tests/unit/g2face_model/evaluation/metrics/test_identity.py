"""People whose recognition is known: perfect, none, swapped."""

from __future__ import annotations

import numpy as np
import pytest
from made_measurements import MadeMeasurements

from g2face_model.evaluation.findings import Figure, Findings
from g2face_model.evaluation.measurements import MethodFacts
from g2face_model.evaluation.metrics import identity
from g2face_model.evaluation.trials import SECOND_KEY

_PEOPLE = 40


def _axis(person: int) -> np.ndarray:
    return np.eye(2 * _PEOPLE)[person]


def _made(**options: dict[str, MethodFacts]) -> tuple[MadeMeasurements, list[str]]:
    """People whose photographs are all alike and unlike anybody else's."""
    made = MadeMeasurements(**options)
    return made, [made.person(f"p{person}", _axis(person), _axis(person)) for person in range(_PEOPLE)]


def _figure(findings: Findings, name: str, **by: str) -> Figure:
    (found,) = (own for own in findings.figures if own.name == name and by.items() <= dict(own.by).items())
    return found


def _codes(findings: Findings) -> list[str]:
    return [note.code for note in findings.notes]


def test_untouched_photographs_are_recognised_for_certain() -> None:
    made, files = _made()
    for person, file in enumerate(files):
        made.face(file, "blur", embedding=_axis(person))
    findings = identity.compute(made.view)
    for by in ({"method": "none", "probes": "before"}, {"method": "blur", "probes": "after", "role": "no part"}):
        for name in ("tar_far_0.1", "tar_far_1", "rank_one"):
            figure = _figure(findings, name, **by)
            assert figure.value == 1.0
            assert figure.count == _PEOPLE
            assert figure.low > 0.9
        assert _figure(findings, "other_similarity", **by).value == pytest.approx(1.0)
    assert _figure(findings, "own_match", method="blur").value == 1.0
    assert _figure(findings, "own_similarity", method="blur").value == pytest.approx(1.0)


def test_new_faces_of_nobody_in_the_gallery_are_not_recognised() -> None:
    made, files = _made()
    for person, file in enumerate(files):
        away = _axis(_PEOPLE + person) - 0.1 * _axis(person)
        made.face(file, "g2face", embedding=away)
    findings = identity.compute(made.view)
    after = {"method": "g2face", "probes": "after", "role": "gate"}
    assert _figure(findings, "tar_far_0.1", **after).value == 0.0
    assert 0.05 < _figure(findings, "tar_far_0.1", **after).high < 0.12
    assert _figure(findings, "rank_one", **after).value == 0.0
    assert _figure(findings, "own_match", **after).value == 0.0


def test_swapped_identities_are_found_as_somebody_else() -> None:
    made, files = _made()
    for person, file in enumerate(files):
        made.face(file, "blur", embedding=_axis((person + 1) % _PEOPLE))
    findings = identity.compute(made.view)
    assert _figure(findings, "rank_one", method="blur", probes="after").value == 0.0
    assert _figure(findings, "tar_far_1", method="blur", probes="after").value == 0.0


def test_thresholds_come_from_the_sets_own_impostors() -> None:
    made = MadeMeasurements()
    random = np.random.default_rng(0)
    for person in range(_PEOPLE):
        made.person(f"p{person}", random.standard_normal(16), random.standard_normal(16))
    findings = identity.compute(made.view)
    strict, loose = (_figure(findings, name) for name in ("threshold_0.1", "threshold_1"))
    assert strict.count == _PEOPLE * (_PEOPLE - 1) * 2  # every two photographs of different people
    assert loose.value < strict.value < 1
    assert strict.low <= strict.value <= strict.high
    # photographs of one person that have nothing in common are accepted as seldom as strangers
    assert _figure(findings, "tar_far_1", method="none").value <= 0.1
    assert not any(own.name.startswith("threshold") for own in identity.compute(made.view.under("dark")).figures)


def test_covered_faces_are_told_apart_from_replaced_ones() -> None:
    made, files = _made()
    for person, file in enumerate(files):
        covered = person % 2 == 0
        vector = _axis(person) if covered else _axis(_PEOPLE + person) - 0.1 * _axis(person)
        made.face(file, "g2face", embedding=vector, outcome="covered" if covered else "anonymized")
    findings = identity.compute(made.view)
    assert _figure(findings, "rank_one", method="g2face", probes="after").value == 0.5
    released = _figure(findings, "rank_one", method="g2face", probes="released")
    assert (released.value, released.count) == (0.0, _PEOPLE // 2)


def test_two_new_faces_of_one_person_are_linked_only_when_alike() -> None:
    for alike in (True, False):
        made, files = _made()
        for person, file in enumerate(files):
            made.face(file, "g2face", embedding=_axis(_PEOPLE + person))
            other = _PEOPLE + (person if alike else (person + 1) % _PEOPLE)
            made.face(file.replace("-1", "-2"), "g2face", key=SECOND_KEY, embedding=_axis(other))
        findings = identity.compute(made.view)
        assert _figure(findings, "link_rank_one").value == float(alike)
        assert _figure(findings, "link_tar_1").value == float(alike)


def test_groups_are_searched_for_in_the_whole_gallery() -> None:
    made, files = _made()
    for person, file in enumerate(files):
        made.face(file, "blur", embedding=_axis(person if person < 10 else (person + 1) % _PEOPLE))
    groups = {"found": files[:10], "lost": files[10:]}
    values = {}
    for name, own in groups.items():
        figure = _figure(identity.compute(made.view.among(own)), "rank_one", method="blur")
        values[name] = figure.value, figure.count
    assert values == {"found": (1.0, 10), "lost": (0.0, 30)}


def test_a_judge_that_was_left_out_judges_that_engine_alone() -> None:
    methods = {
        "g2face": MethodFacts(gate=("judge",)),
        "g2face without judge": MethodFacts(gate=(), left_out=True),
        "g2face without other": MethodFacts(gate=("judge",), left_out=True),
    }
    made, files = _made(methods=methods)
    for person, file in enumerate(files):
        for method in methods:
            made.face(file, method, embedding=_axis(person))
    findings = identity.compute(made.view)
    assert {own.by["method"] for own in findings.figures if "method" in own.by} == {
        "none",
        "g2face",
        "g2face without judge",
    }
    assert _figure(findings, "rank_one", method="g2face without judge").by["role"] == "no part"
    assert "no_independent_judge" not in _codes(findings)
    (told,) = (note.values for note in findings.notes if note.code == "searched_people")
    assert told["alone"] == told["people"] == _figure(findings, "rank_one", method="g2face without judge").count


def test_one_person_is_too_few_to_search() -> None:
    made = MadeMeasurements()
    file = made.person("alone", _axis(0), _axis(0))
    made.face(file, "g2face", embedding=_axis(1))
    findings = identity.compute(made.view)
    assert not [own for own in findings.figures if own.name.startswith("tar")]
    assert {"few_people", "no_independent_judge"} <= set(_codes(findings))


def test_without_names_only_the_own_photograph_can_be_compared() -> None:
    made = MadeMeasurements()
    file = made.stranger("x.jpg")
    made.face(file, embedding=_axis(0))
    made.face(file, "g2face", embedding=_axis(1))
    findings = identity.compute(made.view)
    assert {own.name for own in findings.figures} == {"own_match", "own_similarity"}
    assert "nobody_to_search" in _codes(findings)


def test_nothing_at_all_is_said() -> None:
    findings = identity.compute(MadeMeasurements().view)
    assert not findings.figures
    assert "nobody_to_search" in _codes(findings)
