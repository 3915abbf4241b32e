"""Timed with a stand-in that says what deface says."""

from pathlib import Path

import numpy as np
import pytest

from g2face_model.errors import ModelError
from g2face_model.evaluation import deface

_PHOTOGRAPHS = {"a.jpg": b"first", "b.jpg": b"second"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def _command(tmp_path: Path, body: str) -> str:
    command = tmp_path / "deface"
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    return str(command)


def test_all_photographs_are_given_to_one_process(tmp_path: Path, log: Path) -> None:
    loop = (
        f'for photo; do echo "Input:  $photo"; echo "Output: x"; cat "$photo" >> {log}; echo >> {log}; sleep 0.01; done'
    )
    blurring = deface.measure(_command(tmp_path, loop), _PHOTOGRAPHS, repeats=2)
    assert blurring is not None
    assert log.read_text().split() == ["first", "first", "second", "first", "second", "first"]
    assert blurring.total >= 0.01
    assert blurring.startup >= 0
    assert not blurring.peak_megabytes > 50  # it is a shell, if this system tells at all


@pytest.mark.parametrize("body", ["exit 1", 'for photo; do echo "Input:  $photo"; done; exit 3', 'echo "Input:  $1"'])
def test_a_command_that_fails_or_stops_early_gives_nothing(tmp_path: Path, body: str) -> None:
    assert deface.measure(_command(tmp_path, body), _PHOTOGRAPHS, repeats=1) is None


def test_a_command_that_is_not_there_gives_nothing(tmp_path: Path) -> None:
    assert deface.measure(str(tmp_path / "nothing"), _PHOTOGRAPHS, repeats=1) is None


def test_the_picture_that_was_blurred_is_read_again(tmp_path: Path) -> None:
    loop = 'for photo; do echo "Input:  $photo"; cp "$photo" "${photo%.bmp}_anonymized.bmp"; sleep 0.01; done'
    image = np.random.default_rng(0).integers(256, size=(40, 50, 3), dtype=np.uint8)
    defaced = deface.blur(_command(tmp_path, loop), image)
    np.testing.assert_array_equal(defaced.image, image)
    assert defaced.seconds >= 0.01


@pytest.mark.parametrize("body", ["exit 1", 'for photo; do echo "Input:  $photo"; done'])
def test_a_picture_that_was_not_blurred_is_said(tmp_path: Path, body: str) -> None:
    with pytest.raises(ModelError, match="deface failed"):
        deface.blur(_command(tmp_path, body), np.zeros((40, 50, 3), np.uint8))


def test_the_command_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert deface.find() is None
    command = _command(tmp_path, "exit 0")
    assert deface.find() == command
