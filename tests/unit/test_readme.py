"""What the two READMEs say of settings and files is so, and both say the same."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from backend.admin.__main__ import _parser
from backend.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.ja.md")
DOCUMENTS = (*READMES, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
ENGINES_OWN = "G2FACE_MODEL__WEIGHTS_DIR"
MOST_PICTURES, MOST_PICTURE_BYTES = 8, 250_000
every_readme = pytest.mark.parametrize("readme", READMES)
every_document = pytest.mark.parametrize("document", DOCUMENTS)

_SETTING = re.compile(r"^\| `(G2FACE_\w+)` \| (.*?) \| ?(.*?) ?\|$", re.M)
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
_PICTURE = re.compile(r"!\[([^\]]+)\]\(([^)]+)\)")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def defaults() -> Iterator[tuple[str, Any]]:
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            for inner_name, inner in group.model_fields.items():
                yield f"{PREFIX}{name}__{inner.alias or inner_name}".upper(), inner.default
        else:
            yield f"{PREFIX}{name}".upper(), field.default


def written(default: Any) -> str | None:
    """A default as the table has it; None for one that is not a plain value and is said in words."""
    if default is None or default == ():
        return None
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)


def figures(text: str) -> list[str]:
    """All numbers of the section that tells what was measured. Languages put them in different orders."""
    start, end = text.index('<a id="figures"></a>'), text.index('<a id="limits"></a>')
    return sorted(_NUMBER.findall(text[start:end]))


def admin_commands() -> set[str]:
    """What the admin's command line understands."""
    (commands,) = [one for one in _parser()._actions if isinstance(one, argparse._SubParsersAction)]
    return set(commands.choices)


def heading_anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings, and those that are set by hand."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


@every_readme
def test_every_setting_is_in_the_table_with_its_default(readme: str) -> None:
    told = {name: default for name, default, _ in _SETTING.findall((ROOT / readme).read_text())}
    known = dict(defaults())
    assert told.keys() == {*known, ENGINES_OWN}
    for name, default in known.items():
        if (plain := written(default)) is not None:
            assert told[name] == f"`{plain}`", name


@every_readme
def test_what_is_secret_is_called_so(readme: str) -> None:
    word = {"README.md": "Secret", "README.ja.md": "秘密"}[readme]
    in_example = re.findall(
        r"SECRET[^\n]*\n(?:# [^\n]*\n)*((?:#G2FACE_\w+=[^\n]*\n?)+)", (ROOT / ".env.example").read_text()
    )
    secret = {name for lines in in_example for name in re.findall(r"#(G2FACE_\w+)=", lines)}
    secret -= {"G2FACE_PLUGIN__USER"}  # shares its comment with the password
    called = {name for name, _, text in _SETTING.findall((ROOT / readme).read_text()) if f"**{word}" in text}
    assert called == secret


@every_document
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target, anchor in _LINK.findall(path.read_text()):
        if "://" in target:
            continue
        there = path.parent / target
        assert there.exists(), target
        if anchor:
            assert anchor[1:] in heading_anchors(there.read_text()), f"{target}{anchor}"


@every_readme
def test_links_within_a_readme_lead_somewhere(readme: str) -> None:
    text = (ROOT / readme).read_text()
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= heading_anchors(text)


def test_both_readmes_show_the_same_pictures_and_those_are_small() -> None:
    shown = [[where for _, where in _PICTURE.findall((ROOT / readme).read_text())] for readme in READMES]
    assert shown[0] == shown[1]
    assert 0 < len(shown[0]) <= MOST_PICTURES
    assert {ROOT / where for where in shown[0]} == set((ROOT / "docs" / "screenshots").iterdir())
    for where in shown[0]:
        assert (ROOT / where).stat().st_size < MOST_PICTURE_BYTES, where


def test_both_readmes_tell_the_same_figures() -> None:
    english, japanese = (figures((ROOT / readme).read_text()) for readme in READMES)
    assert len(english) > 50
    assert english == japanese


def test_both_checklists_ask_the_same() -> None:
    english, japanese = ((ROOT / "docs" / name).read_text() for name in ("governance.md", "governance.ja.md"))
    for counted in (r"^## ", r"^\| ", r"^\| \d+ \| ", r"^- \[ \] "):
        numbers = [len(re.findall(counted, text, re.M)) for text in (english, japanese)]
        assert numbers[0] == numbers[1] > 0, counted
    asked, told = (sorted(set(re.findall(r"`(G2FACE_\w+|python[^`]+)`", text))) for text in (english, japanese))
    assert asked == told


@every_document
def test_commands_and_settings_that_are_named_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    known = {*dict(defaults()), ENGINES_OWN}
    assert set(re.findall(r"`?(G2FACE_[A-Z0-9]+__[A-Z0-9_]+[A-Z0-9])\b", text)) <= known
    for words in set(re.findall(r"python -m backend\.admin ([a-z]+(?:-[a-z]+)*)", text)):
        assert words in admin_commands(), words


@every_readme
def test_every_target_of_make_that_is_named_exists(readme: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = (ROOT / readme).read_text()
    named = set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.M))
    assert {"demo", "test"} <= named <= targets
