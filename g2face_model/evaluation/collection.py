"""What a run works on: photographs of a folder, who is on them and what else is told of these people.

A manifest.csv in the folder is read when it is there; --pairs and --attributes name other ones. A column, a file or a
person that is missing is told in a note, never an error: an evaluation without pairs still tells the rest.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from g2face_model.errors import ModelError
from g2face_model.evaluation.findings import Note
from g2face_model.evaluation.photographs import MANIFEST, Photograph, couples, spread

_NAMES = ("file", "person", "label")
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Collection:
    """`probes` are anonymized; `gallery` holds another photograph of every probe's person who has one, in the probes'
    order; `notes` tell what was missing."""

    probes: tuple[Photograph, ...]
    gallery: tuple[Photograph, ...]
    notes: tuple[Note, ...] = ()

    @property
    def paired(self) -> tuple[Photograph, ...]:
        """The probes of people who are in the gallery, in the gallery's order."""
        first = {photograph.person: photograph for photograph in reversed(self.probes) if photograph.person}
        return tuple(first[photograph.person] for photograph in self.gallery)

    @property
    def photographs(self) -> tuple[Photograph, ...]:
        """Each once, also where somebody's other photograph is a probe as well."""
        return tuple({own.file: own for own in (*self.probes, *self.gallery)}.values())


def collect(
    folder: Path,
    files: Sequence[str],
    *,
    pairs: Path | None = None,
    attributes: Path | None = None,
    limit: int | None = None,
) -> Collection:
    """Join the `files` (paths below `folder`) with the manifests.

    At most `limit` photographs become probes: people with two photographs first, then the others, each evenly spread.
    Raises ModelError when a manifest that was named cannot be read.
    """
    own = folder / MANIFEST
    notes: list[Note] = []
    people = _rows(pairs or own, notes, wanted=("file", "person")) if pairs or own.is_file() else {}
    told = _rows(attributes, notes, wanted=("file",)) if attributes else people
    known = [
        _photograph(file, people.get(file, {}), told.get(file, {}), every=attributes is not None) for file in files
    ]
    absent = len(people.keys() - set(files))
    if absent:
        notes.append(Note("listed_but_absent", {"photographs": absent}, warning=True))
    return _chosen(known, limit, notes)


def _chosen(known: Sequence[Photograph], limit: int | None, notes: list[Note]) -> Collection:
    both = couples(known)
    chosen = spread(both, limit)
    used = {photograph.file for couple in both for photograph in couple}
    rest = [photograph for photograph in known if photograph.file not in used]
    others = spread(rest, None if limit is None else limit - len(chosen))
    if len(chosen) < len(both) or len(others) < len(rest):
        notes.append(Note("sample", {"probes": len(chosen) + len(others), "photographs": len(known)}))
    if not any(photograph.person for photograph in known):
        notes.append(Note("nobody_named", warning=True))
    elif not both:
        notes.append(Note("no_pairs", warning=True))
    first, second = [couple[0] for couple in chosen], [couple[1] for couple in chosen]
    return Collection((*first, *others), tuple(second), tuple(notes))


def _rows(path: Path, notes: list[Note], *, wanted: Sequence[str]) -> dict[str, Row]:
    """The rows of a manifest by file; which of the `wanted` columns it lacks is noted."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines, restval=""))
    except UnicodeDecodeError as error:
        raise ModelError(f"{path.name} is not text in UTF-8: save it as CSV in UTF-8") from error
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise ModelError(f"{path.name} cannot be read as a table: {error}") from error
    missing = [name for name in wanted if rows and name not in rows[0]]
    notes += [Note("column_missing", {"manifest": path.name, "column": name}, warning=True) for name in missing]
    return {} if "file" in missing else {row["file"]: row for row in rows}


def _photograph(file: str, row: Row, told: Row, *, every: bool) -> Photograph:
    """What the column "attributes" of `told` says ("age=24;eth=white"); `every`: without it, each column is one."""
    text = told.get("attributes") or ""
    parts = (part.partition("=") for part in text.split(";"))
    attributes = {name.strip(): value.strip() for name, _, value in parts if value.strip()}
    if every and "attributes" not in told:
        columns = {name: value for name, value in told.items() if isinstance(name, str) and name not in _NAMES}
        attributes |= {name: value.strip() for name, value in columns.items() if value}
    photograph = Photograph(file, row.get("person") or "", row.get("label") or "")
    return replace(photograph, attributes=attributes)
