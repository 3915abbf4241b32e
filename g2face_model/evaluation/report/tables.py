"""Figures and a layout -> the rows of a table, in words and numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from g2face_model.evaluation.findings import Figure, Findings, Layout, Unit

MORE_IS_BETTER = ("found_again", "same_expression", "bit_exact", "replaced", "wrong_key_refused")  # of the headlines


_READ: Mapping[Unit, tuple[int, int, str]] = {  # factor, digits behind the point, what stands behind
    **dict.fromkeys((Unit.SHARE, Unit.EYE_WIDTHS), (100, 1, " %")),
    Unit.NME: (100, 2, " %"),
    **dict.fromkeys((Unit.MEGABYTES, Unit.COUNT, Unit.BYTES), (1, 0, "")),
    **dict.fromkeys((Unit.DEGREES, Unit.LEVELS), (1, 1, "")),
}


@dataclass(frozen=True, slots=True)
class Table:
    """`heading`: names of the rows' parts, then of the columns. A cell without a figure is None."""

    heading: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Figure | None, ...]], ...]


def rows_of(layout: Layout, figures: Sequence[Figure]) -> Table:
    """The table of a layout, rows and columns in the order in which the figures come."""
    own = [
        figure
        for figure in figures
        if figure.name in layout.columns
        and set(layout.rows) <= figure.by.keys()
        and layout.only.items() <= dict(figure.by).items()
    ]
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


def cases(cells: Sequence[Figure | None]) -> str:
    """On how many cases the figures of a row rest: a number, or from the fewest to the most; counts rest on none."""
    known = [figure for figure in cells if figure is not None and math.isfinite(figure.value)]
    counts = sorted({figure.count for figure in known if figure.unit is not Unit.COUNT})
    return "" if not counts else f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,}-{counts[-1]:,}"


def formatted(figure: Figure | None, *, brief: bool = False) -> str:
    """A figure and, in brackets unless `brief`, its interval."""
    if figure is None or not math.isfinite(figure.value):
        return "-"
    text = value_of(figure.value, figure.unit)
    if not brief and math.isfinite(figure.low) and math.isfinite(figure.high):
        low, high = (value_of(end, figure.unit).removesuffix(" %") for end in (figure.low, figure.high))
        text += f" ({low} to {high})" if figure.low < 0 else f" ({low}-{high})"
    return text


def value_of(value: float, unit: Unit) -> str:
    """A number as people read it: shares in percent, no minus before a zero."""
    factor, digits, end = _READ.get(unit, (1, 2, ""))
    text = f"{factor * value:,.{digits}f}{end}"
    return text.removeprefix("-") if not text.strip("-0.,% ") else text


def as_csv(findings: Sequence[Findings]) -> str:
    """Every figure on a line, for a spreadsheet; what it is told by in columns of its own."""
    every = [(own.metric, figure) for own in findings for figure in own.figures]
    names = list(dict.fromkeys(name for _, figure in every for name in figure.by))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["metric", "name", *names, "value", "low", "high", "unit", "count"])
    for metric, figure in every:
        numbers = [f"{value:.6g}" if math.isfinite(value) else "" for value in (figure.value, figure.low, figure.high)]
        told = [_harmless(figure.by.get(name, "")) for name in names]
        lines.writerow([metric, figure.name, *told, *numbers, figure.unit.value, figure.count])
    return text.getvalue()


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
