"""Somebody who may write to the vault's database, as a worker may and its administrator: nothing opens for them, what
they tried is in the log, and what they put back is found."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import admin_office
import pytest
from admin_office import APPROVES, ASKS, KEEPS, Restricted
from intake_counter import Clock
from recovery_site import picture

from backend.admin import __main__ as command_line
from backend.custody.records import RequestState
from backend.errors import AuditError, RequestStateError
from backend.ledger.records import Photo

LATER = "2036-01-01 00:00:00.000000"


@pytest.fixture
def restricted(tmp_path: Path) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data", clock=Clock()) as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    return restricted.photo(restricted.project(), picture(60, 80), subject_id="Ada")


def written(restricted: Restricted, statement: str, *values: object) -> None:
    """What the database takes from whoever has rights to write to it."""
    with closing(sqlite3.connect(restricted.folder / "vault.sqlite3")) as connection, connection:
        assert connection.execute(statement, values).rowcount >= 1


def rows(restricted: Restricted, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(restricted.folder / "vault.sqlite3")) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608


def put_back(restricted: Restricted, table: str, before: list[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(restricted.folder / "vault.sqlite3")) as connection, connection:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608
        marks = ", ".join("?" * len(before[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", before)  # noqa: S608


def asked(restricted: Restricted, photo: Photo, *, by: str = ASKS, approved: bool = False) -> str:
    office, now = restricted.office, restricted.clock()
    asks = restricted.actor(by, ["requester"])
    made = office.request(asks, photo_id=photo.photo_id, face_indices=[0], reason="why", reference=None, now=now)
    if approved:
        office.approve(restricted.actor(APPROVES), made.request_id, now=now)
    return made.request_id


def refused(restricted: Restricted, request_id: str, reason: str, told: type[Exception] = RequestStateError) -> None:
    with pytest.raises(told):
        restricted.office.retrieve(restricted.actor(ASKS), request_id, now=restricted.clock())
    last = [one for one in restricted.office.audit.events() if one.target == request_id][-1]
    assert (last.action, last.detail["reason"]) == ("request.retrieve_refused", reason)


def test_a_forged_approval_opens_nothing(restricted: Restricted, photo: Photo) -> None:
    """In the name of somebody who is an approver, with the state and the time that an approval gives."""
    request_id, approver = asked(restricted, photo), restricted.actor(APPROVES)
    forged = "INSERT INTO approvals (request_id, account_id, approved_at) VALUES (?, ?, ?)"
    written(restricted, forged, request_id, approver.account_id, "2026-03-02 09:30:00.000000")
    written(restricted, "UPDATE recovery_requests SET state = 'approved', expires_at = ?", LATER)
    refused(restricted, request_id, "not_vouched")
    actions = [action for _, action in restricted.log(request_id)]
    assert "request.retrieving" not in actions


@pytest.mark.parametrize("column", ["photo_id", "face_indices", "requested_by", "expires_at"])
def test_a_request_that_was_approved_stays_what_it_was(restricted: Restricted, photo: Photo, column: str) -> None:
    """Another photo, more faces, another requester, more time."""
    other = restricted.photo(
        restricted.office.ledger.project(photo.project_id), picture(60, 80, seed=3), task_id=9, subject_id="Bo"
    )
    by = "other@example.org" if column == "requested_by" else ASKS
    request_id = asked(restricted, photo, by=by, approved=True)
    values = {
        "photo_id": other.photo_id,
        "face_indices": "[0, 1]",
        "requested_by": restricted.actor(ASKS).account_id,
        "expires_at": LATER,
    }
    written(restricted, f"UPDATE recovery_requests SET {column} = ?", values[column])  # noqa: S608
    refused(restricted, request_id, "not_vouched")


def test_an_open_request_that_was_written_into_is_not_approved(restricted: Restricted, photo: Photo) -> None:
    request_id = asked(restricted, photo)
    written(restricted, "UPDATE recovery_requests SET face_indices = '[0, 1]'")
    with pytest.raises(RequestStateError, match="make a new one"):
        restricted.office.approve(restricted.actor(APPROVES), request_id, now=restricted.clock())
    assert restricted.log(request_id)[-1][1] == "request.approve_refused"
    restricted.office.refuse(restricted.actor(APPROVES), request_id, now=restricted.clock())


ENDS: dict[str, Callable[[Restricted, str], object]] = {
    "retrieved": lambda one, request_id: one.office.retrieve(one.actor(ASKS), request_id, now=one.clock()),
    "cancelled": lambda one, request_id: one.office.cancel(one.actor(ASKS), request_id, now=one.clock()),
    "refused": lambda one, request_id: one.office.refuse(one.actor(APPROVES), request_id, now=one.clock()),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_request_that_has_ended_does_not_come_back_with_its_old_row(
    restricted: Restricted, photo: Photo, end: str
) -> None:
    """The row, its approvals and its voucher are the admin's own, from before."""
    request_id = asked(restricted, photo, approved=True)
    before = rows(restricted, "recovery_requests")
    ENDS[end](restricted, request_id)
    put_back(restricted, "recovery_requests", before)
    assert restricted.office.recovery.get(request_id, now=restricted.clock()).state is RequestState.APPROVED
    refused(restricted, request_id, "put_back")


@pytest.mark.parametrize("end", ENDS)
def test_nor_when_the_log_is_rewritten_as_well(restricted: Restricted, photo: Photo, end: str) -> None:
    """Back to what it was, and grown anew: the exported heads know better, without any sweep in between."""
    request_id = asked(restricted, photo, approved=True)
    before, log = rows(restricted, "recovery_requests"), rows(restricted, "audit_events")
    ENDS[end](restricted, request_id)
    with closing(sqlite3.connect(restricted.folder / "vault.sqlite3")) as connection, connection:
        connection.execute("DROP TRIGGER audit_events_no_delete")
    put_back(restricted, "recovery_requests", before)
    put_back(restricted, "audit_events", log)
    refused(restricted, request_id, "log_older", AuditError)
    for _ in range(9):  # the log grows again
        asked(restricted, photo)
    refused(restricted, request_id, "log_older", AuditError)


@pytest.mark.parametrize("statement", ["DELETE FROM withdrawals", "UPDATE withdrawals SET state = 'cancelled'"])
def test_a_withdrawal_is_not_taken_back_by_the_database(restricted: Restricted, photo: Photo, statement: str) -> None:
    """Nothing is opened meanwhile, and the next sweep lets it hold again."""
    request_id = asked(restricted, photo, approved=True)
    officer, office, now = restricted.actor(KEEPS), restricted.office, restricted.clock()
    made = office.withdraw(officer, photo.project_id, "Ada", now=now)
    written(restricted, statement)
    refused(restricted, request_id, "withdrawal_changed")
    assert office.sweep(officer, now=now).restored == 1
    refused(restricted, request_id, "withdrawal_pending")
    office.cancel_withdrawal(officer, made.withdrawal_id, now=now)
    assert office.retrieve(restricted.actor(ASKS), request_id, now=now).photos


def test_an_old_copy_of_the_vault_is_found_between_sweeps(
    restricted: Restricted,
    photo: Photo,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the admin before anything is opened, and by whoever verifies the log with the heads."""
    office, folder = restricted.office, restricted.folder
    office.sweep(restricted.actor(KEEPS), now=restricted.clock())
    request_id = asked(restricted, photo, approved=True)
    office.recovery._engine.dispose()
    for path in folder.glob("vault.sqlite3*"):
        shutil.copy(path, tmp_path / path.name)
    office.retrieve(restricted.actor(ASKS), request_id, now=restricted.clock())
    verify = ["verify-audit", "--database", "--heads", str(folder / "admin" / "audit-heads.jsonl")]
    verify += ["--public", str(folder / "admin" / "signing.pub")]
    monkeypatch.setenv("G2FACE_DATA_DIR", str(folder))
    assert command_line.main(verify) == 0
    office.recovery._engine.dispose()
    for path in folder.glob("vault.sqlite3*"):
        path.unlink()
    for path in tmp_path.glob("vault.sqlite3*"):
        shutil.copy(path, folder / path.name)
    assert command_line.main(verify) == 1
    assert "cut off" in capsys.readouterr().out
    refused(restricted, request_id, "log_older", AuditError)
    report = office.sweep(restricted.actor(KEEPS), now=restricted.clock())
    assert report.problem is not None


def test_without_a_head_nothing_is_opened(restricted: Restricted, photo: Photo) -> None:
    """A full disk, for example: the request is used up, and no pixel leaves."""
    request_id = asked(restricted, photo, approved=True)
    heads = restricted.folder / "admin" / "audit-heads.jsonl"
    heads.unlink(missing_ok=True)
    heads.mkdir()
    with pytest.raises(AuditError):
        restricted.office.retrieve(restricted.actor(ASKS), request_id, now=restricted.clock())
    assert "request.retrieving" not in [action for _, action in restricted.log(request_id)]
