"""Both doors begin with one style sheet, and say only what is their own in theirs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from backend.doorway import style

BACKEND = Path(style.__file__).parents[1]
SHARED = BACKEND / "doorway/static/pages.css"


def test_the_style_sheet_is_served() -> None:
    app = Flask(__name__)
    app.register_blueprint(style.blueprint())
    answer = app.test_client().get("/shared/pages.css")
    assert (answer.status_code, answer.mimetype) == (200, "text/css")
    assert answer.data == SHARED.read_bytes()
    answer.close()


@pytest.mark.parametrize("door", ["admin", "intake"])
def test_every_value_that_a_style_sheet_uses_is_set(door: str) -> None:
    text = SHARED.read_text() + (BACKEND / door / f"static/{door}.css").read_text()
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= set(re.findall(r"(--[\w-]+):", text))
