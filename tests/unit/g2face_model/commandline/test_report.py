import io
import json
from pathlib import Path

import numpy as np
from pictures import photo
from pixelation import Pixelation

from g2face_model import images
from g2face_model.commandline import report
from g2face_model.evaluation.figures import summarise
from g2face_model.evaluation.identification import Share
from g2face_model.evaluation.pairs import Identification

_FOUND = Identification("dlib", Share(1, 50), Share(5, 50), Share(2, 50), Share(6, 50), Share(10, 50), 0.625)


def test_findings_are_json_lines_as_they_come() -> None:
    lines = io.StringIO()
    report.Report(lines).record("identification", _FOUND, gate="all")
    report.Report(lines).record("run", {"seconds": float("nan")})
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert (first["kind"], first["gate"], first["recogniser"]) == ("identification", "all", "dlib")
    assert first["rank_one"]["hits"] == 10
    assert second == {"kind": "run", "seconds": None}


def test_who_is_found() -> None:
    heading, row = report.found_table([("after", _FOUND)]).splitlines()
    assert heading.split()[:3] == ["recogniser", "probes", "people"]
    assert row.split() == ["dlib", "after", "50", "2.0", "(0-10)", "10.0", "(4-21)", "20.0", "(11-33)", "0.62"]
    assert report.matches_table([("after", _FOUND)]).splitlines()[1].split()[3::2] == ["4.0", "12.0"]


def test_a_set_without_faces_has_dashes() -> None:
    row = report.faces_table([("empty", summarise([]))]).splitlines()[1].split()
    assert row == ["empty", "0", "0", *["-"] * 8]
    assert report.reasons_table([("empty", summarise([]))]).splitlines()[1].split() == ["empty", "0"]


def test_sheets_are_full_and_the_last_one_holds_the_rest(tmp_path: Path) -> None:
    sheets, original = report.Sheets(tmp_path / "sheets", "pairs"), photo()
    result = Pixelation().anonymize(original, lambda _: bytes(range(32)))
    for number in range(report.FACES_PER_SHEET // 2 + 1):
        sheets.add(f"{number}.png", original, result)
    sheets.close()
    sheets.close()
    drawn = {path.name: images.decode(path.read_bytes()).shape for path in (tmp_path / "sheets").iterdir()}
    assert sorted(drawn) == ["pairs-1.png", "pairs-2.png"]
    assert np.prod(drawn["pairs-1.png"]) > np.prod(drawn["pairs-2.png"])


def test_without_a_folder_there_are_no_sheets(tmp_path: Path) -> None:
    sheets = report.Sheets(None, "pairs")
    sheets.add("a.png", photo(), Pixelation().anonymize(photo(), lambda _: bytes(range(32))))
    sheets.close()
    assert not list(tmp_path.iterdir())
