"""Which charts a metric gets: its headlines by method, and what is told by condition as curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from g2face_model.evaluation.findings import Figure, Findings
from g2face_model.evaluation.report.charts import Row, curves, intervals
from g2face_model.evaluation.report.words import Words

_MOST_ROWS = 20
_UNSAID = (("probes", "before"), ("probes", "after"), ("faces", "all"))


def charts(findings: Findings, *, words: Words, methods: Sequence[str]) -> Iterator[tuple[str, Markup]]:
    """Title and chart, as far as there is more than one thing to compare."""
    for name in dict.fromkeys(own.name for own in findings.figures if own.headline):
        every = [own for own in findings.figures if own.name == name and own.headline]
        rows = [Row(_label(own, every, words), own, _shade(own, methods)) for own in every]
        if 1 < len(rows) <= _MOST_ROWS:
            yield words.name(name), intervals(words.name(name), rows)
    for name in dict.fromkeys(own.name for own in findings.figures if "condition" in own.by):
        yield from _curve(name, findings, words)


def _curve(name: str, findings: Findings, words: Words) -> Iterator[tuple[str, Markup]]:
    """A line for every method; of several judges the one with the largest mean."""
    every = [own for own in findings.figures if own.name == name and math.isfinite(own.value)]
    steps = {own.by["condition"]: words.name(own.by["condition"]) for own in every}
    told: dict[str, dict[tuple[str, ...], dict[str, Figure]]] = {}
    for own in every:
        rest = tuple(value for key, value in own.by.items() if key not in ("method", "condition"))
        told.setdefault(own.by.get("method", ""), {}).setdefault(rest, {})[own.by["condition"]] = own
    lines = {}
    for method, variants in told.items():
        rest, points = max(variants.items(), key=lambda own: sum(at.value for at in own[1].values()) / len(own[1]))
        label = ", ".join(map(words.name, rest))
        lines[f"{words.name(method)}{f' ({label})' if label else ''}"] = points
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
