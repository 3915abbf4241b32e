"""The first page: a plain verdict for each question a manager asks, from the headline figures.

The limits are ours, stand in LIMITS and are printed with the verdicts, so that nobody has to take a word for a number.
A verdict counts the worst judge, prefers judges that had no part in the choice, and is UNSURE when too few people
were there to tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from g2face_model.evaluation.findings import Figure, Findings, figures_called
from g2face_model.evaluation.methods import G2FACE
from g2face_model.evaluation.report.tables import formatted
from g2face_model.evaluation.trials import NONE

LIMITS: Mapping[str, float] = {
    "people": 20,  # or faces: fewer, and no verdict on recognition or analysis is given
    "accepted": 0.05,  # of people, at thresholds that 0.1 % of strangers pass, by the worst judge
    "above_chance": 0.10,  # of people found first, above the share that luck finds
    "found": 0.95,  # of the faces, by a detector
    "expression": 0.80,  # of the faces, by an estimator that had no part
    "moved": 0.05,  # of the distance of the eyes, mean of the landmarks
}


class Verdict(StrEnum):
    GOOD = "good"
    MIXED = "mixed"
    BAD = "bad"
    UNSURE = "unsure"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True)
class Answer:
    """To one question: the verdict and the facts that it rests on, as names of sentences and what they tell."""

    question: str
    verdict: Verdict
    facts: tuple[tuple[str, Mapping[str, str]], ...] = ()


@dataclass(frozen=True, slots=True)
class Headline:
    """A row of the first page's table: one figure by method, that of the worst judge where there are several."""

    name: str
    cells: Mapping[str, Figure]


def answers(findings: Sequence[Findings]) -> tuple[Answer, ...]:
    """Can anybody be recognised, or linked? Does analysis work? Do faces pass for real? Recovery? What does it cost?"""
    return tuple(ask(findings) for ask in (_recognised, _linked, _works, _real, _recovery, _cost))


def headlines(findings: Sequence[Findings], methods: Sequence[str]) -> tuple[Headline, ...]:
    """The comparison with what people would use instead."""
    rows: list[tuple[str, dict[str, str], Callable[..., Figure]]] = [
        ("rank_one", {"probes": "after"}, max),
        ("tar_far_0.1", {"probes": "after"}, max),
        ("own_match", {"probes": "after"}, max),
        ("attack_best_rank_one", {}, max),
        ("left_alone", {}, max),
        ("found_again", {}, min),
        ("same_expression", {"faces": "all", "estimator": "emotion"}, min),
        ("landmark_nme", {"faces": "all"}, max),
        ("landmarks_lost", {"faces": "all"}, max),
        ("pose_change", {"faces": "all"}, max),
        ("told_apart_best", {"faces": "all"}, max),
        ("bit_exact", {}, min),
        ("seconds_per_photo", {}, max),
        ("price_per_1000", {}, max),
    ]
    made = []
    for name, by, worst in rows:
        cells = {}
        for method in methods:
            every = [own for own in _called(name, findings, method, by) if math.isfinite(own.value)]
            if every:
                cells[method] = worst(every, key=lambda own: own.value)
        if cells:
            made.append(Headline(name, cells))
    return tuple(made)


def _called(name: str, findings: Sequence[Findings], method: str, by: Mapping[str, str]) -> list[Figure]:
    """The figures of a method on photographs as they are; those of the engine without a judge count as its own."""
    own = [
        figure
        for figure in figures_called(name, findings, **by)
        if "condition" not in figure.by and "group" not in figure.by and "attribute" not in figure.by
    ]
    mine = [figure for figure in own if figure.by.get("method") == method]
    alone = [figure for figure in own if figure.by.get("method", "").startswith(f"{method} without ")]
    return [figure for figure in alone if figure.by.get("role") != "gate"] or mine


def _worst(name: str, findings: Sequence[Findings], **by: str) -> Figure | None:
    every = [own for own in _called(name, findings, G2FACE, by) if math.isfinite(own.value)]
    return max(every, key=lambda own: own.value, default=None)


def _only(name: str, findings: Sequence[Findings], **by: str) -> Figure | None:
    every = [own for own in figures_called(name, findings, method=G2FACE, **by) if own.by.keys() == {"method", *by}]
    return every[0] if every and math.isfinite(every[0].value) else None


def _recognised(findings: Sequence[Findings]) -> Answer:
    found, accepted = (_worst(name, findings, probes="after") for name in ("rank_one", "tar_far_0.1"))
    alone, before = _only("left_alone", findings), _before(findings)
    chance = 1 / before.count if before else 0.0  # everybody who was photographed twice is in the gallery
    own, attack = _worst("own_match", findings, probes="after"), _only("attack_best_rank_one", findings)
    facts: list[tuple[str, Mapping[str, str]]] = []
    if found and accepted:
        facts.append(("searched", _told(found) | {"chance": _percent(chance), "before": formatted(before)}))
        facts.append(("accepted", _told(accepted)))
    if attack:
        facts.append(("attacked", _told(attack) | {"chance": _percent(1 / attack.count)}))
    if own and not found:  # the weaker test, for want of people to search for
        facts.append(("own_match", _told(own)))
    if alone:
        facts.append(("left_alone" if alone.value else "none_left_alone", _told(alone)))
    if not found or not accepted:
        return Answer("recognised", Verdict.UNMEASURED, tuple(facts))
    if found.count < LIMITS["people"]:
        return Answer("recognised", Verdict.UNSURE, tuple(facts))
    above = max(found.value - chance, attack.value - 1 / attack.count if attack else 0.0)
    passed = [
        accepted.value <= LIMITS["accepted"],
        above <= LIMITS["above_chance"],
        alone is None or not alone.value,
    ]
    failed = accepted.value > 4 * LIMITS["accepted"] or above > 4 * LIMITS["above_chance"]
    return Answer("recognised", _of(passed, failed=failed), tuple(facts))


def _before(findings: Sequence[Findings]) -> Figure | None:
    """How many are found first on the photographs as they are, by the judge that finds fewest."""
    every = figures_called("rank_one", findings, method=NONE, probes="before")
    plain = [own for own in every if own.by.keys() == {"method", "recogniser", "role", "probes"}]
    return min(plain, key=lambda own: own.value, default=None)


def _linked(findings: Sequence[Findings]) -> Answer:
    """By the judge and the attack that link best."""
    every = [
        *figures_called("linked_rank_one", findings, method=G2FACE),
        *figures_called("link_rank_one", findings, method=G2FACE),
    ]
    worst = max((own for own in every if math.isfinite(own.value)), key=lambda own: own.value, default=None)
    if worst is None:
        return Answer("linked", Verdict.UNMEASURED)
    chance = 1 / worst.count
    facts: list[tuple[str, Mapping[str, str]]] = [("matched", _told(worst) | {"chance": _percent(chance)})]
    above = worst.value - chance
    passed = above <= LIMITS["above_chance"]
    if not passed:
        facts.append(("matched_therefore", {}))
    if worst.count < LIMITS["people"]:
        return Answer("linked", Verdict.UNSURE, tuple(facts))
    return Answer("linked", _of([passed], failed=above > 4 * LIMITS["above_chance"]), tuple(facts))


def _real(findings: Sequence[Findings]) -> Answer:
    """By the best classifier; half of its cases are real faces, and half are right by luck."""
    told = _only("told_apart_best", findings, faces="all")
    if told is None:
        return Answer("real", Verdict.UNMEASURED)
    above = told.value - 0.5
    passed = above <= LIMITS["above_chance"]
    facts: list[tuple[str, Mapping[str, str]]] = [("told_apart", _told(told))]
    if not passed:
        facts.append(("told_apart_therefore", {}))
    if told.count / 2 < LIMITS["people"]:
        return Answer("real", Verdict.UNSURE, tuple(facts))
    return Answer("real", _of([passed], failed=above > 4 * LIMITS["above_chance"]), tuple(facts))


def _works(findings: Sequence[Findings]) -> Answer:
    found = _only("found_again", findings)
    same = _only("same_expression", findings, faces="all", estimator="emotion")
    moved = _only("landmark_nme", findings, faces="all")
    pose, replaced = _only("pose_change", findings, faces="all"), _only("replaced", findings)
    every = replaced is not None and replaced.value == 1
    named = (
        ("found", found),
        ("replaced_all" if every else "replaced", replaced),
        ("expression", same),
        ("moved", moved),
        ("turned", pose),
    )
    facts = tuple((name, _told(figure)) for name, figure in named if figure)
    if not found or not same or not moved:
        return Answer("works", Verdict.UNMEASURED, facts)
    if found.count < LIMITS["people"]:
        return Answer("works", Verdict.UNSURE, facts)
    passed = [
        found.value >= LIMITS["found"],
        same.value >= LIMITS["expression"],
        moved.value <= LIMITS["moved"],
    ]
    failed = found.value < LIMITS["found"] - 0.2 or same.value < LIMITS["expression"] - 0.3
    return Answer("works", _of(passed, failed=failed), facts)


def _recovery(findings: Sequence[Findings]) -> Answer:
    every = {
        name: figures_called(name, findings, method=G2FACE)
        for name in (
            "bit_exact",
            "wrong_key_refused",
            "wrong_image_refused",
            "tampering_refused",
            "restore_seconds",
            "payload_bytes",
        )
    }
    exact, refused = every["bit_exact"], [*every["wrong_key_refused"], *every["tampering_refused"]]
    if not exact:
        return Answer("recovery", Verdict.UNMEASURED)
    facts = [("exact", _told(min(exact, key=lambda own: own.value)))]
    if refused:
        facts.append(("refused", _told(min(refused, key=lambda own: own.value))))
    for name in ("restore_seconds", "payload_bytes"):
        if every[name]:
            facts.append((name, _told(max(every[name], key=lambda own: own.value))))
    passed = [own.value == 1 for own in (*exact, *refused, *every["wrong_image_refused"])]
    return Answer("recovery", _of(passed, failed=not all(passed)), tuple(facts))


def _cost(findings: Sequence[Findings]) -> Answer:
    """Facts without a verdict: what is too dear only the reader knows."""
    named = ("seconds_per_photo", "photos_per_hour", "peak_megabytes", "price_per_1000")
    known = [(name, _only(name, findings)) for name in named]
    return Answer("cost", Verdict.UNMEASURED, tuple((name, _told(own)) for name, own in known if own))


def _of(passed: Sequence[bool], *, failed: bool) -> Verdict:
    return Verdict.BAD if failed else Verdict.GOOD if all(passed) else Verdict.MIXED


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _told(figure: Figure) -> dict[str, str]:
    return {
        "value": formatted(figure),
        "count": f"{figure.count:,}",
        "hits": f"{round(figure.value * figure.count):,}",
        "judge": figure.by.get("recogniser", ""),
        "role": figure.by.get("role", ""),
    }
