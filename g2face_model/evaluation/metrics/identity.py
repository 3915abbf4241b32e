"""Can anybody be recognised? Each recogniser searches for the published faces among other photographs of the people.

Figures, by method, recogniser, role and probes ("before" are the photographs as they are; "after" all published
faces, "released" those that were replaced and not covered): `tar_far_0.1` and `tar_far_1`, the share of people accepted
as themselves at thresholds that 0.1 % and 1 % of the set's own pairs of different people exceed; `rank_one`, the share
whose best match among everybody's other photograph is their own; `other_similarity`, the mean cosine to it. Without
pairs: `own_match`, the share of faces that the recogniser's calibrated threshold (0.1 %) takes for the very photograph
they were made from, and `own_similarity`. By recogniser: `threshold_0.1`, `threshold_1`. Of two keys: `link_rank_one`
and `link_tar_1`, whether the new faces of one person, on two photographs, can be linked.

`role` is "gate" where the recogniser had a say in what is published, else "no part".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2face_model.evaluation.findings import Figure, Findings, Layout, Note, Unit, mean, share
from g2face_model.evaluation.identification import (
    CONFIDENCE,
    Share,
    accepted,
    best_matches,
    different,
    threshold_at_far,
)
from g2face_model.evaluation.measurements import FaceMeasurement, Measurements, MethodFacts, stacked
from g2face_model.evaluation.trials import AS_IS, NONE, SECOND_KEY, Need, Trial

NAME = "identity"
NEEDS = frozenset({Need.SECOND_KEY, Need.LEFT_OUT})
GATE, NO_PART = "gate", "no part"
_FARS = (("0.1", 0.001), ("1", 0.01))
_FEW_PEOPLE = 30
_TOLD = MethodFacts()  # of photographs as they are
_FEW_IMPOSTORS = 1000  # below, no pair may be accepted at a FAR of 0.1 %
_RESAMPLES, _SEED = 200, 7
_ROWS = ("method", "recogniser", "role", "probes")
_LAYOUTS = (
    Layout("found", _ROWS, ("tar_far_0.1", "tar_far_1", "rank_one", "other_similarity")),
    Layout("own", _ROWS, ("own_match", "own_similarity")),
    Layout("linked", ("method", "recogniser", "role"), ("link_tar_1", "link_rank_one")),
    Layout("thresholds", ("recogniser",), ("threshold_0.1", "threshold_1")),
)
Vectors = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Reference:
    """What an attacker has, by one recogniser: everybody's other photograph; the similarities of all photographs of
    named people, and their names; thresholds by name of the FAR."""

    people: tuple[str, ...]
    gallery: Vectors
    cosines: Vectors
    named: NDArray[np.str_]
    thresholds: dict[str, float]


def compute(measurements: Measurements) -> Findings:
    """Never fails: without people to search for, the figures are those that need none."""
    figures: list[Figure] = []
    as_is = measurements.under(AS_IS)
    for recogniser in measurements.judges:
        reference = _reference(as_is, recogniser)
        if measurements.condition == AS_IS and measurements.chosen is None:  # elsewhere they are the same
            figures += _thresholds(reference, recogniser)
        figures += _searched(measurements, NONE, recogniser, reference)
        for method, facts in measurements.methods.items():
            if facts.left_out and recogniser in facts.gate:
                continue  # made for the sake of the one that was left out
            figures += _searched(measurements, method, recogniser, reference)
            figures += [*_own(measurements, method, recogniser), *_linked(measurements, method, recogniser)]
    return Findings(NAME, tuple(figures), _LAYOUTS, notes=tuple(_notes(measurements, figures)))


def role(measurements: Measurements, method: str, recogniser: str) -> str:
    """Whether the recogniser had a say in what the method publishes."""
    facts = measurements.methods.get(method)
    return GATE if facts is not None and recogniser in facts.gate else NO_PART


def _reference(as_is: Measurements, recogniser: str) -> _Reference:
    """From photographs as they are, whatever the condition of the probes: an attacker brings good ones."""
    gallery = {own.person: as_is.embedding(own.file, recogniser) for own in as_is.collection.gallery}
    known = {person: vector for person, vector in gallery.items() if vector is not None}
    labelled = [(own.person, as_is.embedding(own.file, recogniser)) for own in as_is.collection.photographs]
    named = [(person, vector) for person, vector in labelled if person and vector is not None]
    people = np.array([person for person, _ in named], np.str_)
    vectors = stacked([vector for _, vector in named])
    cosines: Vectors = vectors @ vectors.T
    impostors = _impostors(cosines, people)
    thresholds = {name: threshold_at_far(impostors, far) for name, far in _FARS if len(impostors)}
    return _Reference(tuple(known), stacked(list(known.values())), cosines, people, thresholds)


def _thresholds(reference: _Reference, recogniser: str) -> Iterator[Figure]:
    count = len(_impostors(reference.cosines, reference.named))
    intervals = _resampled(reference)
    for name, threshold in reference.thresholds.items():
        low, high = intervals.get(name, (math.nan, math.nan))
        yield Figure(f"threshold_{name}", threshold, Unit.COSINE, count, {"recogniser": recogniser}, low, high)


def _impostors(cosines: Vectors, people: NDArray[np.str_]) -> Vectors:
    """Of every two photographs of different people."""
    impostors: Vectors = cosines[np.triu(people[:, None] != people[None, :], 1)]
    return impostors


def _resampled(reference: _Reference) -> dict[str, tuple[float, float]]:
    """Where the thresholds would lie if other people had been photographed: bootstrap over people."""
    random = np.random.default_rng(_SEED)
    names, places = np.unique(reference.named, return_inverse=True)
    found: dict[str, list[float]] = {name: [] for name in reference.thresholds}
    for _ in range(_RESAMPLES):
        times = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))[places]
        rows = np.repeat(np.arange(len(places)), times)
        impostors = _impostors(reference.cosines[np.ix_(rows, rows)], reference.named[rows])
        for name, far in _FARS:
            if len(impostors):
                found[name].append(threshold_at_far(impostors, far))
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    bounds = {name: np.quantile(values, ends) for name, values in found.items() if values}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def _searched(measurements: Measurements, method: str, recogniser: str, reference: _Reference) -> Iterator[Figure]:
    faces = _largest(measurements, method)
    vectors = {
        own.person: measurements.array(faces[own.file], f"embedding.{recogniser}")
        for own in measurements.paired
        if own.file in faces and own.person in reference.people
    }
    probes = {person: vector for person, vector in vectors.items() if vector is not None}
    if not probes:
        return
    released = {own.person for own in measurements.paired if own.file in faces and faces[own.file].released}
    groups = {"before": list(probes)} if method == NONE else {"after": list(probes)}
    if method != NONE and 0 < len(released & probes.keys()) < len(probes):
        groups["released"] = [person for person in probes if person in released]
    by = {"method": method, "recogniser": recogniser, "role": role(measurements, method, recogniser)}
    for name, people in groups.items():
        cosines = stacked([probes[person] for person in people]) @ reference.gallery.T
        wanted = [reference.people.index(person) for person in people]
        genuine = cosines[np.arange(len(people)), wanted]
        for far, threshold in reference.thresholds.items():
            counted = accepted(genuine, threshold)
            yield share(f"tar_far_{far}", counted, headline=far == "0.1", by=by | {"probes": name})
        found = ~(genuine < cosines.max(axis=1))
        yield share("rank_one", Share(int(found.sum()), len(people)), headline=True, by=by | {"probes": name})
        yield mean("other_similarity", genuine, Unit.COSINE, by=by | {"probes": name})


def _largest(measurements: Measurements, method: str) -> dict[str, FaceMeasurement]:
    """The largest face of every photograph, which is the person it is named after."""
    return {face.trial.photograph: face for face in measurements.faces(method) if face.index == 0}


def _own(measurements: Measurements, method: str, recogniser: str) -> Iterator[Figure]:
    by = {"method": method, "recogniser": recogniser, "role": role(measurements, method, recogniser)}
    pairs = measurements.pairs(method)
    groups = {"after": pairs}
    released = [pair for pair in pairs if pair.after.released]
    if 0 < len(released) < len(pairs):
        groups["released"] = released
    for name, own in groups.items():
        both = [(measurements.array(pair.before, f"embedding.{recogniser}"), pair.after) for pair in own]
        known = [(vector, measurements.array(after, f"embedding.{recogniser}")) for vector, after in both]
        cosines = np.array([float(a @ b) for a, b in known if a is not None and b is not None])
        threshold = measurements.judges[recogniser].threshold
        if len(cosines):
            yield share("own_match", accepted(cosines, threshold), headline=True, by=by | {"probes": name})
            yield mean("own_similarity", cosines, Unit.COSINE, by=by | {"probes": name})


def _linked(measurements: Measurements, method: str, recogniser: str) -> Iterator[Figure]:
    """Thresholds from the new faces of different people: whoever links them has such a set at hand."""
    first = _largest(measurements, method)
    other = {own.person: own.file for own in measurements.collection.gallery}
    both = []
    for own in measurements.paired:
        trial = Trial(other[own.person], method, measurements.condition, SECOND_KEY)
        second = measurements.load(trial, 0, f"embedding.{recogniser}")
        vector = measurements.array(first[own.file], f"embedding.{recogniser}") if own.file in first else None
        if vector is not None and second is not None:
            both.append((vector, second))
    if len(both) < 2:
        return
    cosines = stacked([a for a, _ in both]) @ stacked([b for _, b in both]).T
    by = {"method": method, "recogniser": recogniser, "role": role(measurements, method, recogniser)}
    threshold = threshold_at_far(different(cosines), 0.01)
    yield share("link_tar_1", accepted(cosines.diagonal(), threshold), by=by)
    yield share("link_rank_one", best_matches(cosines), by=by)


def _notes(measurements: Measurements, figures: Sequence[Figure]) -> Iterator[Note]:
    people = len(measurements.paired)
    if people:
        alone = [own.count for own in figures if measurements.methods.get(own.by.get("method", ""), _TOLD).left_out]
        second = [own.count for own in figures if own.name == "link_rank_one"]
        values = {"people": people, "alone": max(alone, default=0), "second": max(second, default=0)}
        yield Note("searched_people", values)
    if not people:
        yield Note("nobody_to_search", warning=True)
    elif people < _FEW_PEOPLE:
        yield Note("few_people", {"people": people}, warning=True)
    impostors = [figure.count for figure in figures if figure.name == "threshold_0.1"]
    if impostors and min(impostors) < _FEW_IMPOSTORS:
        yield Note("few_impostors", {"pairs": min(impostors)}, warning=True)
    gated = [name for name in measurements.compared if measurements.judges.keys() <= {*measurements.methods[name].gate}]
    if gated and len(measurements.compared) == len(measurements.methods):
        yield Note("no_independent_judge", {"method": ", ".join(gated)}, warning=True)
