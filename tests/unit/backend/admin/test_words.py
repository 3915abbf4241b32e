"""Every word of the console is there in both languages."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from flask import Flask

from backend.accounts import Role
from backend.admin import words
from backend.custody.records import RequestState, WithdrawalState

BACKEND = Path(__file__).parents[4] / "backend"
ADMIN, STYLES = BACKEND / "admin", BACKEND / "doorway" / "static" / "pages.css"
KEYWORDS = {"_": None, "gettext": None, "later": None, "ngettext": (1, 2)}
Message = str | tuple[str, ...]


def used() -> set[Message]:
    """Every message in the code and the templates."""
    found = extract_from_dir(
        ADMIN,
        method_map=[("**.py", "python"), ("templates/**.html", "jinja2")],
        options_map={"templates/**.html": {"trim_blocks": "true"}},
        keywords=KEYWORDS,
        strip_comment_tags=True,
    )
    return {message for _, _, message, _, _ in found}


def translated() -> dict[Message, Message]:
    with (ADMIN / "translations" / "ja.po").open("rb") as file:
        catalog = read_po(file, locale="ja", abort_invalid=True)
    return {_id(message.id): message.string for message in catalog if message.id and not message.fuzzy}


def _id(message: str | list[str] | tuple[str, ...]) -> Message:
    return message if isinstance(message, str) else tuple(message)


def placeholders(text: Message) -> set[str]:
    texts = (text,) if isinstance(text, str) else text
    return {name for one in texts for name in re.findall(r"%\((\w+)\)s", one)}


def test_every_message_has_a_japanese_translation_and_none_is_left_over() -> None:
    known = translated()
    assert len(known) > 200
    assert used() == set(known)
    assert [message for message, said in known.items() if not said or not all(said)] == []


def test_a_translation_says_the_same_names_and_numbers() -> None:
    assert {message for message, said in translated().items() if placeholders(message) != placeholders(said)} == set()


def test_no_template_says_anything_untranslated() -> None:
    """Text between tags that has two words or more and is not in a call."""
    for template in (ADMIN / "templates").glob("*.html"):
        source = template.read_text().replace("g2face admin", "")
        text = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}|<(pre|svg|code)\b.*?</\1>|<[^>]*>", "\n", source, flags=re.S)
        loose = [line.strip() for line in text.splitlines() if re.search(r"[A-Za-z]{2,}\s+[A-Za-z]{2,}", line)]
        loose += re.findall(r'(?:alt|aria-label|title)="[^"{]*[a-z]{3}[^"{]*"', source)
        assert loose == [], template.name


def test_messages_of_other_rooms_are_translated_as_they_are_written_there() -> None:
    sources = [path for path in ADMIN.parent.rglob("*.py") if path != ADMIN / "words.py"]
    trees = [ast.parse(path.read_text()) for path in sources]
    written = " | ".join(
        re.sub(r"\{[^}]*\}", "{}", node.value).lower()
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    for message in words._TOLD_ELSEWHERE:
        told = message.removesuffix(".").lower()
        parts = [part for part in re.split(r" \d+ | to (?=read|list|add)", told) if part]
        assert all(part in written for part in parts), message


@pytest.fixture
def app() -> Flask:
    return Flask(__name__)


@pytest.mark.parametrize(
    ("accepted", "cookie", "language"),
    [
        ("ja,en;q=0.5", None, "ja"),
        ("ja-JP", None, "ja"),
        ("en-US,ja;q=0.5", None, "en"),
        ("fr", None, "en"),
        ("", None, "en"),
        ("en", "ja", "ja"),
        ("ja", "en", "en"),
        ("ja", "xx", "ja"),
    ],
)
def test_the_choice_counts_before_the_browser_s_wish(
    app: Flask, accepted: str, cookie: str | None, language: str
) -> None:
    headers = {"Accept-Language": accepted} | ({"Cookie": f"{words.COOKIE}={cookie}"} if cookie else {})
    with app.test_request_context(headers=headers):
        assert words.language() == language


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_state_and_role_has_a_word_and_a_colour(app: Flask, language: str) -> None:
    tones = set(re.findall(r"^\.(\w+) \{ --tone", STYLES.read_text(), re.MULTILINE))
    with app.test_request_context(headers={"Accept-Language": language}):
        for state in (*RequestState, *WithdrawalState):
            assert words.state(state)
            assert words.tone(state) in tones
        names = [words.role(role) for role in Role]
    assert len(set(names)) == len(Role)
    assert all(name.isascii() for name in names) == (language == "en")


def test_times_and_numbers_read_as_in_the_language(app: Flask) -> None:
    at = datetime(2026, 3, 2, 18, 30, tzinfo=UTC).astimezone(tz=None)
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert words.moment(at) == "2 Mar 2026, 18:30 UTC"
        assert words.number(1234567) == "1,234,567"
        assert words.sentence("the two new passwords differ") == "The two new passwords differ."
    with app.test_request_context(headers={"Accept-Language": "ja"}):
        assert words.moment(at) == "2026年3月2日 18:30 UTC"
        assert words.sentence("the two new passwords differ") == "新しいパスワードが2回で一致しません。"
        assert words.sentence("nobody translated this") == "Nobody translated this."
        assert words.ngettext("%(num)s photo", "%(num)s photos", 3) == "%(num)s枚"
