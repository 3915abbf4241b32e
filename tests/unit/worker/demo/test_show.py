"""What fails before anything runs; the rest is tests/end_to_end/test_demo.py."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from worker.demo.show import Options, show


def test_without_label_studio_one_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    before = signal.getsignal(signal.SIGTERM)
    status = show(Options(once=True, folder=None, data_dir=tmp_path / "out", venv=tmp_path / "venv"))
    assert status == 1
    assert "there is no Label Studio: python3 -m venv" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("in the way")
    assert show(Options(once=True, folder=None, data_dir=tmp_path / "out")) == 1
    assert "a folder for this run cannot be made" in capsys.readouterr().out
