"""Faces that leak who they were, and faces that do not."""

from __future__ import annotations

import numpy as np
import pytest
from made_measurements import MadeMeasurements

from g2face_model.evaluation.findings import Figure, Findings
from g2face_model.evaluation.metrics import attack
from g2face_model.evaluation.trials import SECOND_KEY

_PEOPLE, _SIZE = 60, 12


def _unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = random.standard_normal(shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _made(*, leak: bool, linked: bool = False, marked: bool = False, turned_before: bool = False) -> MadeMeasurements:
    """`leak`: an anonymized face is the original's, turned in a way that is not told. `linked`: so is the one under
    the second key, of the face under the first. `marked`: faces under the second key have something in common, or
    (`turned_before`) the photographs that they were made from have."""
    made, random = MadeMeasurements(), np.random.default_rng(2)
    turn, other = (np.linalg.qr(random.standard_normal((_SIZE, _SIZE)))[0] for _ in range(2))
    mark = 1.5 * np.eye(_SIZE)[0]
    for person in range(_PEOPLE):
        own = _unit(random, _SIZE)
        file = made.person(f"p{person}", own, own + turned_before * mark + 0.02 * random.standard_normal(_SIZE))
        first = own @ turn if leak else _unit(random, _SIZE)
        second = first @ other if linked else _unit(random, _SIZE)
        made.face(file, "g2face", embedding=first)
        made.face(file.replace("-1", "-2"), "g2face", key=SECOND_KEY, embedding=second + marked * mark)
    return made


def _figure(findings: Findings, name: str, **by: str) -> Figure:
    (found,) = (own for own in findings.figures if own.name == name and by.items() <= dict(own.by).items())
    return found


def test_a_planted_leak_is_found_by_whoever_learns() -> None:
    findings = attack.compute(_made(leak=True, linked=True).view)
    assert _figure(findings, "attack_rank_one", attacker="direct").value < 0.2
    assert _figure(findings, "attack_rank_one", attacker="ridge").value > 0.8
    assert _figure(findings, "attack_rank_one", attacker="network").value > 0.4
    best = _figure(findings, "attack_best_rank_one")
    assert best.value == max(own.value for own in findings.figures if own.name == "attack_rank_one")
    assert best.headline
    assert best.low > 0.7


def test_a_leak_under_two_keys_is_learned_from_both() -> None:
    findings = attack.compute(_made(leak=True, linked=True).view)
    one, both = (_figure(findings, "attack_rank_one", attacker=f"ridge{of}") for of in ("", " of both keys"))
    assert both.value < one.value  # each key turns the faces otherwise, so what one teaches is wrong for the other
    assert both.count == one.count == _PEOPLE


def test_what_does_not_leak_is_not_found() -> None:
    findings = attack.compute(_made(leak=False).view)
    for own in findings.figures:
        if own.name in ("attack_rank_one", "linked_rank_one"):
            assert own.value < 0.12
    assert _figure(findings, "chance_rank_one", attacker="ridge").value == pytest.approx(1 / _PEOPLE)


def test_faces_of_two_keys_are_linked_by_whoever_learns_how() -> None:
    findings = attack.compute(_made(leak=False, linked=True).view)
    assert _figure(findings, "linked_rank_one", attacker="direct").value < 0.2
    assert _figure(findings, "linked_rank_one", attacker="ridge").value > 0.8


def test_a_key_that_marks_its_faces_is_told() -> None:
    marked = attack.compute(_made(leak=False, marked=True).view)
    assert _figure(marked, "key_told", faces="published").value > 0.9
    assert 0.3 < _figure(marked, "key_told", faces="as they were").value < 0.7
    unmarked = attack.compute(_made(leak=False).view)
    assert 0.3 < _figure(unmarked, "key_told", faces="published").value < 0.7


def test_what_the_photographs_themselves_tell_is_told_beside() -> None:
    findings = attack.compute(_made(leak=False, turned_before=True).view)
    assert _figure(findings, "key_told", faces="as they were").value > 0.9


def test_untouched_faces_are_found_without_learning() -> None:
    made, random = MadeMeasurements(), np.random.default_rng(2)
    for person in range(20):
        own = _unit(random, _SIZE)
        made.face(made.person(f"p{person}", own, own), "blur", embedding=own)
    findings = attack.compute(made.view)
    assert _figure(findings, "attack_rank_one", attacker="direct").value == 1.0
    assert not [own for own in findings.figures if own.name == "key_told"]
    assert "few_to_learn_from" in {note.code for note in findings.notes}


def test_few_people_cannot_be_attacked() -> None:
    made = MadeMeasurements()
    made.face(made.person("alone", [1.0, 0.0], [1.0, 0.0]), "g2face", embedding=[0.0, 1.0])
    findings = attack.compute(made.view)
    assert not findings.figures
    assert [note.code for note in findings.notes] == ["too_few_to_attack"]
