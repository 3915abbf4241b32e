from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from g2face_model.evaluation.findings import Figure, Unit
from g2face_model.evaluation.report.charts import Line, Row, curves, intervals

_NASTY = "<script>alert('x')</script> & \""


def _figure(value: float, low: float = math.nan, high: float = math.nan, unit: Unit = Unit.SHARE) -> Figure:
    return Figure("x", value, unit, 9, {}, low, high)


def _circles(svg: str) -> list[dict[str, str]]:
    return [own.attrib for own in ElementTree.fromstring(svg).iter("circle")]  # noqa: S314


def test_a_dot_lies_where_its_share_is_and_its_interval_around_it() -> None:
    svg = intervals("t", [Row("a", _figure(0.0)), Row("b", _figure(0.5, 0.25, 0.75)), Row("c", _figure(1.0))])
    first, middle, last = (float(own["cx"]) for own in _circles(svg))
    assert middle - first == pytest.approx(last - middle)
    (bar,) = [own for own in ElementTree.fromstring(svg).iter("line") if "bar" in own.attrib["class"]]  # noqa: S314
    assert (float(bar.attrib["x1"]) + float(bar.attrib["x2"])) / 2 == pytest.approx(middle, abs=0.1)
    assert float(bar.attrib["x2"]) - float(bar.attrib["x1"]) == pytest.approx((last - first) / 2, abs=0.2)


def test_words_cannot_leave_their_place() -> None:
    for svg in (
        intervals(_NASTY, [Row(_NASTY, _figure(0.5))]),
        curves(_NASTY, {"a": _NASTY}, [Line(_NASTY, {"a": _figure(0.5)})]),
    ):
        assert "<script" not in svg
        assert ElementTree.fromstring(svg).attrib["aria-label"] == _NASTY  # noqa: S314


def test_a_line_goes_through_the_steps_of_a_scale_and_leaves_out_what_is_missing() -> None:
    one = {"as-is": _figure(1.0), "face-9": _figure(1.0), "face-5": _figure(0.0), "dark": _figure(0.5)}
    two = {"face-9": _figure(math.nan), "face-5": _figure(0.5)}
    steps = {"as-is": "A", "face-9": "B", "face-5": "C", "dark": "D"}
    svg = curves("t", steps, [Line("one", one), Line("two", two, shade=1)])
    paths = [own.attrib["points"].split() for own in ElementTree.fromstring(svg).iter("polyline")]  # noqa: S314
    assert [len(path) for path in paths] == [1, 2, 1, 1]
    assert float(paths[1][0].split(",")[1]) < float(paths[3][0].split(",")[1]) < float(paths[1][1].split(",")[1])
    assert len(_circles(svg)) == 5 + 2  # and one in the legend of each


def test_nothing_known_is_no_chart() -> None:
    assert intervals("t", []) == intervals("t", [Row("a", _figure(math.nan))]) == ""
    assert curves("t", {"a": "A"}, [Line("one", {})]) == ""


def test_values_that_are_all_zero_can_be_drawn() -> None:
    assert len(_circles(intervals("t", [Row("a", _figure(0.0, unit=Unit.SECONDS))]))) == 1
