"""An auditor's tools: a log is taken out whole, and what was done to it is found on a machine that has nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from retention_site import OFFICER, Site, opened
from sealed_photos import NOW, PHOTO, SUBJECT
from sqlalchemy import text

from backend.admin.__main__ import main
from backend.custody.records import NewEvent

Run = Callable[..., str]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def site(data_dir: Path) -> Iterator[Site]:
    """Custody where the settings say, with a subject who was shredded."""
    data_dir.mkdir(mode=0o700)
    vault, keys = (f"sqlite:///{data_dir / name}.sqlite3" for name in ("vault", "keys"))
    with opened(data_dir, vault, keys) as site:
        site.hold(SUBJECT, PHOTO)
        made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
        site.retention.sweep(now=made.due_at)
        (data_dir / "admin" / "heads.jsonl").rename(data_dir / "admin" / "audit-heads.jsonl")
        yield site


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object, status: int = 0) -> str:
        assert main([str(word) for word in words]) == status
        told = capsys.readouterr()
        return told.err if status == 2 else told.out

    return run


@pytest.fixture
def taken_out(site: Site, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The exported log, on a machine without any of our data."""
    site.log.append([NewEvent(OFFICER, "something.later", "x")], now=NOW)
    run("export-audit", tmp_path / "out")
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path / "elsewhere"))
    return tmp_path / "out"


def verify(run: Run, folder: Path, *, status: int = 0) -> str:
    options = ["--heads", folder / "heads.jsonl", "--public", folder / "signing.pub"]
    return run("verify-audit", "--log", folder / "audit.jsonl", *options, status=status)


def test_an_exported_log_is_whole(run: Run, taken_out: Path, tmp_path: Path) -> None:
    said = verify(run, taken_out)
    assert "whole: 6 events" in said
    assert "all 1 signed heads. The last is event 4" in said
    assert "the 2 events behind it" in said
    assert not (tmp_path / "elsewhere").exists(), "an auditor's machine gets no data folder"
    events = [json.loads(line) for line in (taken_out / "audit.jsonl").read_text().splitlines()]
    assert [event["action"] for event in events][-2:] == ["something.later", "audit.exported"]
    assert SUBJECT.subject_id not in (taken_out / "audit.jsonl").read_text()


def test_without_heads_it_says_what_it_cannot_know(run: Run, taken_out: Path) -> None:
    said = run("verify-audit", "--log", taken_out / "audit.jsonl")
    assert "would look the same" in said


@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (lambda lines: [*lines[:1], lines[1].replace("0f0f", "0e0e"), *lines[2:]], "edited: event 2"),
        (lambda lines: [*lines[:1], *lines[2:]], "removed: event 2"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "reordered: event 1"),
        (lambda lines: [*lines[:2], *lines[1:]], "inserted: event 2"),
        (lambda lines: lines[:3], "truncated: the log was cut off before event 4"),
        (lambda lines: [], "truncated: the log was cut off before event 4"),  # noqa: ARG005
        (lambda lines: [*lines, "é\n"], "unreadable: line 7"),
    ],
)
def test_what_was_done_to_it_is_found(
    run: Run, taken_out: Path, forge: Callable[[list[str]], list[str]], found: str
) -> None:
    path = taken_out / "audit.jsonl"
    path.write_text("".join(forge(path.read_text().splitlines(keepends=True))), encoding="utf-8")
    said = verify(run, taken_out, status=1)
    assert found in said
    assert said.endswith("The log is not what it was.\n")


def test_a_long_list_of_findings_is_cut_short(run: Run, taken_out: Path) -> None:
    (taken_out / "audit.jsonl").write_text("x\n" * 50)
    assert "and 31 more" in verify(run, taken_out, status=1)


def test_heads_that_nobody_signed_are_refused(run: Run, taken_out: Path) -> None:
    heads = taken_out / "heads.jsonl"
    heads.write_text(heads.read_text().replace('"seq":4', '"seq":1'))
    assert "line 1 of the heads: the document was changed" in verify(run, taken_out, status=2)


def test_what_is_not_there_is_said_without_its_name(run: Run, taken_out: Path, tmp_path: Path) -> None:
    public = taken_out / "signing.pub"
    for words in (
        ("verify-audit", "--log", tmp_path / "none"),
        ("verify-audit", "--log", taken_out / "audit.jsonl", "--heads", tmp_path / "none", "--public", public),
        ("verify-audit", "--log", taken_out / "audit.jsonl", "--heads", taken_out / "heads.jsonl"),
        ("verify-receipt", tmp_path / "none", "--public", public),
        ("export-audit", taken_out / "audit.jsonl"),
    ):
        said = run(*words, status=2)
        assert said
        assert str(tmp_path) not in said


def test_the_database_itself_is_checked(site: Site, run: Run, data_dir: Path) -> None:
    heads = ["--heads", data_dir / "admin" / "audit-heads.jsonl", "--public", data_dir / "admin" / "signing.pub"]
    assert "whole: 4 events" in run("verify-audit", "--database", *heads)
    with site.vault_engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_events_no_update"))
        connection.execute(text("UPDATE audit_events SET detail = '{\"faces\": 2}' WHERE seq = 1"))
        connection.execute(text("UPDATE audit_events SET at = 'some time' WHERE seq = 3"))
    said = run("verify-audit", "--database", *heads, status=1)
    assert "unreadable: line 1" in said
    assert "unreadable: line 3" in said


def test_a_receipt_is_genuine_and_the_log_bears_it_out(site: Site, run: Run, taken_out: Path, tmp_path: Path) -> None:
    (withdrawal,) = site.retention.withdrawals()
    receipt = site.retention.receipt(withdrawal.withdrawal_id)
    path, public = tmp_path / "receipt.json", taken_out / "signing.pub"
    path.write_text(json.dumps(receipt, indent=2))
    said = run("verify-receipt", path, "--public", public, "--log", taken_out / "audit.jsonl")
    assert "genuine" in said
    assert f"key {receipt['document']['destroyed_key_id']} was destroyed" in said
    assert "the log has its event" in said
    other = taken_out / "other.jsonl"
    other.write_text("".join((taken_out / "audit.jsonl").read_text().splitlines(keepends=True)[:3]))
    said = run("verify-receipt", path, "--public", public, "--log", other, status=1)
    assert "the log does not have its event" in said
    for forged in (json.dumps(receipt).replace(withdrawal.withdrawal_id, "1" * 32), "x", "{}", "[" * 100_000):
        path.write_text(forged)
        assert "not genuine" in run("verify-receipt", path, "--public", public, status=1)
