import json
import math
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from g2face_model.commandline.tables import aligned, number, percent, plain, share
from g2face_model.evaluation.identification import Share


def test_columns_are_aligned_without_trailing_blanks() -> None:
    assert aligned([["name", "n"], ["a", "10"], ["longest", ""]]) == "name      n\na        10\nlongest"


@given(st.lists(st.tuples(st.text("ab", min_size=1), st.text("12", min_size=1)), min_size=1))
def test_the_last_column_ends_in_line(rows: list[tuple[str, str]]) -> None:
    assert len({len(line) for line in aligned(rows).splitlines()}) == 1


def test_what_is_not_known_is_a_dash() -> None:
    assert number(math.nan, 2) == percent(math.nan) == share(Share(0, 0)) == "-"
    assert (number(0.126, 2), percent(0.1264)) == ("0.13", "12.6")


def test_a_share_comes_with_its_interval() -> None:
    assert share(Share(0, 20)) == "0.0 (0-16)"


@dataclass(frozen=True)
class _Finding:
    share: Share
    value: object
    by_name: dict[str, object]


def test_findings_become_json() -> None:
    finding = _Finding(Share(1, 4), np.float32(math.nan), {"a": (np.float64(0.5), None, True, "x")})
    assert json.loads(json.dumps(plain(finding), allow_nan=False)) == {
        "share": {"hits": 1, "total": 4, "interval": [0.04559, 0.69936]},
        "value": None,
        "by_name": {"a": [0.5, None, True, "x"]},
    }
