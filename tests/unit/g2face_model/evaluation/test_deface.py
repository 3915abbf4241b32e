"""Timed with a stand-in that says what deface says."""

from pathlib import Path

import pytest

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
