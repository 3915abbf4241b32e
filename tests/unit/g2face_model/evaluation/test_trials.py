from __future__ import annotations

from dataclasses import dataclass

from g2face_model.evaluation.trials import AS_IS, EVERYTHING, NONE, SECOND_KEY, Need, Samples, Trial, plan


@dataclass(frozen=True)
class _Method:
    keyed: bool


_METHODS = {"g2face": _Method(True), "blur": _Method(False)}
_PROBES, _GALLERY = ["a1", "b1", "c1"], ["a2", "b2"]


def _by(trials: list[Trial], **wanted: str) -> list[str]:
    return [own.photograph for own in trials if all(getattr(own, name) == value for name, value in wanted.items())]


def test_every_photograph_is_seen_and_every_probe_is_treated() -> None:
    trials = plan(_PROBES, _GALLERY, _METHODS)
    assert _by(trials, method=NONE) == [*_PROBES, *_GALLERY]
    assert _by(trials, method="g2face") == _by(trials, method="blur") == _PROBES
    assert len(trials) == 5 + 2 * 3


def test_another_key_is_tried_on_the_other_photographs_by_methods_that_have_keys() -> None:
    trials = plan(_PROBES, _GALLERY, _METHODS, needs=frozenset({Need.SECOND_KEY}))
    second = [own for own in trials if own.key == SECOND_KEY]
    assert second == [Trial(photograph, "g2face", key=SECOND_KEY) for photograph in _GALLERY]
    assert (
        len(plan(_PROBES, _GALLERY, _METHODS, needs=frozenset({Need.SECOND_KEY}), samples=Samples(second_key=1))) == 12
    )


def test_conditions_are_tried_on_a_sample_with_what_they_are_compared_to() -> None:
    options = {"conditions": (AS_IS, "dark"), "needs": frozenset({Need.CONDITIONS}), "samples": Samples(condition=2)}
    trials = plan(_PROBES, _GALLERY, _METHODS, **options)  # type: ignore[arg-type]
    assert _by(trials, condition="dark", method=NONE) == _by(trials, condition="dark", method="g2face") == ["a1", "b1"]
    assert _by(plan(_PROBES, _GALLERY, _METHODS, conditions=("dark",)), condition="dark") == []
    paired = plan(_PROBES, _GALLERY, _METHODS, paired=["b1"], **options)  # type: ignore[arg-type]
    assert _by(paired, condition="dark", method=NONE) == ["b1", "a1"]


def test_baselines_are_compared_under_conditions_only_by_a_thorough_run() -> None:
    needs = frozenset({Need.CONDITIONS})
    for samples, tried in ((Samples(), []), (EVERYTHING, _PROBES)):
        trials = plan(_PROBES, _GALLERY, _METHODS, conditions=("dark",), needs=needs, samples=samples)
        assert _by(trials, condition="dark", method="blur") == tried


def test_a_hundred_portraits_take_a_quarter_of_an_hour_on_two_cores() -> None:
    """By the seconds of a core that `Samples` tells, with an eighth to spare for what is not a trial."""
    seconds = {NONE: 0.3, "g2face": 3.7, "blur": 1.2}
    people = [f"p{number}" for number in range(70)]
    paired = people[:30]
    conditions = [AS_IS, *(f"c{number}" for number in range(17))]
    trials = plan(
        people,
        [f"{name}-again" for name in paired],
        _METHODS,
        left_out=["without a", "without b", "without c"],
        paired=paired,
        conditions=conditions,
        needs=frozenset(Need),
    )
    assert 1000 < sum(seconds.get(own.method, seconds["g2face"]) for own in trials) <= 7 / 8 * 2 * 15 * 60


def test_judges_are_left_out_on_people_who_can_be_searched() -> None:
    trials = plan(_PROBES, _GALLERY, _METHODS, paired=["a1", "b1"], left_out=["x"], needs=frozenset({Need.LEFT_OUT}))
    assert _by(trials, method="x") == ["a1", "b1"]
    needs, samples = frozenset({Need.LEFT_OUT}), Samples(left_out=1)
    few = plan(_PROBES, _GALLERY, _METHODS, paired=["a1", "b1"], left_out=["x"], needs=needs, samples=samples)
    assert _by(few, method="x") == ["a1"]
    assert _by(plan(_PROBES, _GALLERY, _METHODS, paired=["a1"], left_out=["x"]), method="x") == []


def test_trials_of_one_photograph_and_condition_stand_together() -> None:
    needs = frozenset(Need)
    trials = plan(_PROBES, _GALLERY, _METHODS, paired=["a1"], left_out=["x"], conditions=("dark",), needs=needs)
    batches = [(own.photograph, own.condition) for own in trials]
    assert len(dict.fromkeys(batches)) == sum(a != b for a, b in zip(batches, [None, *batches], strict=False))
    assert len(set(trials)) == len(trials)


def test_identifiers_are_safe_names_of_their_own() -> None:
    trials = [Trial("a/b", "c"), Trial("a", "b/c"), Trial("a/b", "c", "dark"), Trial("a/b", "c", key=SECOND_KEY)]
    identifiers = {own.identifier for own in trials}
    assert len(identifiers) == 4
    assert all(len(own) == 24 and own.isalnum() for own in identifiers)
    assert Trial("\udcff.jpg", "c").identifier  # a file name that is no text
