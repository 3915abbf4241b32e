"""The command on a few real people with a small engine that covers faces, or none at all."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from covering import Covering

from g2face_model.commandline import figures
from g2face_model.config import GateConfig
from g2face_model.errors import ModelError
from g2face_model.types import Verdict
from g2face_model.weights import WeightStore


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights-dir", type=Path)
    figures.add_parser(parser.add_subparsers())
    return figures.run(parser.parse_args(["figures", *arguments]))


@pytest.fixture
def engines(store: WeightStore, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The engines that were asked for; each one covers faces and says that they are released."""
    asked: list[dict[str, object]] = []
    verdict = Verdict("anonymized", {"dlib": 0.5}, landmark_nme=0.02, expression_agreement=0.9, attempts=1)

    def engine(_: figures.Session, **options: object) -> Covering:
        asked.append(options)
        return Covering(store, verdict)

    monkeypatch.setattr(figures.Session, "_engine", engine)
    return asked


@pytest.fixture
def few_faces(faces_dir: Path, tmp_path: Path) -> Path:
    """Two people and one scene with one face, to be quick."""
    faces = tmp_path / "faces"
    rows = ["file,person,label,attributes"]
    for target, source, person in (
        ("pairs/1.jpg", "pairs/0001.jpg", "a"),
        ("pairs/2.jpg", "pairs/0051.jpg", "a"),
        ("pairs/3.jpg", "pairs/0003.jpg", "b"),
        ("pairs/4.jpg", "pairs/0053.jpg", "b"),
        ("scenes/1.jpg", "portraits/0001.jpg", ""),
    ):
        (faces / target).parent.mkdir(parents=True, exist_ok=True)
        (faces / target).symlink_to(faces_dir / source)
        rows.append(f"{target},{person},,gender={person}")
    (faces / "manifest.csv").write_text("\n".join(rows))
    return faces


def test_every_part_of_the_evaluation_runs(
    few_faces: Path, tmp_path: Path, engines: list[dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    json_path = tmp_path / "new" / "figures.jsonl"
    status = _run(
        *(str(few_faces), "--threads", "1"),
        *("--rotate", "--trade-off", "--judges", "dlib", "--margins", "2", "--shape-changes"),
        *("--sheets", str(tmp_path / "sheets"), "--json", str(json_path)),
    )
    assert status == 0
    strong = GateConfig(similarity_margin=2.0)
    assert engines == [{}, {"judge": "dlib"}, {"judge": "dlib", "gate": strong}]

    printed = capsys.readouterr().out
    titles = (
        "Who is found when",
        "The same by the",
        "What became",
        "Why faces",
        "Who is found by",
        "The same by group",
    )
    assert all(title in printed for title in (*titles, "How strong"))
    lines = [json.loads(line) for line in json_path.read_text().splitlines()]
    kinds = Counter(line["kind"] for line in lines)
    assert kinds["run"] == 1
    assert kinds["photograph"] == 2 * 3 + 1
    assert kinds["trade-off"] == 1
    before = [line for line in lines if line["kind"] == "identification" and line["probes"] == "before"]
    assert {line["gate"] for line in before} == {"all", "without dlib"}
    assert all(line["calibrated_loose"]["hits"] == line["calibrated_loose"]["total"] == 2 for line in before)
    summaries = {line["set"]: line for line in lines if line["kind"] == "summary"}
    assert {"pairs", "scenes", "scenes, 40 px and more", "pairs, gender=a"} <= set(summaries)
    assert summaries["pairs"]["released"]["hits"] == 2
    assert summaries["pairs"]["nme_mean"] == 0.02
    sheets = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert sheets == ["margin-2-dlib-1.png", "pairs-1.png", "scenes-1.png", "without-dlib-1.png"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--judges", "oracle"], "no such recogniser: oracle; there are dlib"),
        (["--limit", "0"], "--limit has to be at least 1"),
    ],
)
def test_bad_usage_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert _run(str(tmp_path), *arguments) == 2
    assert reason in capsys.readouterr().err


def test_a_folder_without_a_manifest_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="manifest"):
        _run(str(tmp_path))


def test_the_engine_is_the_shipped_one_but_for_what_is_asked(
    store: WeightStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    monkeypatch.setattr("g2face_model.build.build_anonymizer", built.append)
    args = argparse.Namespace(
        faces=tmp_path,
        folders=["pairs"],
        engine="g2face",
        device="cpu",
        threads=1,
        weights_dir=store.directory,
        sheets=None,
        limit=1,
    )
    session = figures.Session(args, [], figures.Report(None), judges=["dlib"])  # type: ignore[arg-type]
    session._engine()
    session._engine(judge="dlib", shape_change=0.5)
    shipped, other = built
    assert shipped.engine == "g2face"
    assert "dlib" in shipped.recognisers
    assert set(shipped.recognisers) - set(other.recognisers) == {"dlib"}
    assert dataclasses.replace(other, recognisers=shipped.recognisers, shape_change=shipped.shape_change) == shipped
    assert other.shape_change == 0.5


def test_one_strength_changes_at_a_time() -> None:
    assert figures._settings([0.5], [0.0]) == [
        ("margin 0.5", {"gate": GateConfig(similarity_margin=0.5)}),
        ("shape change 0", {"shape_change": 0.0}),
    ]
