from __future__ import annotations

import string
import tomllib
from importlib import resources

import pytest

from g2face_model.evaluation.findings import Note
from g2face_model.evaluation.report.words import LANGUAGES, Words

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
        == "Only 3 people could be searched for: read the intervals, not the values."
    )


def test_another_language_is_refused() -> None:
    with pytest.raises(KeyError):
        Words("tlh")
