"""The report: one HTML file that opens offline, from what the metrics found.

`render` is pure: it gets everything as an `Evaluation` and gives the page. Tables follow from each metric's layouts
(`tables.rows_of`), so a new metric needs words, not code. Only anonymized faces are shown unless the evaluation brings
`originals`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jinja2

from g2face_model.evaluation.findings import Findings, Note
from g2face_model.evaluation.report.tables import formatted, rows_of
from g2face_model.types import Image

FaceName = tuple[str, int, str]  # photograph, index, method; NONE for the original


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything a report tells. `faces` are crops (S, S, 3) of the faces that rankings name; `originals` hold the same
    faces as they were, empty unless they are to be shown."""

    provenance: Mapping[str, Any]
    findings: tuple[Findings, ...]
    notes: tuple[Note, ...] = ()
    faces: Mapping[FaceName, Image] = field(default_factory=dict)
    originals: Mapping[FaceName, Image] = field(default_factory=dict)


def render(evaluation: Evaluation) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("g2face_model.evaluation.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["formatted"] = formatted
    template = environment.get_template("report.html")
    return template.render(evaluation=evaluation, rows_of=rows_of)
