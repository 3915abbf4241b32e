from __future__ import annotations

from pathlib import Path

import pytest

from g2face_model.errors import ModelError
from g2face_model.evaluation.collection import collect

_FILES = ["a1.jpg", "a2.jpg", "b1.jpg", "b2.jpg", "x.jpg", "y.jpg"]


def _table(folder: Path, name: str, *rows: str) -> Path:
    path = folder / name
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _codes(folder: Path, **options: Path) -> dict[str, dict[str, object]]:
    return {note.code: dict(note.values) for note in collect(folder, _FILES, **options).notes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _table(
        tmp_path,
        "manifest.csv",
        "file,person,label,attributes,width",
        *("a1.jpg,a,neutral,age=24;eth=white,800", "a2.jpg,a,smiling,age=24;eth=white,800"),
        *("b1.jpg,b,,age=50,800", "b2.jpg,b,,,800", "x.jpg,,,,800"),
    )
    return tmp_path


def test_people_with_two_photographs_have_one_in_the_gallery(folder: Path) -> None:
    collection = collect(folder, _FILES)
    assert [own.file for own in collection.probes] == ["a1.jpg", "b1.jpg", "x.jpg", "y.jpg"]
    assert [own.file for own in collection.gallery] == ["a2.jpg", "b2.jpg"]
    assert [own.file for own in collection.paired] == ["a1.jpg", "b1.jpg"]
    assert collection.probes[0].attributes == {"age": "24", "eth": "white"}
    assert collection.notes == ()


def test_a_limit_takes_people_first_and_is_told(folder: Path) -> None:
    assert [own.file for own in collect(folder, _FILES, limit=3).probes] == ["a1.jpg", "b1.jpg", "x.jpg"]
    one = collect(folder, _FILES, limit=1)
    assert [own.file for own in one.photographs] == ["a1.jpg", "a2.jpg"]
    assert [(note.code, note.values["probes"]) for note in one.notes] == [("sample", 1)]


def test_named_tables_take_the_place_of_the_folders_own(folder: Path, tmp_path: Path) -> None:
    pairs = _table(tmp_path, "pairs.csv", "file,person", "x.jpg,z", "y.jpg,z")
    attributes = _table(tmp_path, "attributes.csv", "file,skin,age", "x.jpg,dark,3", "y.jpg,,")
    collection = collect(folder, _FILES, pairs=pairs, attributes=attributes)
    assert [own.file for own in collection.paired] == ["x.jpg"]
    assert collection.paired[0].attributes == {"skin": "dark", "age": "3"}
    assert collection.gallery[0].attributes == {}
    assert collection.notes == ()


def test_a_table_with_a_column_of_attributes_has_no_others(folder: Path, tmp_path: Path) -> None:
    table = _table(tmp_path, "all.csv", "file,licence,attributes", "x.jpg,free,age=3", "y.jpg,free,")
    told = {own.file: own.attributes for own in collect(folder, _FILES, attributes=table).photographs}
    assert (told["x.jpg"], told["y.jpg"]) == ({"age": "3"}, {})


def test_a_folder_without_a_table_is_evaluated_all_the_same(tmp_path: Path) -> None:
    collection = collect(tmp_path, _FILES)
    assert len(collection.probes) == len(_FILES)
    assert [(note.code, note.warning) for note in collection.notes] == [("nobody_named", True)]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    one_each = _table(tmp_path, "one.csv", "file,person", "a1.jpg,a", "gone.jpg,b")
    assert _codes(tmp_path, pairs=one_each) == {"no_pairs": {}, "listed_but_absent": {"photographs": 1}}
    no_person = _table(tmp_path, "nobody.csv", "file,name", "a1.jpg,a")
    assert _codes(tmp_path, pairs=no_person)["column_missing"] == {"manifest": "nobody.csv", "column": "person"}
    no_file = _table(tmp_path, "nofile.csv", "photo,person", "a1.jpg,a")
    assert _codes(tmp_path, pairs=no_file)["column_missing"] == {"manifest": "nofile.csv", "column": "file"}
    empty = _table(tmp_path, "empty.csv", "")
    assert set(_codes(tmp_path, pairs=empty)) == {"nobody_named"}
    short = _table(tmp_path, "short.csv", "file,person,label", "a1.jpg", "a2.jpg,a,x,too,many")
    assert set(_codes(tmp_path, pairs=short, attributes=short)) == {"no_pairs"}


def test_a_table_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.csv cannot be read"):
        collect(tmp_path, _FILES, pairs=tmp_path / "gone.csv")
    (tmp_path / "excel.csv").write_bytes("file,person\na1.jpg,山田".encode("cp932"))
    with pytest.raises(ModelError, match=r"excel\.csv is not text in UTF-8"):
        collect(tmp_path, _FILES, attributes=tmp_path / "excel.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ModelError, match=r"binary\.csv is not text"):
        collect(tmp_path, _FILES, attributes=tmp_path / "binary.csv")
