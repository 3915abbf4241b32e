"""Withdrawn consent, expired records and old backups: what has to go is gone, once, and audited, whatever dies when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from retention_site import DUE, GRACE, MASTER, OFFICER, Site, opened, pseudonym
from sealed_photos import NOW, PHOTO, PROJECT, SUBJECT
from sqlalchemy import select, text

from backend.custody import audit, audit_check, database, heads, receipts
from backend.custody.audit import AuditLog, Head
from backend.custody.audit_check import Harm
from backend.custody.records import NewEvent, SubjectKey, SubjectRef, WithdrawalState
from backend.custody.tables import recovery_requests, sealed_records, subject_keys
from backend.errors import (
    AuditError,
    KeyShreddedError,
    LedgerUnavailableError,
    RequestMissingError,
    RequestStateError,
)

OTHER = SubjectRef(PROJECT, "Joe Example")
STRANGER = SubjectRef("c" * 32, SUBJECT.subject_id)


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    with opened(tmp_path, database_url, database_url) as site:
        yield site


def test_a_withdrawal_waits_for_the_end_of_its_grace(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    assert (made.state, made.created_at, made.due_at) == (WithdrawalState.PENDING, NOW, NOW + GRACE)
    assert made.pseudonym == pseudonym(SUBJECT)
    assert site.retention.get(made.withdrawal_id) == made
    report = site.retention.sweep(now=DUE - timedelta(seconds=1), forget=site.forgotten.append)
    assert (report.shredded, site.forgotten) == (0, [])
    assert site.keyring.get(SUBJECT) is not None
    assert site.actions(made.withdrawal_id) == ["subject.withdrawn"]
    event = site.log.find("subject.withdrawn", made.withdrawal_id)
    assert event is not None
    assert event.actor == OFFICER
    assert event.detail == {"project_id": PROJECT, "pseudonym": made.pseudonym, "grace_s": 7 * 86400}


def test_withdrawing_twice_is_withdrawing_once(site: Site) -> None:
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    assert site.retention.withdraw(SUBJECT, requested_by="somebody", now=NOW + timedelta(days=1)) == made
    site.retention.sweep(now=DUE)
    again = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=DUE)
    assert (again.withdrawal_id, again.state) == (made.withdrawal_id, WithdrawalState.SHREDDED)
    assert site.retention.withdraw(STRANGER, requested_by=OFFICER, now=NOW).withdrawal_id != made.withdrawal_id


def test_when_it_is_due_the_subject_is_shredded_and_nobody_else(site: Site) -> None:
    gone, kept = site.hold(SUBJECT, PHOTO), [site.hold(OTHER, "d" * 32), site.hold(STRANGER, "e" * 32)]
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    report = site.retention.sweep(now=DUE, forget=site.forgotten.append, actor=OFFICER)
    assert (report.shredded, report.failed, report.shredded_again, report.complete) == (1, 0, 0, True)
    with pytest.raises(KeyShreddedError):
        site.keyring.get(SUBJECT)
    with pytest.raises(KeyShreddedError):
        site.keyring.ensure(SUBJECT, now=DUE)
    assert site.vault.records_of_photo(gone.photo_id) == ()
    for record in kept:
        assert site.vault.records_of_photo(record.photo_id) == (record,)
        assert site.keyring.get(record.subject) is not None
    assert site.forgotten == [SUBJECT]
    ended = site.retention.get(made.withdrawal_id)
    assert ended == replace(made, subject_id=None, state=WithdrawalState.SHREDDED, ended_at=DUE)
    assert site.actions(made.withdrawal_id) == ["subject.withdrawn", "subject.shredding", "subject.shredded"]


def test_the_log_names_nobody(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    site.retention.sweep(now=DUE)
    assert SUBJECT.subject_id not in "".join(site.log.lines())


def test_who_never_had_a_key_never_gets_one(site: Site) -> None:
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    assert site.retention.sweep(now=DUE).shredded == 1
    with pytest.raises(KeyShreddedError):
        site.keyring.ensure(SUBJECT, now=DUE)
    assert site.retention.receipt(made.withdrawal_id)["document"]["destroyed_key_id"] is None


def test_a_second_sweep_finds_nothing_to_do(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    site.retention.sweep(now=DUE)
    events = tuple(site.log.events())
    report = site.retention.sweep(now=DUE + timedelta(days=1), forget=site.forgotten.append)
    assert (report.shredded, report.shredded_again, site.forgotten) == (0, 0, [])
    assert tuple(site.log.events()) == events


def test_it_can_be_taken_back_until_it_is_due(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    taken = site.retention.cancel(made.withdrawal_id, by="somebody", now=DUE - timedelta(seconds=1))
    assert (taken.state, taken.subject_id) == (WithdrawalState.CANCELLED, SUBJECT.subject_id)
    assert site.retention.sweep(now=DUE).shredded == 0
    assert site.keyring.get(SUBJECT) is not None
    later = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=DUE)
    assert later.withdrawal_id != made.withdrawal_id, "another withdrawal is another one"
    assert site.actions(made.withdrawal_id) == ["subject.withdrawn", "subject.withdrawal_cancelled"]


def test_what_is_due_taken_back_or_carried_out_cannot_be_taken_back(site: Site) -> None:
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    with pytest.raises(RequestStateError, match="it is due"):
        site.retention.cancel(made.withdrawal_id, by=OFFICER, now=DUE)
    site.retention.sweep(now=DUE)
    with pytest.raises(RequestStateError, match="it is shredded"):
        site.retention.cancel(made.withdrawal_id, by=OFFICER, now=NOW)
    refusals = [event for event in site.log.events() if event.action == "subject.withdrawal_cancel_refused"]
    assert [event.detail["state"] for event in refusals] == ["due", "shredded"]
    other = site.retention.withdraw(OTHER, requested_by=OFFICER, now=NOW)
    site.retention.cancel(other.withdrawal_id, by=OFFICER, now=NOW)
    with pytest.raises(RequestStateError, match="it is cancelled"):
        site.retention.cancel(other.withdrawal_id, by=OFFICER, now=NOW)
    for call in (site.retention.get, site.retention.receipt):
        with pytest.raises(RequestMissingError):
            call("0" * 32)
    with pytest.raises(RequestMissingError):
        site.retention.cancel("0" * 32, by=OFFICER, now=NOW)


def test_one_whose_shredding_has_begun_cannot_be_taken_back(site: Site) -> None:
    """As when the clock is set back after the sweep that begun it has died."""
    site.hold(SUBJECT, PHOTO)
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)

    def fail(_: SubjectRef) -> None:
        raise LedgerUnavailableError("away")

    assert site.retention.sweep(now=DUE, forget=fail).failed == 1
    with pytest.raises(RequestStateError, match="it is due"):
        site.retention.cancel(made.withdrawal_id, by=OFFICER, now=NOW)


def test_what_the_ledger_cannot_forget_now_is_tried_again(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    site.hold(OTHER, "d" * 32)
    waiting = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    done = site.retention.withdraw(OTHER, requested_by=OFFICER, now=NOW)

    def fail(ref: SubjectRef) -> None:
        if ref == SUBJECT:
            raise LedgerUnavailableError("away")

    report = site.retention.sweep(now=DUE, forget=fail)
    assert (report.shredded, report.failed, report.complete) == (1, 1, False)
    assert site.retention.get(waiting.withdrawal_id).state is WithdrawalState.PENDING
    assert site.retention.get(done.withdrawal_id).state is WithdrawalState.SHREDDED
    report = site.retention.sweep(now=DUE, forget=site.forgotten.append)
    assert (report.shredded, report.failed, site.forgotten) == (1, 0, [SUBJECT])
    assert site.actions(waiting.withdrawal_id) == ["subject.withdrawn", "subject.shredding", "subject.shredded"]
    receipt = site.retention.receipt(waiting.withdrawal_id)["document"]
    assert receipt["destroyed_key_id"] is not None, "although it was gone at the second try"


def test_nothing_is_withdrawn_or_shredded_when_it_cannot_be_audited(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    with database.writing(site.vault_engine) as connection:
        audit.hold(connection)
        with pytest.raises(AuditError):
            site.retention.withdraw(OTHER, requested_by=OFFICER, now=NOW)
        with pytest.raises(AuditError):
            site.retention.cancel(made.withdrawal_id, by=OFFICER, now=NOW)
        with pytest.raises(AuditError):
            site.retention.sweep(now=DUE, forget=site.forgotten.append)
    assert site.keyring.get(SUBJECT) is not None
    assert site.vault.records_of_photo(PHOTO)
    assert site.forgotten == []
    assert [one.withdrawal_id for one in site.retention.withdrawals()] == [made.withdrawal_id]


def test_a_project_is_withdrawn_with_everybody_in_it(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    site.hold(STRANGER, "e" * 32)
    site.keyring.ensure(OTHER, now=NOW)
    made = site.retention.withdraw_project(PROJECT, requested_by=OFFICER, now=NOW, subject_ids=["waits for a worker"])
    assert {one.subject_id for one in made} == {SUBJECT.subject_id, OTHER.subject_id, "waits for a worker"}
    assert site.retention.sweep(now=DUE, forget=site.forgotten.append).shredded == 3
    assert site.keyring.get(STRANGER) is not None
    assert {ref.project_id for ref in site.forgotten} == {PROJECT}
    again = site.retention.withdraw_project(PROJECT, requested_by=OFFICER, now=DUE)
    assert again == (), "nobody is left"


def test_whom_nobody_claimed_goes_with_their_photo_whenever_they_are_sealed(site: Site) -> None:
    """Before the withdrawal, in its grace, and by a worker that was slower than the sweep: each with a receipt."""
    before, meanwhile, late = (SubjectRef(PROJECT, f"{PHOTO}-{face}") for face in (0, 1, "remainder"))
    everybody, elsewhere = SubjectRef(PROJECT, f"{PHOTO}-*"), SubjectRef(PROJECT, f"{'d' * 32}-1")
    site.hold(before, PHOTO)
    site.hold(meanwhile, PHOTO, face_index=1)
    made = site.retention.withdraw_project(PROJECT, requested_by=OFFICER, now=NOW, subject_ids=[everybody.subject_id])
    assert [one.subject_id for one in made] == [everybody.subject_id], "they need none of their own until it is due"
    kept = site.hold(elsewhere, "d" * 32)
    in_hand = SubjectKey(late, MASTER.public_key, b"sealed", bytes(32), NOW)
    assert site.retention.sweep(now=DUE - timedelta(seconds=1)).shredded == 0
    assert site.retention.sweep(now=DUE, forget=site.forgotten.append).shredded == 3
    assert set(site.forgotten) == {everybody, before, meanwhile}
    site.store(in_hand, PHOTO, face_index=2)
    assert site.retention.sweep(now=DUE).shredded == 1
    assert site.vault.records_of_photo(PHOTO) == ()
    for ref in (before, meanwhile, late, SubjectRef(PROJECT, f"{PHOTO}-7")):
        with pytest.raises(KeyShreddedError):
            site.keyring.ensure(ref, now=DUE)
    assert site.vault.records_of_photo("d" * 32) == (kept,)
    theirs = {one.pseudonym: one.withdrawal_id for one in site.retention.withdrawals()}
    for ref in (before, meanwhile):
        assert site.retention.receipt(theirs[pseudonym(ref)])["document"]["destroyed_key_id"] is not None
    events = tuple(site.log.events())
    assert site.retention.sweep(now=DUE).shredded == 0
    assert tuple(site.log.events()) == events


def test_taking_back_the_withdrawal_of_a_photo_takes_back_everybodys(site: Site) -> None:
    one, everybody = SubjectRef(PROJECT, f"{PHOTO}-1"), SubjectRef(PROJECT, f"{PHOTO}-*")
    site.hold(one, PHOTO)
    made = site.retention.withdraw(everybody, requested_by=OFFICER, now=NOW)
    site.retention.cancel(made.withdrawal_id, by=OFFICER, now=NOW)
    assert site.retention.sweep(now=DUE).shredded == 0
    assert site.keyring.get(one) is not None


def test_many_are_withdrawn_and_shredded_in_batches(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("retention", "shredding", "keyring"):
        monkeypatch.setattr(f"backend.custody.{module}._BATCH", 2)
    refs = [SubjectRef(PROJECT, f"somebody {number}") for number in range(5)]
    for number, ref in enumerate(refs):
        site.hold(ref, f"{number:032x}")
    made = site.retention.withdraw_project(PROJECT, requested_by=OFFICER, now=NOW)
    assert len(made) == 5
    assert site.retention.sweep(now=DUE, forget=site.forgotten.append).shredded == 5
    assert sorted(site.forgotten, key=lambda ref: ref.subject_id) == refs
    assert set(site.keyring.shredded()) == set(refs)


def test_withdrawals_are_listed_newest_first(site: Site) -> None:
    made = [
        site.retention.withdraw(SubjectRef(PROJECT, f"s{n}"), requested_by=OFFICER, now=NOW + timedelta(hours=n // 2))
        for n in range(4)
    ]
    newest = [one.withdrawal_id for one in sorted(made, key=lambda one: (one.created_at, one.withdrawal_id))[::-1]]
    listed = site.retention.withdrawals
    assert [one.withdrawal_id for one in listed()] == newest
    assert [one.withdrawal_id for one in listed(limit=2)] == newest[:2]
    assert [one.withdrawal_id for one in listed(before=newest[1])] == newest[2:]
    assert listed(project_id="c" * 32) == ()
    site.retention.sweep(now=made[0].due_at)
    assert {one.withdrawal_id for one in listed(state=WithdrawalState.SHREDDED)} == {
        one.withdrawal_id for one in made[:2]
    }
    assert len(listed(state=WithdrawalState.PENDING, project_id=PROJECT)) == 2


def test_their_requests_forget_whose_they_were(site: Site) -> None:
    values = {
        "request_id": "1" * 32,
        "kind": "access",
        "project_id": PROJECT,
        "face_indices": "[]",
        "subject_id": SUBJECT.subject_id,
        "requested_by": OFFICER,
        "reason": "asked",
        "approvals_needed": 1,
        "state": "open",
        "created_at": NOW,
        "expires_at": NOW,
    }
    with database.writing(site.vault_engine) as connection:
        connection.execute(recovery_requests.insert().values(values))
    site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    site.retention.sweep(now=DUE)
    with database.reading(site.vault_engine) as connection:
        assert connection.scalars(select(recovery_requests.c.subject_id)).all() == [None]


# Old backups


def test_a_key_that_an_old_backup_brings_back_is_shredded_again(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    with database.reading(site.keys_engine) as connection:
        backup = [dict(row._mapping) for row in connection.execute(select(subject_keys))]
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    site.retention.sweep(now=DUE)
    before = site.retention.receipt(made.withdrawal_id)
    with database.writing(site.keys_engine) as connection:
        connection.execute(subject_keys.delete())
        connection.execute(subject_keys.insert(), backup)
    assert site.keyring.get(SUBJECT) is not None, "it is back"
    report = site.retention.sweep(now=DUE, forget=site.forgotten.append)
    assert (report.shredded, report.shredded_again, site.forgotten) == (0, 1, [SUBJECT])
    with pytest.raises(KeyShreddedError):
        site.keyring.get(SUBJECT)
    assert site.actions(made.withdrawal_id)[-2:] == ["subject.shredding_again", "subject.shredded_again"]
    assert site.retention.receipt(made.withdrawal_id) == before
    assert site.retention.sweep(now=DUE).shredded_again == 0


def test_records_that_come_back_or_late_are_deleted(site: Site) -> None:
    """From an old backup of the vault, or from a worker that had the key in its hands."""
    site.hold(SUBJECT, PHOTO)
    key = site.keyring.get(SUBJECT)
    assert key is not None
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    site.retention.sweep(now=DUE)
    late = site.store(key, "f" * 32)
    assert site.retention.sweep(now=DUE, forget=site.forgotten.append).shredded_again == 1
    assert site.vault.records_of_photo(late.photo_id) == ()
    again = [event for event in site.log.events() if event.action == "subject.shredded_again"]
    assert [(event.target, event.detail["records"]) for event in again] == [(made.withdrawal_id, 1)]


def test_a_destroyed_key_is_enough_to_know_whose_records_go(site: Site) -> None:
    """As when the vault, withdrawals and all, is from before."""
    record = site.hold(SUBJECT, PHOTO)
    site.keyring.shred(SUBJECT, now=NOW)
    assert site.retention.sweep(now=NOW).shredded_again == 1
    assert site.vault.records_of_photo(record.photo_id) == ()
    assert site.actions(pseudonym(SUBJECT)) == ["subject.shredding_again", "subject.shredded_again"]


def test_a_backup_of_everything_from_before_is_no_way_round_it(site: Site) -> None:
    """Neither database knows of the withdrawal; the exported heads do."""
    record = site.hold(SUBJECT, PHOTO)
    with database.reading(site.keys_engine) as connection:
        keys = [dict(row._mapping) for row in connection.execute(select(subject_keys))]
    before = site.log.head()
    site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    exported = site.retention.sweep(now=DUE).head
    assert exported is not None
    tamper(site, f"DELETE FROM audit_events WHERE seq > {before.seq}", "DELETE FROM withdrawals")  # noqa: S608
    with database.writing(site.keys_engine) as connection:
        connection.execute(subject_keys.delete())
        connection.execute(subject_keys.insert(), keys)
    key = site.keyring.get(SUBJECT)
    assert key is not None
    site.store(key, record.photo_id)

    report = site.retention.sweep(now=DUE, forget=site.forgotten.append)

    assert (report.shredded_again, report.head, site.forgotten) == (1, None, [SUBJECT])
    assert report.problem is not None
    with pytest.raises(KeyShreddedError):
        site.keyring.get(SUBJECT)
    assert site.vault.records_of_photo(record.photo_id) == ()
    accepted = site.retention.sweep(now=DUE, actor=OFFICER, accept_log=True)
    assert (accepted.problem, accepted.head) == (None, site.log.head())
    (event,) = [event for event in site.log.events() if event.action == "audit.log_accepted"]
    assert (event.actor, event.detail) == (OFFICER, {"seq": exported.seq, "hash": exported.hash})
    assert site.retention.sweep(now=DUE).complete
    lines = (site.folder / "admin" / "heads.jsonl").read_bytes().splitlines(keepends=True)
    findings = audit_check.check(site.log.events(), list(heads.read(lines, site.signing_key.public))).findings
    assert {finding.harm for finding in findings} == {Harm.FORKED}, "whoever has the older heads sees it for ever"


def test_a_log_that_is_whole_needs_no_accepting(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    site.retention.sweep(now=NOW)
    before = site.log.head()
    assert site.retention.sweep(now=NOW, accept_log=True).head == before == site.log.head()


# Withdrawals that somebody changed in the database


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM withdrawals",
        "UPDATE withdrawals SET state = 'cancelled'",
        "UPDATE withdrawals SET state = 'shredded', subject_id = NULL",
        "UPDATE withdrawals SET due_at = '2036-01-01 00:00:00'",
        "UPDATE withdrawals SET subject_id = 'Joe Example'",
        "UPDATE withdrawals SET subject_id = ''",
        "UPDATE withdrawals SET pseudonym = 'f'",
    ],
)
def test_a_withdrawal_holds_as_the_log_tells_of_it(site: Site, statement: str) -> None:
    site.hold(SUBJECT, PHOTO)
    kept = site.hold(OTHER, "d" * 32)
    taken_back = site.retention.withdraw(OTHER, requested_by=OFFICER, now=NOW)
    site.retention.cancel(taken_back.withdrawal_id, by=OFFICER, now=NOW)
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    with database.writing(site.vault_engine) as connection:
        connection.execute(text(f"{statement} WHERE withdrawal_id = :id"), {"id": made.withdrawal_id})
    report = site.retention.sweep(now=NOW)
    assert (report.restored, report.shredded, report.complete) == (1, 0, False)
    assert site.retention.get(made.withdrawal_id) == made
    assert site.actions(made.withdrawal_id) == ["subject.withdrawn", "subject.withdrawal_restored"]
    assert site.retention.sweep(now=NOW).complete
    assert site.retention.sweep(now=DUE).shredded == 1
    with pytest.raises(KeyShreddedError):
        site.keyring.get(SUBJECT)
    assert site.vault.records_of_photo("d" * 32) == (kept,)
    assert site.retention.get(taken_back.withdrawal_id).state is WithdrawalState.CANCELLED


def test_one_of_somebody_of_whom_nothing_is_here_waits_until_there_is(site: Site) -> None:
    site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    with database.writing(site.vault_engine) as connection:
        connection.execute(text("DELETE FROM withdrawals"))
    assert site.retention.sweep(now=DUE).restored == 0
    site.hold(SUBJECT, PHOTO)
    report = site.retention.sweep(now=DUE)
    assert (report.restored, report.shredded) == (1, 1)
    assert site.vault.records_of_photo(PHOTO) == ()


# What expires


def test_what_has_expired_is_deleted_with_an_event_per_photo(site: Site) -> None:
    moment = NOW + timedelta(days=30)
    site.hold(SUBJECT, PHOTO, expires_at=moment)
    site.hold(OTHER, "d" * 32, expires_at=moment + timedelta(seconds=1))
    site.hold(OTHER, "e" * 32)
    assert site.retention.sweep(now=moment - timedelta(seconds=1)).expired == 0
    assert site.retention.sweep(now=moment, actor=OFFICER).expired == 1
    with database.reading(site.vault_engine) as connection:
        assert set(connection.scalars(select(sealed_records.c.photo_id))) == {"d" * 32, "e" * 32}
    (event,) = [event for event in site.log.events() if event.action == "records.expired"]
    assert (event.actor, event.target, event.detail) == (OFFICER, PHOTO, {"project_id": PROJECT, "records": 1})
    assert site.keyring.get(SUBJECT) is not None, "there may be photos of them tomorrow"


# Receipts and heads


def test_there_is_a_receipt_once_it_is_carried_out(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    made = site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    with pytest.raises(RequestStateError, match="pending"):
        site.retention.receipt(made.withdrawal_id)
    site.retention.sweep(now=DUE)
    receipt = site.retention.receipt(made.withdrawal_id)
    document = receipts.check(receipt, site.signing_key.public)
    assert (document["withdrawal_id"], document["records_deleted"]) == (made.withdrawal_id, 1)
    assert SUBJECT.subject_id not in repr(receipt)
    assert site.retention.receipt(made.withdrawal_id) == receipt


def test_every_sweep_exports_and_delivers_the_head(site: Site) -> None:
    site.hold(SUBJECT, PHOTO)
    report = site.retention.sweep(now=NOW)
    assert report.head == site.log.head() == site.heads.last() == Head(1, site.log.head().hash)
    assert len(site.delivered) == 1
    site.log.append([NewEvent("somebody", "something", "x")], now=NOW)
    assert site.retention.sweep(now=NOW).head == site.heads.last() == site.log.head()


def test_a_head_that_cannot_be_delivered_is_exported_all_the_same(tmp_path: Path, database_url: str) -> None:
    def fail(_: bytes) -> None:
        raise AuditError("nobody answers")

    with opened(tmp_path, database_url, database_url, deliver=fail) as site:
        report = site.retention.sweep(now=NOW)
        assert (report.problem, report.complete) == ("nobody answers", False)
        assert site.heads.last() == site.log.head()


@pytest.mark.parametrize("grown_again", [False, True])
def test_no_head_is_signed_of_a_log_that_was_cut(site: Site, grown_again: bool) -> None:
    site.log.append([NewEvent("somebody", "something", f"x{n}") for n in range(5)], now=NOW)
    site.hold(SUBJECT, PHOTO)
    site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
    exported = site.retention.sweep(now=NOW).head
    assert exported is not None
    tamper(site, "DELETE FROM audit_events WHERE seq > 3")
    if grown_again:
        site.log.append([NewEvent("somebody", "something", f"y{n}") for n in range(9)], now=NOW)
    report = site.retention.sweep(now=DUE)
    assert report.shredded == 1, "whoever withdrew does not wait for the log to be looked into"
    assert report.head is None
    assert report.problem is not None
    assert f"event {exported.seq}" in report.problem
    assert site.heads.last() == exported


def test_no_head_is_signed_of_a_log_that_was_changed_since(site: Site) -> None:
    site.retention.sweep(now=NOW)
    site.log.append([NewEvent("somebody", "something", f"x{n}") for n in range(3)], now=NOW)
    tamper(site, "UPDATE audit_events SET actor = 'nobody' WHERE seq = 2")
    report = site.retention.sweep(now=NOW)
    assert (report.head, report.problem) == (None, "event 2 of the audit log was changed")


# The files


def test_a_sweep_says_when_deleted_bytes_may_be_left(tmp_path: Path) -> None:
    with opened(tmp_path, f"sqlite:///{tmp_path / 'vault'}", f"sqlite:///{tmp_path / 'keys'}") as site:
        record = site.hold(SUBJECT, PHOTO)
        site.retention.withdraw(SUBJECT, requested_by=OFFICER, now=NOW)
        needle = record.sealed[2000:2064]
        with database.reading(site.vault_engine) as reader:
            reader.execute(text("SELECT count(*) FROM sealed_records"))
            report = site.retention.sweep(now=DUE)
            assert (report.shredded, report.clean, report.complete) == (1, False, False)
            assert found(tmp_path, needle)
        assert site.retention.sweep(now=DUE).clean
        assert not found(tmp_path, needle)


def found(folder: Path, needle: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def tamper(site: Site, *statements: str) -> None:
    """What somebody with full power over the database can do."""
    drop = {
        "sqlite": ("DROP TRIGGER audit_events_no_update", "DROP TRIGGER audit_events_no_delete"),
        "postgresql": ("DROP TRIGGER audit_events_append_only ON audit_events",),
    }
    with site.vault_engine.begin() as connection:
        for line in (*drop[site.vault_engine.dialect.name], *statements):
            connection.execute(text(line))
    assert AuditLog(site.vault_engine).head()
