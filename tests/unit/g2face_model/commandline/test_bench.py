"""What bench is given and what it says; how fast anything is, no test can tell."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import photo

from g2face_model import images
from g2face_model.commandline import bench
from g2face_model.evaluation.bench import STAGES, Timings
from g2face_model.evaluation.deface import Blurring

_TIMINGS = Timings(2, 4, 3, 9, dict.fromkeys(STAGES, 0.1), 1.2)


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    bench.add_parser(parser.add_subparsers())
    return bench.run(parser.parse_args(["bench", *arguments]))


def test_stages_are_shown_per_photo_and_per_face() -> None:
    lines = [line.split() for line in bench._stages_table(_TIMINGS).splitlines()]
    assert lines[1] == ["read", "0.100", "0.050", "8.3"]
    assert lines[-1] == ["total", "1.200", "0.600", "100.0"]
    assert len(lines) == len(STAGES) + 2


def test_deface_stands_beside_it_with_ratios() -> None:
    table = bench._rivals_table(_TIMINGS, Blurring(0.4, 1.0, 300.0), startup=4.0, megabytes=900.0)
    assert table.splitlines()[0] == "2 photographs, 4 faces, 3 of them released, 9 attempts"
    ends = [line.split()[-3:] for line in table.splitlines()[2:]]
    assert ends == [
        ["1.200", "0.400", "3.00"],
        ["0.600", "0.200", "3.00"],
        ["1.67", "5.00", "0.33"],
        ["4.0", "1.0", "4.00"],
        ["900", "300", "3.00"],
    ]


def test_without_deface_its_column_is_empty() -> None:
    table = bench._rivals_table(_TIMINGS, None, startup=4.0, megabytes=900.0)
    assert {tuple(line.split()[-2:]) for line in table.splitlines()[2:]} == {("-", "-")}


def test_photographs_without_faces_have_no_seconds_per_face() -> None:
    timings = Timings(2, 0, 0, 0, {}, 1.2)
    assert bench._stages_table(timings).splitlines()[-1].split() == ["total", "1.200", "-", "100.0"]
    assert bench._rivals_table(timings, None, startup=1.0, megabytes=1.0).splitlines()[3].split()[3:] == ["-", "-", "-"]


def test_photographs_are_read_once_and_handed_on_as_jpeg(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.encode(photo(24, 32), "png"))
    (tmp_path / "notes.txt").write_text("no picture")
    given = bench._given([tmp_path])
    assert list(given) == ["a.png"]
    assert given["a.png"][:2] == b"\xff\xd8"
    assert images.decode(given["a.png"]).shape == (24, 32, 3)


def test_the_samples_are_square_and_large() -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    assert {images.decode(data).shape for data in bench._samples().values()} == {(1000, 1000, 3)}


def test_a_square_is_cut_from_the_top_and_the_middle() -> None:
    image = photo(60, 40)
    image[:40] = 255
    assert bench._square(image).min() == 255
    wide = photo(40, 60)
    wide[:, 10:50] = 255
    assert bench._square(wide).min() == 255


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing-here"], "no such file or folder: nothing-here"),
        (["--repeats", "0"], "have to be at least 1"),
        (["."], "there is no picture in that folder"),
    ],
)
def test_bad_usage_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(*arguments) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot keep a process on some cores")
def test_a_process_stays_on_as_many_cores_as_it_is_given() -> None:
    code = (
        "import os; from g2face_model.commandline.bench import _stay_on as s; s(1); print(len(os.sched_getaffinity(0)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
