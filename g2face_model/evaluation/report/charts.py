"""Charts as SVG inside the page: they print, need no script and take the page's colours.

Both are pure functions of numbers and words; every word is escaped. Values are drawn over [0, 1] for shares and over
[0, the largest] for the rest. The table beside a chart holds the same numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from g2face_model.evaluation.findings import Figure, Unit
from g2face_model.evaluation.report.tables import value_of

_LABEL, _WIDTH, _VALUE, _ROW = 310, 200, 75, 24  # px of the viewBox: words, drawing, numbers, height of a row
_CURVE, _LEGEND = 170, 20
_SHADES = 6  # colours in the style sheet: .c0 to .c5


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a chart of intervals; `shade` picks its colour."""

    label: str
    figure: Figure
    shade: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart of curves: figures by step; `shade` picks its colour."""

    label: str
    figures: Mapping[str, Figure]
    shade: int = 0


def intervals(title: str, rows: Sequence[Row]) -> Markup:
    """A dot per figure, its interval as a line, and the numbers in words; empty when there is nothing to draw."""
    known = [row for row in rows if math.isfinite(row.figure.value)]
    if not known:
        return Markup("")
    end = _end([row.figure for row in known])
    height = _ROW * len(known) + 26
    parts = [_axis(end, known[0].figure.unit, height - 26)]
    parts += [_row(row, _ROW * place + 12, end) for place, row in enumerate(known)]
    return _svg(title, _LABEL + _WIDTH + _VALUE, height, parts)


def curves(title: str, steps: Mapping[str, str], lines: Sequence[Line]) -> Markup:
    """Dots for every line at the `steps` (identifier -> word). Steps of one scale ("face-64", "face-32") are joined, as
    far as the line has them."""
    drawn = [line for line in lines if any(math.isfinite(own.value) for own in line.figures.values())]
    every = [figure for line in drawn for figure in line.figures.values() if math.isfinite(figure.value)]
    if not every:
        return Markup("")
    end, width = _end(every), _LABEL + _WIDTH + _VALUE
    left, right, top = 60, width - 20, 10 + _LEGEND * len(drawn)
    places = {step: left + (right - left) * (place + 0.5) / len(steps) for place, step in enumerate(steps)}
    parts = [_scale(end, every[0].unit, left=left, right=right, top=top)]
    parts += [
        Markup('<text class="tick" transform="translate({:.1f} {}) rotate(-35)" text-anchor="end">{}</text>').format(
            places[step], top + _CURVE + 14, word
        )
        for step, word in steps.items()
    ]
    for row, line in enumerate(drawn):
        parts.append(_legend(line, row))
        known = [step for step in steps if step in line.figures and math.isfinite(line.figures[step].value)]
        for _, scale in itertools.groupby(known, lambda step: step.rpartition("-")[0] or step):
            points = {places[step]: line.figures[step] for step in scale}
            parts.append(_line(points, shade=line.shade % _SHADES, end=end, top=top))
    return _svg(title, width, top + _CURVE + 90, parts)


def _end(figures: Sequence[Figure]) -> float:
    """Where the axis ends."""
    if figures[0].unit is Unit.SHARE:
        return 1.0
    values = [abs(value) for own in figures for value in (own.value, own.high) if math.isfinite(value)]
    return max(values) * 1.05 or 1.0


def _at(value: float, end: float) -> float:
    return _LABEL + _WIDTH * min(max(value / end, 0.0), 1.0)


def _axis(end: float, unit: Unit, height: int) -> Markup:
    marks = Markup("")
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _at(part * end, end)
        marks += Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}"/>').format(x, height)
        marks += Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            x, height + 16, _short(part * end, unit)
        )
    return marks


def _short(value: float, unit: Unit) -> str:
    return f"{100 * value:.0f} %" if unit is Unit.SHARE else value_of(value, unit)


def _row(row: Row, y: int, end: float) -> Markup:
    figure, shade = row.figure, row.shade % _SHADES
    text = Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(_LABEL - 12, y + 4, row.label)
    if math.isfinite(figure.low) and math.isfinite(figure.high):
        text += Markup('<line class="bar c{}" x1="{:.1f}" x2="{:.1f}" y1="{y}" y2="{y}"/>').format(
            shade, _at(figure.low, end), _at(figure.high, end), y=y
        )
    text += Markup('<circle class="c{}" cx="{:.1f}" cy="{}" r="5"/>').format(shade, _at(figure.value, end), y)
    words = value_of(figure.value, figure.unit)
    return text + Markup('<text x="{}" y="{}">{}</text>').format(_LABEL + _WIDTH + 14, y + 4, words)


def _scale(end: float, unit: Unit, *, left: int, right: int, top: int) -> Markup:
    marks = Markup("")
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + _CURVE * (1 - part)
        marks += Markup('<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(left, right, y=y)
        marks += Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
            left - 6, y + 4, _short(part * end, unit)
        )
    return marks


def _legend(line: Line, row: int) -> Markup:
    return Markup('<circle class="c{0}" cx="70" cy="{1}" r="5"/><text x="82" y="{2}">{3}</text>').format(
        line.shade % _SHADES, 10 + _LEGEND * row, 14 + _LEGEND * row, line.label
    )


def _line(points: Mapping[float, Figure], *, shade: int, end: float, top: int) -> Markup:
    def y(value: float) -> float:
        return top + _CURVE * (1 - min(max(value / end, 0.0), 1.0))

    path = " ".join(f"{x:.1f},{y(figure.value):.1f}" for x, figure in points.items())
    drawn = Markup('<polyline class="line c{}" points="{}"/>').format(shade, path)
    for x, figure in points.items():
        if math.isfinite(figure.low) and math.isfinite(figure.high):
            drawn += Markup('<line class="whisker c{}" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
                shade, y(figure.low), y(figure.high), x=x
            )
        drawn += Markup('<circle class="c{}" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(shade, x, y(figure.value))
    return drawn


def _svg(title: str, width: int, height: int, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg role="img" viewBox="0 0 {} {}" aria-label="{}">').format(width, height, title)
    return head + escape("") + Markup("").join(parts) + Markup("</svg>")
