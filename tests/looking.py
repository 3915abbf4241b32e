"""A stand-in for a pilot's examination that looks at pixels alone: the way there is tested without networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from g2face_model.evaluation.pilot import Specimen


class Looker:
    """Counts how many pixels were changed in each photo. `seen`: all it was handed, but for the pixels."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.people: list[str] = []

    def look(self, specimen: Specimen) -> None:
        changed = int((specimen.original != specimen.published).any(axis=2).sum())
        exact = "exact" if specimen.bit_exact else "marked"
        self.seen.append(f"{specimen.name}: {changed} px changed on {len(specimen.faces)} faces, {exact}")
        self.people.append(specimen.person)
        assert changed > 0, "nothing but the published picture came back"
        assert specimen.sealed_bytes > 0
        assert np.asarray(specimen.original).dtype == np.uint8

    def pages(self, *, asked: int) -> dict[str, str]:
        told = "".join(f"<li>{line}</li>" for line in self.seen)
        counts = f"{len(self.seen)} of {asked}"
        return {language: f"<h1>{language}: {counts}</h1><ul>{told}</ul>" for language in ("en", "ja")}
