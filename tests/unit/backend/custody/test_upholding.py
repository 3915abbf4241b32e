"""What the log tells of withdrawals, against what their rows say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from retention_site import DUE, OFFICER, Site, opened, pseudonym
from sealed_photos import NOW, PHOTO, PROJECT, SUBJECT

from backend.custody import database, upholding, withdrawals
from backend.custody.records import SubjectRef, Withdrawal

OTHER = SubjectRef(PROJECT, "Joe Example")


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    with opened(tmp_path, database_url, database_url) as site:
        yield site


def holds(site: Site, *refs: SubjectRef) -> bool:
    with database.reading(site.vault_engine) as connection:
        return upholding.holds(connection, [pseudonym(ref) for ref in refs])


def changed(site: Site) -> list[str]:
    with database.reading(site.vault_engine) as connection:
        return [event.target for event in upholding.changed(connection, pseudonym)]


def put(site: Site, withdrawal: Withdrawal) -> None:
    with database.writing(site.vault_engine) as connection:
        withdrawals.put(connection, withdrawal)


def test_it_holds_until_it_is_taken_back(site: Site) -> None:
    first = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    assert holds(site, OTHER, SUBJECT)
    assert not holds(site, OTHER)
    assert not holds(site)
    site.retention.cancel(first.withdrawal_id, by=OFFICER, now=NOW)
    assert not holds(site, SUBJECT)
    site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    assert holds(site, SUBJECT)


def test_it_is_told_as_it_was_made(site: Site) -> None:
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    event = site.log.find(upholding.WITHDRAWN, made.withdrawal_id)
    assert event is not None
    assert upholding.as_told(event, SUBJECT) == made


def test_only_what_is_neither_over_nor_as_it_was_made_has_changed(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    shredded = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    site.retention.sweep(now=DUE)
    back = site.retention.withdraw(OTHER, requested_by=OFFICER, now=DUE)
    site.retention.cancel(back.withdrawal_id, by=OFFICER, now=DUE)
    pending = site.retention.withdraw(OTHER, requested_by=OFFICER, now=DUE)
    assert changed(site) == []
    put(site, replace(pending, due_at=pending.due_at + timedelta(milliseconds=500)))
    assert changed(site) == []
    for one in (shredded, back):  # they are over, whatever their rows say
        put(site, replace(one, requested_by="x"))
    assert changed(site) == []
    for other in (
        replace(pending, due_at=pending.due_at + timedelta(seconds=2)),
        replace(pending, due_at=pending.due_at - timedelta(seconds=2)),
        replace(pending, subject_id="Ada Example"),
        replace(pending, subject_id="\n"),
        replace(pending, project_id="c" * 32),
        replace(pending, pseudonym=pseudonym(SUBJECT)),
        replace(pending, subject_id=SUBJECT.subject_id, pseudonym=pseudonym(SUBJECT)),
    ):
        put(site, other)
        assert changed(site) == [pending.withdrawal_id]
    put(site, pending)
    assert changed(site) == []
