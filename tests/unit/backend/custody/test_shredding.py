"""A sweep killed at any write leaves a subject shredded or not, audited either way, and the next sweep ends it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import mortal_sweep
import pytest
from mortal_sweep import Orders
from retention_site import DUE, OFFICER, Site, opened
from sealed_photos import NOW, PROJECT
from sqlalchemy import select

from backend.custody import audit, database, receipts, seal
from backend.custody.records import SubjectRef, Withdrawal, WithdrawalState
from backend.custody.shredding import BEGUN
from backend.custody.tables import sealed_records, subject_keys
from backend.errors import KeyShreddedError


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    with opened(tmp_path, database_url, database_url) as site:
        yield site


def test_a_sweep_may_die_at_every_write(site: Site, tmp_path: Path, database_url: str) -> None:
    states: list[tuple[str, bool]] = []
    for die_before in count(1):
        ref = SubjectRef(PROJECT, f"somebody {die_before}")
        key_id = key_of(site, site.hold(ref, f"{die_before:032x}").subject)
        made = site.retention.withdraw(ref, requested_by=OFFICER, now=NOW)
        status = mortal_sweep.run(Orders(tmp_path, database_url, database_url, DUE, die_before))
        states.append(done_or_not_done(site, ref, made))
        report = site.retention.sweep(now=DUE, forget=site.forgotten.append)
        assert (report.shredded, report.complete) == (states[-1][0] == "pending", True)
        assert_over(site, ref, made, key_id)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert set(states) == {("pending", False), ("pending", True), ("shredded", True)}, "it died before, within, after"
    assert len(states) > 15
    assert audit.verify(site.log.events(), head=site.heads.last()) == site.log.head()


def test_so_may_one_that_shreds_again(site: Site, tmp_path: Path, database_url: str) -> None:
    """A key and a record that an old backup has brought back."""
    states = set()
    for die_before in count(1):
        ref = SubjectRef(PROJECT, f"somebody {die_before}")
        site.hold(ref, f"{die_before:032x}")
        made, backup = site.retention.withdraw(ref, requested_by=OFFICER, now=NOW), key_row(site, ref)
        key = site.keyring.get(ref)
        assert key is not None
        site.retention.sweep(now=DUE)
        with database.writing(site.keys_engine) as connection:
            connection.execute(subject_keys.delete().where(subject_keys.c.subject_id == ref.subject_id))
            connection.execute(subject_keys.insert().values(backup))
        site.store(key, f"{die_before:031x}f")
        status = mortal_sweep.run(Orders(tmp_path, database_url, database_url, DUE, die_before))
        audit.verify(site.log.events())
        begun, over = "subject.shredding_again", "subject.shredded_again"
        actions, shredded, records = site.actions(made.withdrawal_id), is_shredded(site, ref), records_of(site, ref)
        assert begun in actions or not shredded, "the intent comes first"
        assert (over in actions) == (records == 0)
        states.add((shredded, records))
        assert site.retention.sweep(now=DUE).complete
        assert (is_shredded(site, ref), records_of(site, ref)) == (True, 0)
        assert site.actions(made.withdrawal_id).count(over) == 1
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert states == {(False, 1), (True, 1), (True, 0)}, "it died before, within, after"


def done_or_not_done(site: Site, ref: SubjectRef, made: Withdrawal) -> tuple[str, bool]:
    """Where the withdrawal is, and whether the key is gone; the log has to tell of it in any case."""
    audit.verify(site.log.events())
    state, actions = site.retention.get(made.withdrawal_id).state, site.actions(made.withdrawal_id)
    shredded = is_shredded(site, ref)
    if shredded:
        assert BEGUN in actions, "the intent comes first"
    if state is WithdrawalState.SHREDDED:
        assert (shredded, records_of(site, ref), actions[-1]) == (True, 0, receipts.SHREDDED)
    else:
        assert (records_of(site, ref), receipts.SHREDDED in actions) == (1, False)
    return state.value, shredded


def assert_over(site: Site, ref: SubjectRef, made: Withdrawal, key_id: str) -> None:
    """Shredded, and audited once, whoever had begun it."""
    assert is_shredded(site, ref)
    assert records_of(site, ref) == 0
    assert site.actions(made.withdrawal_id) == ["subject.withdrawn", BEGUN, receipts.SHREDDED]
    document = receipts.check(site.retention.receipt(made.withdrawal_id), site.signing_key.public)
    assert (document["destroyed_key_id"], document["records_deleted"]) == (key_id, 1)
    assert site.log.holds(site.heads.last() or audit.START)


def key_of(site: Site, ref: SubjectRef) -> str:
    key = site.keyring.get(ref)
    assert key is not None
    return seal.key_id(key.public_key).hex()


def key_row(site: Site, ref: SubjectRef) -> dict[str, Any]:
    with database.reading(site.keys_engine) as connection:
        row = connection.execute(select(subject_keys).where(subject_keys.c.subject_id == ref.subject_id)).one()
    return dict(row._mapping)


def is_shredded(site: Site, ref: SubjectRef) -> bool:
    columns = subject_keys.c
    with database.reading(site.keys_engine) as connection:
        row = connection.execute(
            select(columns.sealed_private_key, columns.identity_seed).where(columns.subject_id == ref.subject_id)
        ).one()
    try:
        site.keyring.get(ref)
    except KeyShreddedError:
        assert tuple(row) == (None, None)
        return True
    assert None not in tuple(row)
    return False


def records_of(site: Site, ref: SubjectRef) -> int:
    with database.reading(site.vault_engine) as connection:
        return len(
            connection.execute(
                select(sealed_records.c.record_id).where(sealed_records.c.subject_id == ref.subject_id)
            ).all()
        )
