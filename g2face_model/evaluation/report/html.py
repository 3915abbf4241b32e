"""The report: one HTML file that opens offline, from what the metrics found.

`render` is pure: it gets everything as an `Evaluation` and gives the page. Tables follow from each metric's layouts
(`tables.rows_of`), so a new metric needs words, not code. Only anonymized faces are shown unless the evaluation brings
`originals`.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from g2face_model import images
from g2face_model.evaluation.findings import Findings, Layout, Note
from g2face_model.evaluation.report import drawing
from g2face_model.evaluation.report.content import Evaluation
from g2face_model.evaluation.report.pictures import chosen
from g2face_model.evaluation.report.summary import LIMITS, answers, headlines
from g2face_model.evaluation.report.tables import MORE_IS_BETTER, cases, formatted, rows_of
from g2face_model.evaluation.report.words import Words
from g2face_model.types import Image

_HEATED = ("confusion",)  # tables whose cells are coloured by their shares
MANY_ROWS = 24  # a longer table is folded
_MANY_WARNINGS, _MANY_GAPS = 3, 6
_GAPS = ("gap_upwards", "gap_downwards")  # between groups of people, which a manager has to see


def render(evaluation: Evaluation, *, language: str = "en") -> str:
    """The page. Raises KeyError for a language there are no words of."""
    words = Words(language)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("g2face_model.evaluation.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"formatted": formatted, "cases": cases, "word": words.name}
    environment.filters |= {"picture": picture, "shown": _shown}
    environment.tests["about_known"] = lambda name: bool(words.about(name))
    environment.globals |= {"say": words.page, "told": words.note, "about": words.about}
    warnings = [note for note in evaluation.notes if note.warning and note.code != "failed"]
    return environment.get_template("report.html").render(
        evaluation=evaluation,
        language=language,
        answers=answers(evaluation.findings),
        headlines=headlines(evaluation.findings, evaluation.methods),
        limits={name: f"{value:.0f}" if value > 1 else f"{100 * value:g} %" for name, value in LIMITS.items()},
        warnings=[*warnings, *_foremost(evaluation.findings)],
        failures=[note for note in evaluation.notes if note.code == "failed"],
        rows_of=rows_of,
        charts_of=functools.partial(drawing.charts, words=words, methods=evaluation.methods),
        columns_of=_columns,
        chosen=chosen,
        up=MORE_IS_BETTER,
        heated=_HEATED,
        many=MANY_ROWS,
    )


def _foremost(findings: Sequence[Findings]) -> Iterator[Note]:
    """The warnings of all metrics; those of which a metric has many are counted here and told in its section."""
    for own in findings:
        warnings = [note for note in own.notes if note.warning]
        codes = [note.code for note in warnings]
        folded = {code for code in codes if codes.count(code) > (_MANY_GAPS if code in _GAPS else _MANY_WARNINGS)}
        yield from (note for note in warnings if note.code not in folded)
        many = sum(code in folded for code in codes)
        if many:
            yield Note("more_warnings", {"count": many, "section": own.metric}, warning=True)


def picture(crop: Image, quality: int = 88) -> Markup:
    """A crop (S, S, 3) as the address of a picture that is in the page itself."""
    data = base64.b64encode(images.encode(crop, "jpeg", quality=quality)).decode()
    return Markup("data:image/jpeg;base64,{}").format(data)


def _columns(findings: Findings) -> list[str]:
    """The names of figures that a metric's tables have as columns, each once."""
    layouts: tuple[Layout, ...] = findings.layouts
    return list(dict.fromkeys(name for layout in layouts for name in layout.columns))


def _shown(value: Any) -> str:
    """A value of the provenance."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return str(value)
