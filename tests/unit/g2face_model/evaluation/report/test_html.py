"""The page in a browser: it needs nothing but itself, and shows no face that it must not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from made_measurements import MadeMeasurements, everything, recovered
from playwright.sync_api import Browser

from g2face_model.evaluation import scorecard
from g2face_model.evaluation.collection import Collection
from g2face_model.evaluation.findings import Findings, Note, RankedFace, Ranking
from g2face_model.evaluation.report.content import Evaluation
from g2face_model.evaluation.report.html import render
from g2face_model.evaluation.report.markdown import markdown
from g2face_model.evaluation.report.pictures import evaluation

_PROVENANCE = {"model_version": "9", "machine": {"processor": "p", "cores": 2}, "weights": {"w": "0" * 64}}


def _made(*, missed: bool = False, people: int = 3) -> Evaluation:
    made = MadeMeasurements()
    for number in range(people):
        one = np.eye(people)[number]
        file = made.person(f"p{number}", one, one)
        for method in ("g2face", "blur"):
            outcome = {"outcome": "missed"} if missed and method == "g2face" else {}
            made.face(file, method, embedding=np.roll(one, 1), **outcome)
        made.photo(file, "g2face", faces=1, found=1, seconds=1.0, recovered=(recovered(),))
    view = made.view
    load = view.load
    crop = np.full((16, 16, 3), 128, np.uint8)
    object.__setattr__(view, "load", lambda trial, index, name: crop if name == "crop" else load(trial, index, name))
    findings = scorecard.compute(view, ["identity", "utility", "recovery", "cost"])
    return evaluation(view, findings, provenance=_PROVENANCE, show_originals=False)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_opens_offline_and_prints(browser: Browser, tmp_path: Path, language: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(_made(), language=language), encoding="utf-8")
    context = browser.new_context(offline=True, java_script_enabled=False, viewport={"width": 1100, "height": 800})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert page.locator("html").get_attribute("lang") == language
    assert page.locator("#summary .answer").count() == 6
    assert page.locator("#summary .verdict").first.inner_text() in ("Too few to tell", "件数が少なく判断できません")
    assert page.locator("svg").count() >= 4
    assert page.locator("#utility img").count() == 6  # three faces by two methods
    assert "{" not in page.locator("body").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 703, "height": 1031})  # A4 within its margins
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="screen")
    for image in page.locator("img").all():
        assert image.evaluate("own => own.complete && own.naturalWidth > 0")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_summary_of_a_whole_evaluation_is_one_sheet_of_paper(browser: Browser, language: str) -> None:
    view = everything()
    findings = scorecard.compute(view, scorecard.METRICS)
    told = evaluation(view, findings, provenance=_PROVENANCE, show_originals=False)
    page = browser.new_page(viewport={"width": 703, "height": 1031})  # A4 within its margins
    page.emulate_media(media="print")
    page.set_content(render(told, language=language))
    assert page.locator("#summary .verdict", has_text="Not measured").count() == 0
    assert page.locator("#summary .warning").count() >= 4
    assert page.locator("#summary").evaluate("own => own.getBoundingClientRect().bottom") <= 1031
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for section in ("attack", "robustness", "fairness"):
        assert page.locator(f"#{section} svg").count() >= 1
    page.close()


def test_a_face_that_was_overlooked_is_not_shown() -> None:
    told = _made(missed=True)
    assert {method for _, _, method in told.faces} == {"blur"}
    assert "not shown: in the clear" in render(told)


def test_words_from_files_cannot_become_markup() -> None:
    nasty = "<img src=x onerror=alert(1)>.jpg"
    face = RankedFace(nasty, 0, "g2face", {"landmark_nme": 0.1})
    findings = Findings("utility", rankings=(Ranking("moved by g2face", "landmark_nme", (face,)),))
    notes = (Note("failed", {"photograph": nasty, "reason": "no picture"}),)
    page = render(Evaluation(_PROVENANCE, (findings,), notes))
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") == 2


def test_what_was_wrong_with_a_folder_is_told_in_sentences() -> None:
    notes = (
        Note("nobody_named", warning=True),
        Note("column_missing", {"manifest": "people.csv", "column": "file"}, warning=True),
        Note("failed", {"photograph": "a.jpg", "reason": "not a picture"}),
    )
    findings = scorecard.compute(MadeMeasurements().view, ["identity", "utility", "recovery", "cost"])
    page = render(Evaluation(_PROVENANCE, findings, notes))
    for sentence in (
        "No table says who is on the photographs",
        "people.csv has no column file.",
        "a.jpg: not a picture",
        "No face was found on these photographs.",
        "Not measured",
    ):
        assert sentence in page


def test_markdown_holds_the_same_figures_in_tables_of_even_width() -> None:
    text = markdown(_made(), command="make evaluate")
    assert "`make evaluate`" in text
    assert "**Too few to tell.**" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 6
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_collection_of_nothing_has_a_page() -> None:
    empty = MadeMeasurements().view
    assert empty.collection == Collection((), ())
    page = render(evaluation(empty, scorecard.compute(empty, scorecard.METRICS), provenance={}, show_originals=True))
    assert page.count("Not measured") == 6
