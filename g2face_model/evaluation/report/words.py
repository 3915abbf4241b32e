"""What the report says, in every language it speaks: one table, words.toml.

Metrics name figures, layouts and notes by identifiers. An identifier without words is shown as it is, so a new metric
can be read before it has been translated.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from g2face_model.evaluation.findings import Note

LANGUAGES = ("en", "ja")
_PREFIXES = ("g2face without", "moved by")  # of names that end with another name
_GAP = "gap"  # stands behind the name of the figure that it is a gap of
Entries = Mapping[str, Mapping[str, list[str]]]


class Words:
    """The words of one language. `page`: sentences of the report itself; `names`: identifiers of figures, tables,
    methods and groups; `about`: what a figure means; `notes`: what a note says."""

    def __init__(self, language: str) -> None:
        """Raises KeyError for a language there are no words of."""
        self.language = language
        self._place = {name: place for place, name in enumerate(LANGUAGES)}[language]
        self._entries = _entries()

    def page(self, key: str, /, **values: Any) -> str:
        """A sentence of the report. Raises KeyError when there is none."""
        return self._entries["page"][key][self._place].format_map(values)

    def name(self, identifier: str) -> str:
        """An identifier in words."""
        if identifier in self._entries["names"]:
            return self._entries["names"][identifier][self._place]
        for start in _PREFIXES:
            if identifier.startswith(f"{start} "):
                rest = self.name(identifier.removeprefix(f"{start} "))
                return self._entries["names"][start][self._place].format(rest)
        if identifier.endswith(f"_{_GAP}"):
            return self._entries["names"][_GAP][self._place].format(self.name(identifier.removesuffix(f"_{_GAP}")))
        return identifier.replace("_", " ")

    def about(self, identifier: str) -> str:
        """What a figure or a section means; empty where nothing is told."""
        entry = self._entries["about"].get(identifier)
        return entry[self._place] if entry else ""

    def note(self, note: Note) -> str:
        """What a note says; one that is unknown tells its code and values."""
        entry = self._entries["notes"].get(note.code)
        if entry is None:
            told = ", ".join(f"{self.name(name)}: {value}" for name, value in note.values.items())
            return f"{self.name(note.code)}{': ' if told else ''}{told}"
        return entry[self._place].format_map({name: self._told(value) for name, value in note.values.items()})

    def _told(self, value: str | int | float) -> str:
        return self.name(value) if isinstance(value, str) and value in self._entries["names"] else str(value)


@functools.cache
def _entries() -> Entries:
    text = resources.files("g2face_model.evaluation.report").joinpath("words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
