"""Which charts a metric gets: its headlines by method, and what is told by condition as curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from markupsafe import Markup

from g2face_model.evaluation.findings import Figure, Findings
from g2face_model.evaluation.methods import G2FACE
from g2face_model.evaluation.report.charts import Line, Row, curves, intervals
from g2face_model.evaluation.report.tables import MORE_IS_BETTER
from g2face_model.evaluation.report.words import Words

_MOST_ROWS = 20
_OF_GROUPS = ("found_again", "replaced", "landmark_nme", "same_expression", "rank_one")
_UNSAID = (("probes", "before"), ("probes", "after"), ("faces", "all"))


def charts(findings: Findings, *, words: Words, methods: Sequence[str]) -> Iterator[tuple[str, Markup]]:
    """Title and chart, as far as there is more than one thing to compare."""
    for name in dict.fromkeys(own.name for own in findings.figures if own.headline):
        every = [own for own in findings.figures if own.name == name and own.headline]
        rows = [Row(_label(own, every, words), own, _shade(own, methods)) for own in every]
        if 1 < len(rows) <= _MOST_ROWS:
            yield words.name(name), intervals(words.name(name), rows)
    for name in dict.fromkeys(own.name for own in findings.figures if "condition" in own.by):
        yield from _curve(name, findings, words=words, methods=methods)
    for name in _OF_GROUPS:
        yield from _groups(name, findings, words)


def _groups(name: str, findings: Findings, words: Words) -> Iterator[tuple[str, Markup]]:
    """The engine's figure for every group of people, by the judge that is worst on the whole."""
    told: dict[tuple[str, ...], list[Figure]] = {}
    for own in findings.figures:
        rest = {key: value for key, value in own.by.items() if key not in ("attribute", "group")}
        if own.name == name and "group" in own.by and own.by.get("method") == G2FACE and _everybody(own):
            told.setdefault(tuple(rest.values()), []).append(own)
    if told:
        every = _worst(name, told.values())
        attributes = list(dict.fromkeys(own.by["attribute"] for own in every))
        rows = [
            Row(
                f"{words.name(own.by['attribute'])}: {words.name(own.by['group'])} ({own.count})",
                own,
                attributes.index(own.by["attribute"]),
            )
            for own in every
        ]
        judge = every[0].by.get("recogniser")
        title = words.name(name) + (f" ({judge})" if judge else "")
        yield title, intervals(title, rows)


def _everybody(figure: Figure) -> bool:
    """Not of the replaced faces alone."""
    return figure.by.get("faces", "all") == "all" and figure.by.get("probes", "after") == "after"


def _worst(name: str, variants: Iterable[Sequence[Figure]]) -> Sequence[Figure]:
    """Of several judges, formats or groups of faces the one that is worst on the whole."""
    worst = min if name in MORE_IS_BETTER else max
    return worst(variants, key=lambda own: sum(at.value for at in own) / len(own))


def _curve(name: str, findings: Findings, *, words: Words, methods: Sequence[str]) -> Iterator[tuple[str, Markup]]:
    """A line for every method, by the judge that is worst on the whole."""
    every = [own for own in findings.figures if own.name == name and math.isfinite(own.value)]
    steps = {own.by["condition"]: words.name(own.by["condition"]) for own in every}
    told: dict[str, dict[tuple[str, ...], list[Figure]]] = {}
    for own in every:
        rest = tuple(value for key, value in own.by.items() if key not in ("method", "condition"))
        told.setdefault(own.by["method"], {}).setdefault(rest, []).append(own)
    lines = []
    for method, variants in told.items():
        points = _worst(name, variants.values())
        label = words.name(method) + (f" ({points[0].by['recogniser']})" if "recogniser" in points[0].by else "")
        lines.append(Line(label, {own.by["condition"]: own for own in points}, _shade(points[0], methods)))
    if len(steps) > 1 and lines:
        yield words.name(name), curves(words.name(name), steps, lines)


def _label(figure: Figure, every: Sequence[Figure], words: Words) -> str:
    """What tells this figure from the others of its name, as far as it does not go without saying."""
    varied = [key for key in figure.by if len({own.by.get(key) for own in every}) > 1 and key != "role"]
    parts = [figure.by[key] for key in varied if (key, figure.by[key]) not in _UNSAID]
    return " · ".join(words.name(part) for part in parts if part == parts[0] or not parts[0].endswith(f" {part}"))


def _shade(figure: Figure, methods: Sequence[str]) -> int:
    """A colour for every method; photographs as they are, and the engine without a judge, have the last ones."""
    method = figure.by.get("method", "")
    return methods.index(method) if method in methods else 4 if method.startswith("g2face without") else 5
