"""A folder of photographs for evaluation: manifest.csv with the columns file, person, label, attributes.

`file` is the path below the folder, `person` empty where nobody knows, `attributes` text such as
"age=24;gender=female;eth=white".
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from g2face_model.errors import ModelError

MANIFEST = "manifest.csv"
_YOUNG_YEARS = 30
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Photograph:
    """One row of the manifest."""

    file: str
    person: str = ""
    label: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return self.file.split("/")[0] if "/" in self.file else ""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of people this person belongs to, for fairness: "eth=...", "gender=...", "age<30" or "age>=30"."""
        named = [f"{name}={self.attributes[name]}" for name in ("eth", "gender") if name in self.attributes]
        age = self.attributes.get("age", "")
        if age.isdecimal():
            named.append(f"age{'<' if int(age) < _YOUNG_YEARS else '>='}{_YOUNG_YEARS}")
        return tuple(named)


def read_manifest(faces: Path) -> list[Photograph]:
    """The photographs of a folder in the manifest's order. Raises ModelError when there is no such manifest."""
    try:
        with (faces / MANIFEST).open(newline="", encoding="utf-8") as manifest:
            return [_photograph(row) for row in csv.DictReader(manifest)]
    except OSError as error:
        raise ModelError(f"{MANIFEST} cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise ModelError(f"{MANIFEST} has no column {error}") from error


def _photograph(row: Mapping[str, str]) -> Photograph:
    attributes = {name: value for name, _, value in (part.partition("=") for part in row["attributes"].split(";"))}
    return Photograph(row["file"], row["person"], row["label"], attributes)


def couples(photographs: Sequence[Photograph]) -> list[tuple[Photograph, Photograph]]:
    """The first two photographs of every person who has two, in the order of the first."""
    people: dict[str, list[Photograph]] = {}
    for photograph in photographs:
        if photograph.person:
            people.setdefault(photograph.person, []).append(photograph)
    return [(own[0], own[1]) for own in people.values() if len(own) > 1]


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` of the items, evenly spaced, the first one among them; None for all."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[position * len(items) // limit] for position in range(limit)]
