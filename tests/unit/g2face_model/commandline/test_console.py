"""What commands say goes to the right stream, and a reader who leaves stops nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from g2face_model.commandline import console


def test_lines_go_to_stdout_and_bad_news_to_both(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = {"name": "a", "status": "fine"}, {"name": "b", "status": "failed", "error": "too dark"}
    assert console.emit(good) is good
    console.emit(bad)
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.out.splitlines()] == [good, bad]
    assert printed.err == "b: too dark\n"


def test_usage_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.usage("no such file") == 2
    assert capsys.readouterr().err == "g2face_model: no such file\n"


def test_a_reader_who_leaves_stops_nothing() -> None:
    code = (
        "from g2face_model.commandline.console import emit, say\n"
        "for number in range(20000): emit({'name': str(number)})\n"
        "say('done')"
    )
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == '{"name": "0"}\n'
        process.stdout.close()
        assert process.stderr.read() == "done\n"
    assert process.returncode == 0
