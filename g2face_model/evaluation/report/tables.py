"""Figures and a layout -> the rows of a table, in words and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from g2face_model.evaluation.findings import Figure, Layout, Unit


@dataclass(frozen=True, slots=True)
class Table:
    """`heading`: names of the rows' parts, then of the columns. A cell without a figure is None."""

    heading: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Figure | None, ...]], ...]


def rows_of(layout: Layout, figures: Sequence[Figure]) -> Table:
    """The table of a layout, rows and columns in the order in which the figures come."""
    own = [figure for figure in figures if figure.name in layout.columns and set(layout.rows) <= figure.by.keys()]
    if layout.across:
        columns = tuple(dict.fromkeys(figure.by[layout.across] for figure in own if layout.across in figure.by))
        cells = {(_row(figure, layout), figure.by.get(layout.across, "")): figure for figure in own}
    else:
        columns = tuple(name for name in layout.columns if any(figure.name == name for figure in own))
        cells = {(_row(figure, layout), figure.name): figure for figure in own}
    names = dict.fromkeys(row for row, _ in cells)
    rows = tuple((name, tuple(cells.get((name, column)) for column in columns)) for name in names)
    return Table((*layout.rows, *columns), rows)


def _row(figure: Figure, layout: Layout) -> tuple[str, ...]:
    return tuple(figure.by[name] for name in layout.rows)


def formatted(figure: Figure | None) -> str:
    """A figure and, in brackets, its interval."""
    if figure is None or not math.isfinite(figure.value):
        return "-"
    text = value_of(figure.value, figure.unit)
    if math.isfinite(figure.low) and math.isfinite(figure.high):
        text += f" ({value_of(figure.low, figure.unit)}-{value_of(figure.high, figure.unit)})"
    return text


def value_of(value: float, unit: Unit) -> str:
    """A number as people read it: shares in percent."""
    if unit in (Unit.SHARE, Unit.NME, Unit.EYE_WIDTHS):
        return f"{100 * value:.{2 if unit is Unit.NME else 1}f} %"
    digits = {Unit.MEGABYTES: 0, Unit.COUNT: 0, Unit.BYTES: 0, Unit.DEGREES: 1, Unit.LEVELS: 1}.get(unit, 2)
    return f"{value:,.{digits}f}"
