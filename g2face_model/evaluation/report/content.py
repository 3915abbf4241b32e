"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from g2face_model.evaluation.findings import Findings, Note
from g2face_model.types import Image

FaceName = tuple[str, int, str]  # photograph, index, method; NONE for the original


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything a report tells. `photographs` and `found`: how many, and faces on them; `methods` that are compared;
    `faces` are crops (S, S, 3) of the faces that rankings name; `originals` hold the same faces as they were, empty
    unless they are to be shown. `alone`: no files with the numbers lie beside the page."""

    provenance: Mapping[str, Any]
    findings: tuple[Findings, ...]
    notes: tuple[Note, ...] = ()
    faces: Mapping[FaceName, Image] = field(default_factory=dict)
    originals: Mapping[FaceName, Image] = field(default_factory=dict)
    photographs: int = 0
    found: int = 0
    methods: tuple[str, ...] = ()
    alone: bool = False
