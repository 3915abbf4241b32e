from __future__ import annotations

import ast
import string
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from made_measurements import everything

from g2face_model import evaluation
from g2face_model.evaluation import scorecard
from g2face_model.evaluation.bench import READ, STAGES, WRITE
from g2face_model.evaluation.conditions import CONDITIONS
from g2face_model.evaluation.findings import Note
from g2face_model.evaluation.measurements import MISSED
from g2face_model.evaluation.methods import METHODS
from g2face_model.evaluation.metrics import fairness
from g2face_model.evaluation.report.words import LANGUAGES, Words
from g2face_model.evaluation.scorecard import METRICS
from g2face_model.expression import EXPRESSIONS

_PROPER = ("recogniser", "group", "attribute")  # kinds of names that are brought by others and shown as they are
_PROPER_SPACES = ("judge", "blur")

_TABLE = tomllib.loads(
    resources.files("g2face_model.evaluation.report").joinpath("words.toml").read_text(encoding="utf-8")
)


def _holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize(("section", "key"), [(section, key) for section, entries in _TABLE.items() for key in entries])
def test_every_entry_says_the_same_values_in_every_language(section: str, key: str) -> None:
    texts = _TABLE[section][key]
    assert len(texts) == len(LANGUAGES)
    assert all(texts)
    assert len({frozenset(_holes(text)) for text in texts if section == "notes"}) <= 1


def test_names_that_end_with_another_name_are_put_together() -> None:
    assert Words("en").name("g2face without dlib") == "G2Face without dlib"
    assert Words("en").name("moved by pixelate") == "Landmarks moved by pixelation"
    assert "モザイク" in Words("ja").name("moved by pixelate")


def test_what_has_no_words_is_shown_as_it_is() -> None:
    words = Words("en")
    assert words.name("brand_new") == "brand new"
    assert words.note(Note("strange_thing", {"method": "pixelate"})) == "strange thing: method: pixelate"
    assert words.about("brand_new") == ""
    assert (
        words.note(Note("few_people", {"people": 3}))
        == "People who could be searched for: 3. That is few: read the intervals, not the values."
    )


def test_whatever_a_report_can_show_has_words() -> None:
    """Names that people or files bring (recognisers, attributes, groups) stand for themselves."""
    shown = {*METRICS, *METHODS, *CONDITIONS, *EXPRESSIONS, *_outcomes(), *_skin_tones(), *_stages()}
    for own in scorecard.compute(everything(), METRICS):
        shown |= {ranking.by for ranking in own.rankings}
        shown |= {name for layout in own.layouts for name in (layout.name, *layout.rows, *layout.columns)}
        for figure in own.figures:
            shown |= {figure.name, *figure.by}
            shown |= {value for key, value in figure.by.items() if key not in _PROPER and value not in _PROPER_SPACES}
    told = {name for name in shown if name.startswith(("g2face without", "moved by")) or name.endswith("_gap")}
    assert {"sunglasses", "key_told", "ridge of both keys", "linear", "seam", "brown", "png"} <= shown
    assert sorted(shown - told - _TABLE["names"].keys()) == []


def test_every_note_has_words() -> None:
    package = Path(evaluation.__file__).parent
    codes = {code for path in package.rglob("*.py") for code in _codes(ast.parse(path.read_text(encoding="utf-8")))}
    assert {"few_to_learn_from", "one_group", "too_few_faces"} <= codes
    assert sorted(codes - _TABLE["notes"].keys()) == []


def _codes(tree: ast.AST) -> Iterator[str]:
    """The first argument of every Note(...), both sides of a choice, and whatever is called `code`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Note" and node.args:
            yield from _texts(node.args[0])
        elif isinstance(node, ast.Assign) and [getattr(own, "id", "") for own in node.targets] == ["code"]:
            yield from _texts(node.value)


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
    elif isinstance(node, ast.Constant):
        yield node.value


def _outcomes() -> set[str]:
    return {"anonymized", "covered", MISSED, "blurred", "pixelated"}


def _skin_tones() -> set[str]:
    return {fairness.skin_class(angle) for angle in (70, 50, 35, 20, 0, -50)}


def _stages() -> set[str]:
    return set(STAGES) - {READ, WRITE}  # an evaluation does not time files


def test_another_language_is_refused() -> None:
    with pytest.raises(KeyError):
        Words("tlh")
