"""The first page and the tables as Markdown, for documentation that is kept with the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from g2face_model.evaluation.findings import Figure, Findings, Layout
from g2face_model.evaluation.report.content import Evaluation
from g2face_model.evaluation.report.html import MANY_ROWS
from g2face_model.evaluation.report.summary import answers, headlines
from g2face_model.evaluation.report.tables import cases, formatted, rows_of
from g2face_model.evaluation.report.words import Words

_UNTOLD = ("confusion",)  # too wide for a page of text; the report has it, and every method's figures by group


def markdown(evaluation: Evaluation, *, command: str, language: str = "en") -> str:
    """The page; `command` is what makes it again. Raises KeyError for a language there are no words of."""
    words = Words(language)
    lines = [f"# {words.page('results_title')}", ""]
    lines += [words.page("results_text", command=command, photographs=evaluation.photographs), ""]
    lines += [f"- {_plain(words.note(note))}" for note in evaluation.notes if note.code != "failed"]
    for answer in answers(evaluation.findings):
        verdict = "cost" if answer.question == "cost" else answer.verdict
        lines += ["", f"## {words.page(answer.question)}", "", f"**{words.page(f'verdict_{verdict}')}.**", ""]
        lines += [f"- {_plain(words.page(name, **values))}" for name, values in answer.facts]
    lines += ["", f"## {words.page('compared')}", "", *_compared(evaluation, words), ""]
    for own in evaluation.findings:
        lines += [f"## {words.name(own.metric)}", "", *_metric(own, words)]
    machine = evaluation.provenance.get("machine") or {}
    lines += [f"{words.page('model_version')}: {evaluation.provenance.get('model_version')}; "]
    lines += [f"{words.page('machine')}: {machine.get('processor')}, {machine.get('cores')} cores."]
    return "\n".join(lines) + "\n"


def _compared(evaluation: Evaluation, words: Words) -> Iterator[str]:
    yield from _table(
        [words.page("figure"), *map(words.name, evaluation.methods)],
        [
            [words.name(row.name), *(_counted(row.cells.get(method)) for method in evaluation.methods)]
            for row in headlines(evaluation.findings, evaluation.methods)
        ],
    )


def _counted(figure: Figure | None) -> str:
    return formatted(figure) if figure is None else f"{formatted(figure)} / {figure.count}"


def _metric(findings: Findings, words: Words) -> Iterator[str]:
    yield from (f"- {_plain(words.note(note))}" for note in findings.notes)
    yield ""
    for layout in findings.layouts:
        if layout.name not in _UNTOLD and not {"group", "method"} <= {*layout.rows}:
            yield from _layout(layout, findings, words)


def _layout(layout: Layout, findings: Findings, words: Words) -> Iterator[str]:
    table = rows_of(layout, findings.figures)
    if 0 < len(table.rows) <= MANY_ROWS:
        yield f"### {words.name(layout.name)}"
        yield ""
        rows = [[*map(words.name, names), *map(formatted, own), cases(own)] for names, own in table.rows]
        yield from _table([words.name(name) for name in (*table.heading, "cases")], rows)
        yield ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_plain, heading))} |"
    yield "|" + "---|" * len(heading)
    for row in rows:
        yield f"| {' | '.join(map(_plain, row))} |"


def _plain(text: str) -> str:
    """Text that says the same in Markdown, and stays in its cell."""
    return text.replace("\n", " ").replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
