from __future__ import annotations

import csv
import io
import math

import pytest

from g2face_model.evaluation.findings import Figure, Findings, Layout, Unit
from g2face_model.evaluation.report.tables import as_csv, cases, formatted, rows_of, value_of


def _figure(name: str, value: float = 1.0, **by: str) -> Figure:
    return Figure(name, value, Unit.NUMBER, 1, by)


def test_a_table_has_a_row_for_every_method_and_a_column_for_every_figure() -> None:
    figures = [_figure("b", method="x"), _figure("a", 2.0, method="y"), _figure("a", 3.0, method="x"), _figure("c")]
    table = rows_of(Layout("t", ("method",), ("a", "b", "never")), figures)
    assert table.heading == ("method", "a", "b")
    cells = {names: [own and own.value for own in row] for names, row in table.rows}
    assert cells == {("x",): [3.0, 1.0], ("y",): [2.0, None]}


def test_values_can_run_across() -> None:
    figures = [_figure("s", float(place), method="x", stage=stage) for place, stage in enumerate(("one", "two"))]
    table = rows_of(Layout("t", ("method",), ("s",), across="stage"), figures)
    assert table.heading == ("method", "one", "two")
    assert [[own.value for own in row if own] for _, row in table.rows] == [[0.0, 1.0]]


def test_a_table_can_be_of_one_method_only() -> None:
    figures = [_figure("a", method="x", group="g"), _figure("a", 2.0, method="y", group="g")]
    table = rows_of(Layout("t", ("group",), ("a",), only={"method": "y"}), figures)
    assert [(names, [own.value for own in row if own]) for names, row in table.rows] == [(("g",), [2.0])]


def test_a_row_says_on_how_many_cases_it_rests() -> None:
    few, many, none = (Figure("x", value, Unit.SHARE, count) for value, count in ((0.5, 9), (0.5, 1200), (math.nan, 3)))
    assert cases([few, None, none]) == "9"
    assert cases([many, few]) == "9-1,200"
    assert cases([Figure("x", 5, Unit.COUNT, 1), None]) == ""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, Unit.SHARE, "12.3 %"),
        (0.0194, Unit.NME, "1.94 %"),
        (1234.5, Unit.BYTES, "1,234"),
        (12.34, Unit.DEGREES, "12.3"),
        (0.5, Unit.COSINE, "0.50"),
        (-0.0001, Unit.SHARE, "0.0 %"),
        (-10.0, Unit.LEVELS, "-10.0"),
    ],
)
def test_numbers_are_written_as_people_read_them(value: float, unit: Unit, text: str) -> None:
    assert value_of(value, unit) == text


def test_what_is_not_known_is_not_written() -> None:
    assert formatted(None) == formatted(_figure("x", math.nan)) == "-"
    assert formatted(_figure("x", 0.5)) == "0.50"
    assert formatted(Figure("x", 0.5, Unit.SHARE, 9, {}, 0.25, 0.75)) == "50.0 % (25.0-75.0)"
    assert formatted(Figure("x", 0.5, Unit.SHARE, 9, {}, -0.1, 0.75)) == "50.0 % (-10.0 to 75.0)"


def test_a_spreadsheet_has_a_line_per_figure_and_no_formula() -> None:
    figures = (_figure("a", math.nan, method="x"), _figure("b", 2.0, method="=cmd()", group="g"))
    rows = list(csv.DictReader(io.StringIO(as_csv([Findings("m", figures)]))))
    assert [(row["name"], row["value"], row["method"], row["group"]) for row in rows] == [
        ("a", "", "x", ""),
        ("b", "2", "'=cmd()", "g"),
    ]
