"""Each exported head goes to the operator's command, without a shell and without a word of what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from sealed_photos import NOW

from backend.admin import heads
from backend.admin.heads import audit_heads
from backend.custody.audit import Head
from backend.custody.heads import decode
from backend.custody.signing import read_public
from backend.errors import AuditError, ConfigError
from backend.settings import Settings

HEAD = Head(5, "a" * 64)


def settings(folder: Path, command: str | None) -> Settings:
    known: dict[str, Any] = {"data_dir": folder, "admin": {"heads_command": command}}
    return Settings(**known)


def test_without_a_command_the_file_is_all(tmp_path: Path) -> None:
    exported = audit_heads(settings(tmp_path, None))
    exported.export(lambda: HEAD, now=NOW)
    assert exported.last() == HEAD
    assert (tmp_path / "admin" / "audit-heads.jsonl").exists()


def test_the_command_gets_each_line(tmp_path: Path) -> None:
    told = tmp_path / "a folder" / "$(told) ; it"
    told.parent.mkdir()
    program = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
    command = f'{sys.executable} -c "{program}" "{told}"'
    exported = audit_heads(settings(tmp_path, command))
    for _ in range(2):
        exported.export(lambda: HEAD, now=NOW)
        exported.deliver()
    lines = told.read_bytes().splitlines(keepends=True)
    assert [decode(line, read_public(tmp_path / "admin" / "signing.pub")).head for line in lines] == [HEAD, HEAD]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{sys.executable} -c \"import sys; sys.stderr.write('a secret'); sys.exit(3)\"", "ended with status 3"),
        ("/nowhere/at/all", "cannot be started"),
        (f"{sys.executable} -c 'import time; time.sleep(20)'", "took longer than"),
    ],
)
def test_one_that_fails_is_told_of(
    tmp_path: Path, command: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heads, "_COMMAND_S", 1)
    exported = audit_heads(settings(tmp_path, command))
    exported.export(lambda: HEAD, now=NOW)
    with pytest.raises(AuditError, match=said) as caught:
        exported.deliver()
    assert "nowhere" not in str(caught.value)
    assert exported.last() == HEAD, "it is in the file all the same"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("command", ["'", "   "])
def test_what_is_no_command_is_refused_at_the_start(tmp_path: Path, command: str) -> None:
    with pytest.raises(ConfigError, match="HEADS_COMMAND"):
        audit_heads(settings(tmp_path, command))
