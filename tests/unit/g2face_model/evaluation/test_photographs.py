from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2face_model.errors import ModelError
from g2face_model.evaluation.photographs import Photograph, couples, read_manifest, spread


def test_a_manifest_is_read_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        "file,person,label,attributes,width\n"
        'pairs/2.jpg,anna,neutral,"age=24;gender=female;eth=white",800\n'
        "scenes/1.jpg,,group,,900\n"
    )
    first, second = read_manifest(tmp_path)
    assert first.groups == ("eth=white", "gender=female", "age<30")
    assert (first.folder, first.person, first.label) == ("pairs", "anna", "neutral")
    assert second == Photograph("scenes/1.jpg", label="group", attributes=second.attributes)
    assert second.groups == ()


def test_a_manifest_that_is_not_there_or_lacks_a_column_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"manifest\.csv cannot be read"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.csv").write_text("file,label,attributes\na.jpg,,\n")
    with pytest.raises(ModelError, match="no column 'person'"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(("age", "group"), [("29", "age<30"), ("30", "age>=30")])
def test_people_of_thirty_are_not_below_thirty(age: str, group: str) -> None:
    assert Photograph("a.jpg", attributes={"age": age}).groups == (group,)


def test_an_unknown_age_is_no_group() -> None:
    assert Photograph("a.jpg", attributes={"age": "NA"}).groups == ()


def test_couples_are_people_with_two_photographs() -> None:
    photographs = [
        Photograph(file, person) for file, person in [("1", "a"), ("2", "b"), ("3", ""), ("4", ""), ("5", "b")]
    ]
    photographs += [Photograph("6", "b"), Photograph("7", "a")]
    assert [(first.file, other.file) for first, other in couples(photographs)] == [("1", "7"), ("2", "5")]


@given(st.lists(st.integers(), unique=True), st.integers(1, 50))
def test_a_spread_is_in_order_without_repeats(items: list[int], limit: int) -> None:
    chosen = spread(items, limit)
    assert len(chosen) == min(limit, len(items))
    places = [items.index(item) for item in chosen]
    assert places == sorted(set(places))
    assert spread(items, None) == items


def test_a_spread_is_even() -> None:
    assert spread(range(100), 4) == [0, 25, 50, 75]
