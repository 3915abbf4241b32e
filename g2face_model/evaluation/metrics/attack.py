"""Can somebody learn to undo it? Whoever has anonymized faces of some people beside their originals tries the others.

An attack learns from pairs of other people which original embedding belongs to an anonymized one, and then searches
everybody's other photograph for the face. "direct" has learned nothing, "ridge" is linear, "network" has a hidden
layer; "... of both keys" have learned from what is published under a second key, of other photographs, too.

Figures, by method, recogniser and attacker: `attack_rank_one`, the share of people found, and `chance_rank_one`, what
guessing finds. By method: `attack_best_rank_one`, that of the best attack: chosen among several, it flatters the
attacker. Of two keys: `linked_rank_one`, by method, recogniser and attacker: an attack learns which face under the
second key belongs to one under the first, and searches them for it, on another photograph; `chance_linked`. And
`key_told`, by method, recogniser and faces: the share of faces of which a classifier, which has learned from other
people, says rightly which of two keys they were made with ("published"). Both keys were tried on different photographs
of a person: what the classifier says of these photographs as they are ("as they were") is no matter of the key; the
larger of that and 0.5 is chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from g2face_model.evaluation.findings import Figure, Findings, Layout, Note, Unit, number, share
from g2face_model.evaluation.identification import Share, best_matches
from g2face_model.evaluation.learning import Learner, Vectors, kernel_ridge, network, predicted, ridge, told_apart
from g2face_model.evaluation.measurements import Array, Measurements, stacked
from g2face_model.evaluation.trials import FIRST_KEY, SECOND_KEY, Need

NAME = "attack"
NEEDS = frozenset({Need.SECOND_KEY})
UNLEARNED = "direct"
LEARNED: Mapping[str, Learner] = {"ridge": ridge, "network": network}
_FEWEST, _FEW = 10, 100
_ROWS = ("method", "recogniser", "attacker")
_LAYOUTS = (
    Layout("attacks", _ROWS, ("attack_rank_one", "chance_rank_one")),
    Layout("best_attack", ("method",), ("attack_best_rank_one",)),
    Layout("linked_by_attack", _ROWS, ("linked_rank_one", "chance_linked")),
    Layout("key", ("method", "recogniser"), ("key_told",), across="faces"),
)


@dataclass(frozen=True, slots=True)
class _Case:
    """A person's face, by its embeddings."""

    person: str
    published: Array
    original: Array


@dataclass(frozen=True, slots=True)
class _Known:
    """What an attacker has: cases (N, D) and what they are of (N, D) by name of the person, the first `searched` of
    them to be found again in the gallery (searched, D), which is in their order."""

    people: tuple[str, ...]
    published: Vectors
    originals: Vectors
    gallery: Vectors

    @property
    def searched(self) -> int:
        return len(self.gallery)


def compute(measurements: Measurements) -> Findings:
    figures: list[Figure] = []
    for method in measurements.compared:
        found = [own for name in measurements.judges for own in _searched(measurements, method, name)]
        tried = [own for own in found if own.name == "attack_rank_one"]
        figures += found
        if tried:
            best = max(tried, key=lambda own: own.value)
            counted = Share(round(best.value * best.count), best.count)
            figures.append(share("attack_best_rank_one", counted, by={"method": method}, headline=True))
        for recogniser in measurements.judges:
            figures += _keys(measurements, method, recogniser)
    return Findings(NAME, tuple(figures), _LAYOUTS, notes=tuple(_notes(measurements, figures)))


def _searched(measurements: Measurements, method: str, recogniser: str) -> Iterator[Figure]:
    known = _known(measurements, method, recogniser)
    if known.searched < _FEWEST:
        return
    by = {"method": method, "recogniser": recogniser}
    yield from _attacked(known, ("attack_rank_one", "chance_rank_one"), by, {UNLEARNED: None, **LEARNED})
    other = list(_second_key(measurements, method, recogniser))
    if other:
        both = {f"{attack} of both keys": learner for attack, learner in LEARNED.items()}
        yield from _attacked(_with(known, other), ("attack_rank_one", "chance_rank_one"), by, both)


def _attacked(
    known: _Known, names: tuple[str, str], by: Mapping[str, str], attacks: Mapping[str, Learner | None]
) -> Iterator[Figure]:
    """Searches for the first cases, by what is published of them or by what each attack makes of that."""
    for attack, learner in attacks.items():
        guess = predicted(learner, known.published, known.originals, known.people) if learner else known.published
        own = {**by, "attacker": attack}
        yield share(names[0], best_matches(guess[: known.searched] @ known.gallery.T), by=own)
        yield number(names[1], 1 / known.searched, Unit.SHARE, by=own, count=known.searched)


def _known(measurements: Measurements, method: str, recogniser: str) -> _Known:
    """People who are searched, and to learn from also those of whom there is no other photograph."""
    other = {own.person: own.file for own in measurements.collection.gallery}
    rows: list[_Case] = []
    gallery: list[Array] = []
    for own in measurements.paired:
        case = _case(measurements, own.person, own.file, method=method, recogniser=recogniser)
        wanted = measurements.embedding(other[own.person], recogniser)
        if case is not None and wanted is not None:
            rows.append(case)
            gallery.append(wanted)
    paired = {own.file for own in measurements.paired}
    alone = [own for own in measurements.probes if own.file not in paired]
    more = (
        _case(measurements, own.person or own.file, own.file, method=method, recogniser=recogniser) for own in alone
    )
    nobody = _Known((), stacked([]), stacked([]), stacked(gallery))
    return _with(nobody, [*rows, *(case for case in more if case is not None)])


def _with(known: _Known, cases: Sequence[_Case]) -> _Known:
    """More to learn from."""
    published, originals = stacked([case.published for case in cases]), stacked([case.original for case in cases])
    if known.people:
        published = np.concatenate([known.published, published])
        originals = np.concatenate([known.originals, originals])
    return _Known((*known.people, *(case.person for case in cases)), published, originals, known.gallery)


def _second_key(measurements: Measurements, method: str, recogniser: str) -> Iterator[_Case]:
    for own in measurements.collection.gallery:
        case = _case(measurements, own.person, own.file, method=method, recogniser=recogniser, key=SECOND_KEY)
        if case is not None:
            yield case


def _case(
    measurements: Measurements, person: str, file: str, *, method: str, recogniser: str, key: str = FIRST_KEY
) -> _Case | None:
    published = measurements.embedding(file, recogniser, method=method, key=key)
    original = measurements.embedding(file, recogniser)
    return None if published is None or original is None else _Case(person, published, original)


def _keys(measurements: Measurements, method: str, recogniser: str) -> Iterator[Figure]:
    if not measurements.methods[method].keyed:
        return
    first = {
        own.person: case
        for own in measurements.paired
        if (case := _case(measurements, own.person, own.file, method=method, recogniser=recogniser)) is not None
    }
    second = {case.person: case for case in _second_key(measurements, method, recogniser)}
    people = tuple(person for person in first if person in second)
    if len(people) < _FEWEST:
        return
    by = {"method": method, "recogniser": recogniser}
    published = [stacked([cases[person].published for person in people]) for cases in (first, second)]
    as_they_were = [stacked([cases[person].original for person in people]) for cases in (first, second)]
    known = _Known(people, published[0], published[1], published[1])
    yield from _attacked(known, ("linked_rank_one", "chance_linked"), by, {UNLEARNED: None, **LEARNED})
    for faces, (one, two) in (("published", published), ("as they were", as_they_were)):
        yield share("key_told", _key_told(one, two, people), by={**by, "faces": faces})


def _key_told(first: Vectors, second: Vectors, people: Sequence[str]) -> Share:
    """By the better of two classifiers."""
    return Share(max(told_apart(own, first, second, people) for own in (ridge, kernel_ridge)), 2 * len(people))


def _notes(measurements: Measurements, figures: Sequence[Figure]) -> Iterator[Note]:
    counts = [own.count for own in figures if own.name == "attack_rank_one"]
    if not counts:
        yield Note("too_few_to_attack", {"people": len(measurements.paired), "needed": _FEWEST}, warning=True)
    elif min(counts) < _FEW:
        yield Note("few_to_learn_from", {"people": min(counts)}, warning=True)
