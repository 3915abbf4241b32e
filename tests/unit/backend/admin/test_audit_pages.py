"""The pages for looking only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import admin_office
import pytest
from admin_office import KEEPS, READS, Restricted
from recovery_site import picture
from workshop import Databases

from backend.custody import audit, audit_check, database, seal
from backend.custody.records import NewEvent


@pytest.fixture
def restricted(tmp_path: Path, databases: Databases) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data", databases=databases) as opened:
        yield opened


def rows(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<td class="soft">(\d+)</td>', page)]


def test_the_log_is_shown_newest_first_with_names_for_those_who_have_one(restricted: Restricted) -> None:
    photo = restricted.photo(restricted.project(), picture(60, 80))
    auditor = restricted.signed_in(READS)
    page = auditor.get("/audit").text
    assert rows(page) == [2, 1]
    assert READS in page
    assert "photo.sealed" in page
    assert rows(auditor.get(f"/audit?target={photo.photo_id}").text) == [1]
    assert rows(auditor.get("/audit?action=sign_in.accepted").text) == [2]
    assert "No event here" in auditor.get("/audit?by=nobody").text


def test_long_logs_come_in_pages(restricted: Restricted) -> None:
    auditor = restricted.signed_in(READS)
    restricted.office.audit.append([NewEvent("worker", "photo.sealed", "x")] * 60, now=restricted.clock())
    page = auditor.get("/audit").text
    assert rows(page) == list(range(61, 11, -1))
    older = re.search(r'href="(/audit\?[^"]*before=[^"]*)"', page)
    assert older is not None
    assert rows(auditor.get(older[1].replace("&amp;", "&")).text) == list(range(11, 0, -1))
    assert rows(auditor.get("/audit?before=nonsense").text) == rows(page)


def test_a_whole_log_is_said_to_be_whole_and_a_changed_one_is_not(restricted: Restricted) -> None:
    auditor = restricted.signed_in(READS)
    restricted.office.audit.append([NewEvent("worker", "photo.sealed", "x")] * 3, now=restricted.clock())
    assert auditor.post("/audit/verify").status_code == 302
    assert "The log is whole: 4 events" in auditor.get("/audit").text
    vault = database.open_vault(restricted.settings.vault())
    with database.writing(vault) as forger:
        sqlite = forger.dialect.name == "sqlite"
        trigger = "audit_events_no_update" if sqlite else "audit_events_append_only ON audit_events"
        forger.exec_driver_sql(f"DROP TRIGGER {trigger}")
        forger.exec_driver_sql("UPDATE audit_events SET target = 'y' WHERE seq = 2")
    vault.dispose()
    auditor.post("/audit/verify")
    assert "Event 2 of the audit log was changed." in auditor.get("/audit").text


def test_the_export_can_be_checked_offline(restricted: Restricted) -> None:
    auditor = restricted.signed_in(READS)
    answer = auditor.post("/audit/export")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit-20260302-093000.jsonl"'
    lines = answer.text.splitlines(keepends=True)
    checked = audit_check.check_lines(lines)
    assert (checked.findings, checked.end) == ([], restricted.office.audit.head())
    assert audit.read_line(lines[-1]).action == "audit.exported"


def test_the_keys_are_shown_by_id(restricted: Restricted) -> None:
    restricted.photo(restricted.project(), picture(60, 80))
    page = restricted.signed_in(KEEPS).get("/keys").text
    assert seal.key_id(restricted.office.master.public_key).hex() in page
    assert "2 people's keys" in page
    assert "Everything is sealed to the present master key." in page
