from __future__ import annotations

from pathlib import Path

import pytest

from worker.demo import label_studio
from worker.demo.label_studio import Person
from worker.demo.processes import DemoError

SECRETS = ("pa55word", "c0ffee" * 6)


def test_secrets_are_no_arguments_and_only_what_is_needed_is_opened(tmp_path: Path) -> None:
    admin = Person("admin@example.org", SECRETS[0])
    program = tmp_path / "bin" / "label-studio"
    given = label_studio.environment(program, tmp_path, "http://localhost:8080", admin=admin, token=SECRETS[1])
    command = " ".join(label_studio.command(program, 8080))
    assert not [secret for secret in SECRETS if secret in command]
    assert "--internal-host 127.0.0.1 --port 8080" in command
    assert given["USER_ADDITIONAL_BANNED_SUBNETS"] == "169.254.0.0/16"
    assert "SSRF_PROTECTION_ENABLED" not in given
    assert given["DISABLE_SIGNUP_WITHOUT_LINK"] == "true"
    assert given["COLLECT_ANALYTICS"] == "false"
    assert not [name for name in given if name.startswith("G2FACE_")]


def test_the_program_of_the_environment_comes_first_then_that_in_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DemoError, match=r"pip install label-studio==1\.23\.2"):
        label_studio.program(tmp_path / "venv")
    for folder in ("elsewhere", "venv/bin"):
        program = tmp_path / folder / "label-studio"
        program.parent.mkdir(parents=True)
        program.touch(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
        assert label_studio.program(tmp_path / "venv") == program


def test_a_label_studio_that_lets_nobody_join() -> None:
    with pytest.raises(DemoError, match="invite link"):
        label_studio.sign_up("http://127.0.0.1:9", "token", Person("a@example.org", "password"))
