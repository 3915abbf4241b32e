"""The list that comes with photos: who is in which file, and on what consent.

A CSV with a header row: `file` and, if known, `subject_id` and `consent`. Messages name rows, never files or people.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from backend import unclaimed
from backend.errors import IntakeError

COLUMNS = ("file", "subject_id", "consent")
MAX_FIELD_CHARACTERS = 200
MAX_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Row:
    """What one row says of its file. number: as a spreadsheet counts it, the header being row 1."""

    number: int
    subject_id: str | None
    consent: str | None


class Manifest:
    """The rows of one CSV, found by the files they speak of."""

    def __init__(self, rows: Mapping[tuple[str, ...], Row]) -> None:
        self._rows = dict(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def row_of(self, name: str) -> Row | None:
        """The row that speaks of the file `name`, a path with any kind of slashes.

        A row may leave out leading folders: `a.jpg` speaks of `holiday/a.jpg` too. The most specific row wins.
        """
        parts = path_parts(name)
        return next((row for start in range(len(parts)) if (row := self._rows.get(parts[start:]))), None)

    def ambiguous(self, names: Iterable[str]) -> frozenset[int]:
        """The numbers of rows that speak of more than one of `names`: whose photo is whose cannot be told."""
        times = Counter(row.number for name in names if (row := self.row_of(name)))
        return frozenset(number for number, count in times.items() if count > 1)


def path_parts(name: str) -> tuple[str, ...]:
    """The folders and the name of a file, alike for every system that wrote them."""
    path = PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/").strip()))
    return tuple(part for part in path.parts if part not in ("/", ".", ".."))


def read_manifest(data: bytes) -> Manifest:
    """The manifest in `data`, UTF-8 with commas, semicolons or tabs.

    Raises `IntakeError`, for its author to read, when it is no such CSV or two rows speak of the same file.
    """
    rows: dict[tuple[str, ...], Row] = {}
    for number, fields in enumerate(_lines(_text(data)), start=2):
        if number > MAX_ROWS + 1:
            raise IntakeError(f"the CSV has more than {MAX_ROWS} rows")
        parts = path_parts(fields["file"])
        if not parts:
            if fields["subject_id"] or fields["consent"]:
                raise IntakeError(f"row {number} of the CSV names no file")
            continue
        if parts in rows:
            raise IntakeError(f"rows {rows[parts].number} and {number} of the CSV name the same file")
        subject_id, consent = (checked(fields[column], f"row {number}: {column}") for column in COLUMNS[1:])
        if unclaimed.photo_of(subject_id or "") is not None:
            raise IntakeError(f"row {number}: this subject_id is taken: it stands for an unclaimed face of a photo")
        rows[parts] = Row(number, subject_id, consent)
    return Manifest(rows)


def checked(text: str, place: str) -> str | None:
    """A field of a person's hand as it is kept, None when empty. Raises `IntakeError` naming its `place`."""
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > MAX_FIELD_CHARACTERS:
        raise IntakeError(f"{place} is longer than {MAX_FIELD_CHARACTERS} characters")
    if not text.isprintable():
        raise IntakeError(f"{place} holds characters that cannot be printed")
    return text or None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IntakeError("the CSV is not UTF-8 text") from error


def _lines(text: str) -> Iterable[dict[str, str]]:
    """Every row below the header, by column; columns of other names are left alone."""
    header = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = [name.strip().lower() for name in next(reader, [])]
        if "file" not in names:
            raise IntakeError("the CSV needs a header row with a column named file (and subject_id, consent if known)")
        places = {column: names.index(column) for column in COLUMNS if column in names}
        for cells in reader:
            if cells:
                yield {column: _cell(cells, places.get(column)) for column in COLUMNS}
            else:
                yield dict.fromkeys(COLUMNS, "")
    except csv.Error as error:
        raise IntakeError("the CSV cannot be read: a quotation mark is out of place or a cell is too long") from error


def _cell(cells: list[str], place: int | None) -> str:
    return cells[place] if place is not None and place < len(cells) else ""
