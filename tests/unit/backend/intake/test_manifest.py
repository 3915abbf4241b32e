from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import IntakeError
from backend.intake.manifest import MAX_FIELD_CHARACTERS, MAX_ROWS, Row, path_parts, read_manifest


def test_a_row_says_who_is_in_a_file_and_on_what_consent() -> None:
    manifest = read_manifest(b"file,subject_id,consent\na.jpg,P-1,C-9\nb.jpg,,\n")

    assert manifest.row_of("a.jpg") == Row(2, "P-1", "C-9")
    assert manifest.row_of("b.jpg") == Row(3, None, None)
    assert manifest.row_of("c.jpg") is None
    assert len(manifest) == 2


@pytest.mark.parametrize(
    "text",
    [
        "file;subject_id\na.jpg;P-1\n",
        "file\tsubject_id\na.jpg\tP-1\n",
        "\ufefffile,subject_id\r\na.jpg,P-1\r\n",
        "subject_id, FILE ,shoe_size\nP-1,a.jpg,43\n",
        'file,subject_id\n"a.jpg"," P-1 "\n\n',
    ],
    ids=["semicolons", "tabs", "as Excel saves it", "other columns", "quotes, spaces, an empty line"],
)
def test_spreadsheets_differ_in_how_they_save(text: str) -> None:
    row = read_manifest(text.encode()).row_of("a.jpg")

    assert row is not None
    assert row.subject_id == "P-1"


def test_a_row_may_leave_out_leading_folders_and_the_most_specific_one_wins() -> None:
    manifest = read_manifest(b"file,subject_id\na.jpg,any\nspring/a.jpg,spring\n")

    assert manifest.row_of("autumn/a.jpg").subject_id == "any"
    assert manifest.row_of("2026/spring/a.jpg").subject_id == "spring"
    assert manifest.row_of("2026\\spring\\a.jpg").subject_id == "spring"
    assert manifest.row_of("offspring/a.jpg").subject_id == "any"
    assert manifest.row_of("ba.jpg") is None


def test_the_same_letters_are_the_same_name_however_a_system_composes_them() -> None:
    assert read_manifest("file,subject_id\nZoe\u0308.jpg,P-1\n".encode()).row_of("Zo\u00eb.jpg") is not None


def test_rows_that_speak_of_several_files_are_found() -> None:
    manifest = read_manifest(b"file,subject_id\na.jpg,P-1\nb.jpg,P-2\nx/c.jpg,P-3\n")

    assert manifest.ambiguous(["x/a.jpg", "y/a.jpg", "b.jpg", "x/c.jpg", "y/c.jpg"]) == {2}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "header row with a column named file"),
        (b"name,subject_id\na.jpg,P-1\n", "header row with a column named file"),
        (b"file,subject_id\na.jpg,P-1\n./a.jpg,P-2\n", "rows 2 and 3 of the CSV name the same file"),
        (b"file,subject_id\n,P-1\n", "row 2 of the CSV names no file"),
        (b"file,subject_id\na.jpg," + b"x" * (MAX_FIELD_CHARACTERS + 1), "row 2: subject_id is longer than 200"),
        (b"file,subject_id\na.jpg, " + b"0f" * 16 + b"-1 \n", "row 2: this subject_id is taken"),
        (b"file,subject_id\na.jpg," + b"0f" * 16 + b"-remainder\n", "row 2: this subject_id is taken"),
        (b"file,subject_id\na.jpg," + b"0f" * 16 + b"-*\n", "row 2: this subject_id is taken"),
        (b"file,consent\na.jpg,a\x07b\n", "row 2: consent holds characters that cannot be printed"),
        (b'file,subject_id\n"a.jpg"x,P-1\n', "quotation mark"),
        (b"\xff\xfef\x00i\x00", "not UTF-8"),
        (b"file\n" + b"".join(b"%d.jpg\n" % i for i in range(MAX_ROWS + 1)), "more than 100000 rows"),
    ],
)
def test_a_list_that_could_be_misread_is_refused_and_no_name_is_repeated(data: bytes, message: str) -> None:
    with pytest.raises(IntakeError, match=message) as caught:
        read_manifest(data)

    assert "a.jpg" not in str(caught.value)
    assert "P-1" not in str(caught.value)


@given(st.binary(max_size=300))
def test_whatever_is_handed_in_is_read_or_refused(data: bytes) -> None:
    with suppress(IntakeError):
        assert len(read_manifest(b"file,subject_id\n" + data)) <= data.count(b"\n") + data.count(b"\r") + 1


@given(st.text(max_size=60))
def test_no_path_leads_out_of_its_folder(name: str) -> None:
    assert ".." not in path_parts(name)
    assert "/" not in path_parts(name)
