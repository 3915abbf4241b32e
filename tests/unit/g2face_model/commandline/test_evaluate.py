"""The command on two portraits and what is wrong with a folder, with quick methods in the engine's place."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quick_methods import quick_methods as quick_methods
from sample_portraits import portrait

from g2face_model import images
from g2face_model.commandline import evaluate
from g2face_model.errors import ModelError

_METRICS = ("identity", "utility", "recovery", "cost")
pytestmark = pytest.mark.usefixtures("store")


def _run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights-dir", type=Path)
    evaluate.add_parser(parser.add_subparsers())
    return evaluate.run(parser.parse_args(["evaluate", *map(str, arguments), "--jobs", "1"]))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two people with two photographs, a landscape and a file that is no picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        image = portrait(number)
        (folder / f"p{number}-1.png").write_bytes(images.encode(image, "png"))
        (folder / f"p{number}-2.jpg").write_bytes(images.encode(np.ascontiguousarray(image[:, ::-1]), "jpeg"))
    (folder / "landscape.png").write_bytes(images.encode(np.full((60, 80, 3), 90, np.uint8), "png"))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    rows = [
        "file,person",
        *(f"p{number}-{of}.{end},p{number}" for number in range(2) for of, end in ((1, "png"), (2, "jpg"))),
    ]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _figures(report: Path, name: str, **by: str) -> list[float]:
    lines = [line for line in _lines(report / "metrics.jsonl") if line["kind"] == "figure" and line["name"] == name]
    return [line["value"] for line in lines if by.items() <= line["by"].items()]


@pytest.mark.usefixtures("quick_methods")
def test_a_folder_becomes_a_report_and_figures(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "new" / "report"
    options = ("--out", report, "--baseline", "pixelate", "--metrics", *_METRICS, "--price-per-hour", 1)
    assert _run(photos, *options) == 0
    assert "photographs: 4, faces: 2, failed: 1" in capsys.readouterr().err
    assert _figures(report, "rank_one", method="none") == [1.0] * 3
    assert _figures(report, "bit_exact") == [1.0, 1.0]
    assert _figures(report, "covered") == [1.0, 1.0]
    assert len(_figures(report, "price_per_1000")) == 2
    codes = [line["code"] for line in _lines(report / "metrics.jsonl") if line["kind"] == "note"]
    assert "few_people" in codes
    page = (report / "report.html").read_text()
    assert "broken.jpg" in page
    assert "http" not in page.replace("http://www.w3.org", "")

    before = (report / "measurements.jsonl").read_bytes()
    assert _run(photos, *options) == 0
    after = (report / "measurements.jsonl").read_bytes()
    assert after.startswith(before)
    again = [json.loads(line) for line in after[len(before) :].splitlines()]
    assert {line["trial"]["photograph"] for line in again} == {"broken.jpg"}  # only what failed is tried again


@pytest.mark.usefixtures("quick_methods")
def test_judges_are_left_out_in_turn_where_people_can_be_searched(photos: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    assert _run(photos, "--out", report, "--baseline", "none", "--metrics", "identity", "--limit", 2) == 0
    for name in ("dlib", "faceres", "mobileface"):
        assert len(_figures(report, "rank_one", method=f"g2face without {name}", role="no part")) >= 1
    assert not _figures(report, "rank_one", method="pixelate")


@pytest.mark.usefixtures("quick_methods")
def test_a_folder_of_nothing_but_landscapes_has_a_report_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, report = tmp_path / "photos", tmp_path / "report"
    photos.mkdir()
    (photos / "landscape.png").write_bytes(images.encode(np.full((60, 80, 3), 90, np.uint8), "png"))
    assert _run(photos, "--out", report, "--metrics", *_METRICS) == 0
    codes = {line["code"] for line in _lines(report / "metrics.jsonl") if line["kind"] == "note"}
    assert {"nobody_named", "nobody_to_search", "no_faces", "nothing_to_recover"} <= codes
    told = capsys.readouterr().err
    assert "No table says who is on the photographs" in told
    assert "faces: 0" in told
    assert (report / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--limit", 0), "have to be at least 1"),
        (("--threads", 0), "have to be at least 1"),
        (("--baseline", "oracle"), "no such method: oracle; there are"),
        (("--metrics", "luck"), "no such metric: luck; there are identity"),
    ],
)
def test_bad_usage_is_said(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], reason: str
) -> None:
    assert _run(photos, "--out", tmp_path / "report", *options) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_folders_that_cannot_serve_are_said(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for source, out, reason in (
        (tmp_path / "gone", tmp_path / "report", "no such folder: gone"),
        (tmp_path / "file", tmp_path / "report", "PHOTOS has to be a folder: file"),
        (tmp_path / "empty", tmp_path / "report", "no picture in that folder"),
        (photos, photos, "--out has to be a folder"),
        (photos, tmp_path / "file", "--out has to be a folder"),
    ):
        assert _run(source, "--out", out) == 2
        assert reason in capsys.readouterr().err


def test_a_table_that_was_named_has_to_be_there(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.csv"):
        _run(photos, "--out", tmp_path / "report", "--pairs", tmp_path / "gone.csv")
