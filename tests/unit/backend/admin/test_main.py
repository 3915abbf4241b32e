"""The admin's command line makes the master key once and never replaces it."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from backend.admin.__main__ import main
from backend.custody import master, seal
from backend.custody.unseal import MasterKey


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_master_key_is_made_where_only_its_owner_reads_it(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init-keys"]) == 0
    private_path, public_path = data_dir / "admin" / "master.key", data_dir / "master.pub"
    assert stat.S_IMODE(private_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(private_path.parent.stat().st_mode) == 0o700
    public_key = master.read_public(public_path)
    assert MasterKey(private_path).public_key == public_key
    shown = capsys.readouterr()
    assert seal.key_id(public_key).hex() in shown.out
    assert private_path.read_text().split()[-1][:20] not in shown.out + shown.err


def test_a_second_time_nothing_is_replaced(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init-keys"])
    before = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    assert main(["init-keys"]) == 2
    assert {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()} == before
    assert "File exists" in capsys.readouterr().err


def test_a_lost_public_file_is_written_anew(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init-keys"])
    before = (data_dir / "master.pub").read_bytes()
    (data_dir / "master.pub").unlink()
    assert main(["init-keys"]) == 0
    assert (data_dir / "master.pub").read_bytes() == before
    assert "anew" in capsys.readouterr().out


def test_a_public_file_whose_private_one_is_elsewhere_is_not_replaced(data_dir: Path) -> None:
    main(["init-keys"])
    (data_dir / "admin" / "master.key").rename(data_dir / "taken away")
    before = (data_dir / "master.pub").read_bytes()
    assert main(["init-keys"]) == 2
    assert (data_dir / "master.pub").read_bytes() == before
    assert not (data_dir / "admin" / "master.key").exists()


def test_a_private_file_that_others_can_read_is_refused(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init-keys"])
    (data_dir / "master.pub").unlink()
    (data_dir / "admin" / "master.key").chmod(0o644)
    assert main(["init-keys"]) == 2
    assert "mode 0600" in capsys.readouterr().err
    assert not (data_dir / "master.pub").exists()


def test_files_lie_where_the_settings_say(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G2FACE_CUSTODY__MASTER_PRIVATE_KEY_FILE", str(tmp_path / "safe" / "key"))
    monkeypatch.setenv("G2FACE_CUSTODY__MASTER_PUBLIC_KEY_FILE", str(tmp_path / "open" / "key"))
    assert main(["init-keys"]) == 0
    assert MasterKey(tmp_path / "safe" / "key").public_key == master.read_public(tmp_path / "open" / "key")
    assert not data_dir.exists()


def test_a_mistyped_setting_makes_no_key(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("G2FACE_CUSTODY__MASTER_PRIVAT_KEY_FILE", "x")
    assert main(["init-keys"]) == 2
    assert "G2FACE_CUSTODY__MASTER_PRIVAT_KEY_FILE" in capsys.readouterr().err
    assert not data_dir.exists()


def test_whatever_is_logged_goes_through_the_fences(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    try:
        assert main(["init-keys"]) == 0
        logging.getLogger("a.library").error("could not reach postgresql://me:secret@db of jane@example.org")
    finally:
        root.handlers[:] = before
    shown = capsys.readouterr().err
    assert "could not reach" in shown
    assert "secret" not in shown
    assert "jane" not in shown
    assert data_dir.exists()


def test_it_runs_as_a_program_and_explains_itself(data_dir: Path) -> None:
    command = [sys.executable, "-m", "backend.admin"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
    usage = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert usage.returncode == 2
    assert "init-keys" in usage.stderr
    made = subprocess.run([*command, "init-keys"], env=environment, capture_output=True, timeout=120, check=False)
    assert made.returncode == 0
    assert (data_dir / "master.pub").exists()
