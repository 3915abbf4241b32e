"""Originals come back once, to whoever asked, after somebody else said yes; everything else is refused, and told of."""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from recovery_site import ADA, BO, CY, NOW, PROJECT, RULES, SUBJECT, Site, face, stricter, within
from sqlalchemy import event, text, update

from backend.custody import audit, database, forensic_mark, withdrawals
from backend.custody.audit import AuditLog
from backend.custody.records import (
    NewEvent,
    RecoveryRequest,
    RequestState,
    SealedRecord,
    SubjectKey,
    SubjectRef,
    Withdrawal,
    WithdrawalState,
)
from backend.custody.recovery import Recovery
from backend.custody.tables import audit_events, recovery_requests
from backend.errors import (
    ApprovalRequiredError,
    AuditError,
    BackendError,
    ForbiddenError,
    KeyShreddedError,
    OfficeError,
    OriginalGoneError,
    RequestMissingError,
    RequestStateError,
)
from g2face_model import images

MINUTE = timedelta(minutes=1)
REF = SubjectRef(PROJECT, SUBJECT)


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """A site on SQLite and on PostgreSQL."""
    site = Site.at(tmp_path / "site", database_url)
    yield site
    site.close()


@pytest.fixture
def small_site(tmp_path: Path) -> Iterator[Site]:
    """A site whose databases are files that can be copied."""
    site = Site.at(tmp_path / "site")
    yield site
    site.close()


def state(site: Site, request_id: str) -> RequestState:
    return site.recovery.get(request_id, now=NOW).state


def withdraw(site: Site, ref: SubjectRef = REF, *, state: WithdrawalState = WithdrawalState.PENDING) -> str:
    """As `retention` notes it; the id."""
    there = Withdrawal("f" * 32, ref.project_id, ref.subject_id, site.pseudonym(ref), CY, state, NOW, NOW + MINUTE)
    with database.writing(site.vault_engine) as connection:
        withdrawals.add(connection, there)
    return there.withdrawal_id


# The way it goes


@pytest.mark.parametrize("format", images.FORMATS)
def test_all_faces_give_the_decoded_original_bit_for_bit(site: Site, format: images.Format) -> None:
    photo_id = site.add_photo(format=format)
    retrieved = site.retrieve(site.approved(photo_id, 0, 1).request_id)
    (photo,) = retrieved.photos
    assert (photo.photo_id, photo.complete, retrieved.bit_exact, retrieved.left_out) == (photo_id, True, True, ())
    assert np.array_equal(images.decode(photo.png), site.originals[photo_id])


@pytest.mark.parametrize("format", images.FORMATS)
def test_one_face_comes_back_alone(site: Site, format: images.Format) -> None:
    photo_id, asked = site.add_photo(format=format, faces=3), face(1)
    (photo,) = site.retrieve(site.approved(photo_id, 1).request_id).photos
    shown, published = images.decode(photo.png), images.decode(site.published[photo_id])
    theirs = np.zeros(shown.shape[:2], np.bool_)
    theirs[within(asked)] = asked.mask
    assert np.array_equal(shown[theirs], site.originals[photo_id][theirs])
    assert np.array_equal(shown[~theirs], published[~theirs])
    assert not photo.complete


def test_crops_show_the_asked_faces_side_by_side(site: Site) -> None:
    photo_id = site.add_photo(faces=3)
    (photo,) = site.retrieve(site.approved(photo_id, 2, 0).request_id).photos
    assert [crop.face_index for crop in photo.crops] == [0, 2]
    whole, published = images.decode(photo.png), images.decode(site.published[photo_id])
    left, top, width, height = face(2).rectangle
    around = slice(top - 14, top + height + 14), slice(left - 14, left + width + 14)
    assert np.array_equal(images.decode(photo.crops[1].original), whole[around])
    assert np.array_equal(images.decode(photo.crops[1].anonymized), published[around])


def test_every_step_is_in_the_log(site: Site) -> None:
    photo_id = site.add_photo()
    request = site.approved(photo_id, 1)
    assert site.log(request.request_id) == [(ADA, "request.opened"), (BO, "request.approved")]
    site.retrieve(request.request_id)
    assert site.log(request.request_id)[2:] == [(ADA, "request.retrieving"), (ADA, "request.retrieved")]
    opened, _, intent, outcome = list(AuditLog(site.vault_engine).events())[-4:]
    assert opened.detail["photo_id"] == intent.detail["photo_id"] == photo_id
    assert "face_1" in intent.detail
    assert "face_0" not in intent.detail
    assert outcome.detail == {"photos": 1, "faces": 1, "left_out": 0, "marked": False}


def test_the_intent_is_on_the_disk_before_anything_is_opened(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    seen: list[list[tuple[str, str]]] = []

    class Master:
        def unseal(self, record: SealedRecord, key: SubjectKey) -> bytes:
            other = Site.at(site.folder, site.vault_url)
            seen.append(other.log(request_id))
            other.close()
            return site.master.unseal(record, key)

    site.recovery_with(Master()).retrieve(request_id, by=ADA, published=site.give, now=NOW)
    assert seen == [[(ADA, "request.opened"), (BO, "request.approved"), (ADA, "request.retrieving")]]


def test_a_pilot_of_one_person_needs_nobody_else_and_the_log_says_so(site: Site) -> None:
    site.rules = stricter(RULES, approvals=0)
    request = site.ask(site.add_photo(), 0)
    assert request.state is RequestState.APPROVED
    assert (ADA, "request.approved_without_second_person") in site.log(request.request_id)
    assert site.retrieve(request.request_id).photos


def test_requests_are_listed_newest_first_and_page_by_page(site: Site) -> None:
    photo_id = site.add_photo()
    ids = [site.ask(photo_id, 0, now=NOW + number * MINUTE).request_id for number in range(4)]
    site.ask(photo_id, 1, by=CY, now=NOW + 5 * MINUTE)
    listed = [one.request_id for one in site.recovery.requests(now=NOW, limit=2, requested_by=ADA)]
    assert listed == ids[:1:-1]
    before = NOW + 2 * MINUTE
    assert [one.request_id for one in site.recovery.requests(now=NOW, limit=9, before=before)] == ids[1::-1]
    assert site.recovery.requests(now=NOW, limit=9, state=RequestState.APPROVED) == []
    assert site.recovery.requests(now=NOW, limit=9, project_id="0" * 32) == []


def test_a_request_comes_back_as_it_was_made(site: Site) -> None:
    request = site.ask(site.add_photo(), 1, 0)
    assert request == site.recovery.get(request.request_id, now=NOW)
    assert (request.reason, request.reference, request.face_indices) == ("The label is disputed.", "D-17", (0, 1))
    approved = site.recovery.approve(request.request_id, approver=BO, now=NOW + MINUTE)
    assert approved == site.recovery.get(request.request_id, now=NOW + MINUTE)


# Who may not


def refused(site: Site, request_id: str, told: type[BackendError], reason: str, *, by: str = ADA, **at: Any) -> None:
    """Retrieving is refused, and the log says why."""
    with pytest.raises(told):
        site.retrieve(request_id, by=by, **at)
    assert site.reasons(request_id)[-1] == reason
    assert (by, "request.retrieve_refused") in site.log(request_id)


def test_nobody_approves_their_own_request(site: Site) -> None:
    request = site.ask(site.add_photo(), 0)
    with pytest.raises(ForbiddenError, match="somebody else"):
        site.recovery.approve(request.request_id, approver=ADA, now=NOW)
    assert site.log(request.request_id)[1:] == [(ADA, "request.approve_refused")]
    assert site.reasons(request.request_id) == ["own_request"]
    refused(site, request.request_id, ApprovalRequiredError, "not_approved")


def test_two_approvers_are_two_people(site: Site) -> None:
    site.rules = stricter(RULES, approvals=2)
    request_id = site.approved(site.add_photo(), 0).request_id
    with pytest.raises(RequestStateError, match="one more"):
        site.recovery.approve(request_id, approver=BO, now=NOW)
    refused(site, request_id, ApprovalRequiredError, "not_approved")
    assert site.recovery.approve(request_id, approver=CY, now=NOW).state is RequestState.APPROVED
    assert site.retrieve(request_id).photos


@pytest.mark.parametrize("by", [BO, CY])
def test_only_whoever_asked_retrieves(site: Site, by: str) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    refused(site, request_id, ForbiddenError, "other_person", by=by)
    assert site.retrieve(request_id).photos


def test_it_is_retrieved_once(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    site.retrieve(request_id)
    refused(site, request_id, RequestStateError, "is_retrieved")
    with pytest.raises(RequestStateError):
        site.recovery.approve(request_id, approver=CY, now=NOW)


def test_of_many_at_once_one_retrieves(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    together = threading.Barrier(4)

    def retrieve(_: int) -> bool:
        together.wait()
        try:
            return bool(site.retrieve(request_id).photos)
        except (RequestStateError, AuditError):
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(retrieve, range(4))) == 1
    assert site.log(request_id).count((ADA, "request.retrieving")) == 1


def test_refused_and_cancelled_requests_open_nothing(site: Site) -> None:
    photo_id = site.add_photo()
    first, second = site.approved(photo_id, 0).request_id, site.ask(photo_id, 0).request_id
    assert site.recovery.refuse(first, approver=CY, now=NOW).state is RequestState.REFUSED
    assert site.recovery.cancel(second, by=ADA, now=NOW).state is RequestState.CANCELLED
    refused(site, first, RequestStateError, "is_refused")
    refused(site, second, RequestStateError, "is_cancelled")
    assert (CY, "request.refused") in site.log(first)
    assert (ADA, "request.cancelled") in site.log(second)


def test_others_do_not_cancel_and_one_does_not_refuse_oneself(site: Site) -> None:
    request_id = site.ask(site.add_photo(), 0).request_id
    with pytest.raises(ForbiddenError):
        site.recovery.cancel(request_id, by=BO, now=NOW)
    with pytest.raises(ForbiddenError):
        site.recovery.refuse(request_id, approver=ADA, now=NOW)
    assert state(site, request_id) is RequestState.OPEN
    assert site.log(request_id)[1:] == [(BO, "request.cancel_refused"), (ADA, "request.refuse_refused")]


@pytest.mark.parametrize("request_id", ["9" * 32, "nothing", "../x", "'; DROP TABLE approvals", ""])
def test_there_is_no_such_request(site: Site, request_id: str) -> None:
    with pytest.raises(RequestMissingError):
        site.recovery.get(request_id, now=NOW)
    with pytest.raises(RequestMissingError):
        site.recovery.approve(request_id, approver=BO, now=NOW)
    with pytest.raises(RequestMissingError):
        site.retrieve(request_id)
    tried = [(BO, "request.approve_refused"), (ADA, "request.retrieve_refused")]
    assert site.log(request_id) == (tried if request_id == "9" * 32 else [])


def test_a_stricter_rule_holds_for_what_was_approved_before(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    site.rules = stricter(RULES, approvals=2)
    refused(site, request_id, ApprovalRequiredError, "not_approved")


def test_a_state_that_was_written_into_the_database_opens_nothing(site: Site) -> None:
    request_id = site.ask(site.add_photo(), 0).request_id
    with database.writing(site.vault_engine) as connection:
        connection.execute(update(recovery_requests).values(state="approved"))
    refused(site, request_id, RequestStateError, "not_vouched")


# Time


def test_a_request_that_nobody_decides_expires(site: Site) -> None:
    request = site.ask(site.add_photo(), 0)
    assert site.recovery.get(request.request_id, now=request.expires_at - MINUTE).state is RequestState.OPEN
    with pytest.raises(RequestStateError, match="expired"):
        site.recovery.approve(request.request_id, approver=BO, now=request.expires_at)
    expected = [(ADA, "request.opened"), ("recovery", "request.expired"), (BO, "request.approve_refused")]
    assert site.log(request.request_id) == expected


def test_an_approved_request_is_retrieved_soon_or_never(site: Site) -> None:
    request = site.approved(site.add_photo(), 0)
    assert request.expires_at == NOW + RULES.retrieval_lasts
    refused(site, request.request_id, RequestStateError, "is_expired", now=request.expires_at)
    assert ("recovery", "request.expired") in site.log(request.request_id)
    refused(site, request.request_id, RequestStateError, "is_expired", now=NOW)  # also when the clock is set back


def test_the_sweep_ends_what_is_due_once(site: Site) -> None:
    photo_id = site.add_photo()
    ids = [site.ask(photo_id, 0).request_id for _ in range(3)]
    site.approved(photo_id, 0, now=NOW + timedelta(hours=71, minutes=50))
    assert site.recovery.expire_due(now=NOW + timedelta(hours=72)) == 3
    assert site.recovery.expire_due(now=NOW + timedelta(hours=72)) == 0
    assert all(state(site, request_id) is RequestState.EXPIRED for request_id in ids)
    assert [action for _, action in site.log()].count("request.expired") == 3


def test_looking_shows_what_has_expired_as_such(site: Site) -> None:
    request_id = site.ask(site.add_photo(), 0).request_id
    later = NOW + timedelta(days=4)
    assert site.recovery.requests(now=later, limit=5, state=RequestState.OPEN) == []
    assert [one.request_id for one in site.recovery.requests(now=later, limit=5)] == [request_id]
    assert site.log(request_id)[1:] == [("recovery", "request.expired")]


def test_a_record_past_its_time_is_not_opened_and_the_request_is_not_used_up(site: Site) -> None:
    photo_id = site.add_photo(lasts=timedelta(minutes=10))
    request_id = site.approved(photo_id, 0).request_id
    refused(site, request_id, OriginalGoneError, "record_expired", now=NOW + 10 * MINUTE)
    assert site.retrieve(request_id, now=NOW + 9 * MINUTE).photos


# Consent


def test_nothing_is_opened_while_a_withdrawal_is_pending(site: Site) -> None:
    photo_id = site.add_photo()
    theirs, others = site.approved(photo_id, 0).request_id, site.approved(photo_id, 1).request_id
    withdrawal_id = withdraw(site)
    refused(site, theirs, RequestStateError, "withdrawal_pending")
    assert site.retrieve(others).photos  # somebody else's face in the same photo
    with pytest.raises(RequestStateError, match="withdrawn"):
        site.ask(photo_id, 0)
    with database.writing(site.vault_engine) as connection:
        withdrawals.end(connection, withdrawal_id, WithdrawalState.CANCELLED, now=NOW)
    assert site.retrieve(theirs).photos


def test_a_withdrawal_that_comes_in_while_files_are_read_is_noticed(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id

    def slow(photo_id: str) -> bytes:
        withdraw(site)
        return site.give(photo_id)

    with pytest.raises(RequestStateError, match="withdrawn"):
        site.recovery.retrieve(request_id, by=ADA, published=slow, now=NOW)


def test_a_shredded_subject_is_not_opened(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    site.keyring.shred(REF, now=NOW)
    refused(site, request_id, KeyShreddedError, "shredded")
    assert state(site, request_id) is RequestState.APPROVED


def test_what_was_destroyed_is_gone_and_not_just_missing(site: Site) -> None:
    """The sweep deletes the records, too; that there were some is in the log."""
    photo_id = site.add_photo()
    request_id = site.approved(photo_id, 0).request_id
    site.keyring.shred(REF, now=NOW)
    with database.writing(site.vault_engine) as connection:
        withdrawals.forget(connection, REF)
    refused(site, request_id, OriginalGoneError, "gone")
    with pytest.raises(OriginalGoneError):
        site.ask(photo_id, 0)
    with pytest.raises(KeyShreddedError):
        site.ask_for_access()
    assert site.retrieve(site.approved(photo_id, 1).request_id).photos
    with pytest.raises(RequestStateError, match="no original of face 2"):
        site.ask(photo_id, 2)


def test_an_old_backup_of_the_keys_brings_nobody_back(small_site: Site) -> None:
    site, keys = small_site, small_site.folder / "keys.sqlite3"
    request_id = site.approved(site.add_photo(), 0).request_id
    site.keys_engine.dispose()
    shutil.copy(keys, keys.with_suffix(".backup"))
    withdraw(site, state=WithdrawalState.SHREDDED)
    site.keyring.shred(REF, now=NOW)
    site.keys_engine.dispose()
    for left in keys.parent.glob("keys.sqlite3*"):
        left.unlink()
    shutil.copy(keys.with_suffix(".backup"), keys)
    assert site.keyring.get(REF) is not None  # the key is really back
    refused(site, request_id, KeyShreddedError, "shredded")
    with pytest.raises(KeyShreddedError):
        site.ask_for_access()


# The log behind which nothing is opened


def older(site: Site) -> Iterator[None]:
    """From the second step on, the vault is as it was before the first; with it come requests that were used up."""
    vault = site.folder / "vault.sqlite3"
    site.vault_engine.dispose()
    shutil.copy(vault, vault.with_suffix(".backup"))
    yield
    site.vault_engine.dispose()
    for left in vault.parent.glob("vault.sqlite3*"):
        left.unlink()
    shutil.copy(vault.with_suffix(".backup"), vault)
    yield


def test_a_used_up_request_does_not_come_back_with_an_old_vault(small_site: Site) -> None:
    site = small_site
    photo_id = site.add_photo()
    request_id, waiting = site.approved(photo_id, 0).request_id, site.ask(photo_id, 1).request_id
    steps = older(site)
    next(steps)
    site.retrieve(request_id)
    head = AuditLog(site.vault_engine).head()
    next(steps)
    assert state(site, request_id) is RequestState.APPROVED  # the request is really back
    refused(site, request_id, AuditError, "log_older")
    with pytest.raises(AuditError, match="older database"):
        site.recovery.approve(waiting, approver=BO, now=NOW)
    assert AuditLog(site.vault_engine).head().seq >= head.seq  # grown longer by then, and still another chain
    refused(site, request_id, AuditError, "log_older")
    site.recovery.refuse(waiting, approver=BO, now=NOW)  # a no is always possible


def test_a_head_on_the_chain_changes_nothing(site: Site) -> None:
    photo_id = site.add_photo()
    for head in (audit.START, AuditLog(site.vault_engine).head()):
        site.heads.export(lambda head=head: head, now=NOW)
        assert site.retrieve(site.approved(photo_id, 0).request_id).photos


def test_without_knowing_how_far_the_log_went_nothing_is_opened(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    (site.folder / "heads.jsonl").write_bytes(b"nothing that we signed\n")
    refused(site, request_id, AuditError, "log_unknown")
    assert state(site, request_id) is RequestState.APPROVED


def test_on_a_changed_log_nothing_is_built(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    with database.writing(site.vault_engine) as connection:
        drop_triggers(connection)
        connection.execute(update(audit_events).where(audit_events.c.seq == 3).values(actor=CY))
    with pytest.raises(AuditError, match="changed"):
        site.retrieve(request_id)


def drop_triggers(connection: Any) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP TRIGGER audit_events_append_only ON audit_events"))
    else:
        connection.execute(text("DROP TRIGGER audit_events_no_update"))


class Untouched:
    """A master key that must not be used."""

    def unseal(self, record: SealedRecord, _key: SubjectKey) -> bytes:
        raise AssertionError(f"record {record.record_id} was opened")


def test_when_the_log_cannot_be_written_nothing_is_opened_or_approved(site: Site) -> None:
    """Somebody else holds the log: the answer is there within the time in which a person is told to try again."""
    photo_id = site.add_photo()
    approved, waiting = site.approved(photo_id, 0).request_id, site.ask(photo_id, 1).request_id
    with database.writing(site.vault_engine) as connection:
        audit.hold(connection)
        audit.append(connection, [NewEvent("somebody", "else.busy", photo_id)], now=NOW)
        for step in (
            lambda: site.recovery_with(Untouched()).retrieve(approved, by=ADA, published=site.give, now=NOW),
            lambda: site.recovery.approve(waiting, approver=BO, now=NOW),
            lambda: site.ask(photo_id, 0),
        ):
            asked_at = monotonic()
            with pytest.raises(AuditError):
                step()
            assert monotonic() - asked_at < 2
    assert site.retrieve(approved).photos
    assert state(site, waiting) is RequestState.OPEN


def fail_at(site: Site, nth: int) -> Iterator[None]:
    """The nth event, counted from now, cannot be written, as on a full disk."""
    count = 0

    def refuse(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        nonlocal count
        count += statement.startswith("INSERT INTO audit_events")
        full = count == nth and statement.startswith("INSERT INTO audit_events")
        return ("INSERT INTO no_room_left VALUES (1)", ()) if full else (statement, parameters)

    event.listen(site.vault_engine, "before_cursor_execute", refuse, retval=True)
    yield
    event.remove(site.vault_engine, "before_cursor_execute", refuse)
    yield


def test_without_the_intent_nothing_is_opened(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    steps = fail_at(site, 1)
    next(steps)
    with pytest.raises(AuditError):
        site.recovery_with(Untouched()).retrieve(request_id, by=ADA, published=site.give, now=NOW)
    next(steps)
    assert site.retrieve(request_id).photos


def test_without_the_outcome_no_pixel_leaves_and_the_request_is_used_up(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id
    steps = fail_at(site, 2)
    next(steps)
    with pytest.raises(AuditError):
        site.retrieve(request_id)
    next(steps)
    assert site.log(request_id)[-1] == (ADA, "request.retrieving")
    refused(site, request_id, RequestStateError, "is_retrieved")


STEPS: dict[str, Callable[[Recovery, RecoveryRequest], object]] = {
    "approve": lambda recovery, one: recovery.approve(one.request_id, approver=BO, now=NOW),
    "refuse": lambda recovery, one: recovery.refuse(one.request_id, approver=BO, now=NOW),
    "cancel": lambda recovery, one: recovery.cancel(one.request_id, by=ADA, now=NOW),
    "expire": lambda recovery, one: recovery.get(one.request_id, now=one.expires_at),
}


@pytest.mark.parametrize("step", STEPS)
def test_without_its_event_no_step_is_taken(site: Site, step: str) -> None:
    request = site.ask(site.add_photo(), 0)
    steps = fail_at(site, 1)
    next(steps)
    with pytest.raises(AuditError):
        STEPS[step](site.recovery, request)
    next(steps)
    assert site.recovery.requests(now=NOW, limit=5) == [request]


def test_without_its_event_no_request_is_made(site: Site) -> None:
    photo_id = site.add_photo()
    steps = fail_at(site, 1)
    next(steps)
    with pytest.raises(AuditError):
        site.ask(photo_id, 0)
    next(steps)
    assert site.recovery.requests(now=NOW, limit=5) == []


# What may be asked for


@pytest.mark.parametrize("faces", [(2,), (0, 7)])
def test_a_face_of_which_nothing_is_kept_cannot_be_asked_for(site: Site, faces: tuple[int, ...]) -> None:
    photo_id = site.add_photo()
    with pytest.raises(RequestStateError, match=f"face {faces[-1]}"):
        site.ask(photo_id, *faces)
    with pytest.raises(RequestStateError):
        site.ask("d" * 32, 0)
    assert site.recovery.requests(now=NOW, limit=5) == []
    assert [action for _, action in site.log()].count("request.open_refused") == 2


def test_another_projects_photo_cannot_be_asked_for(site: Site) -> None:
    photo_id = site.add_photo()
    with pytest.raises(RequestStateError):
        site.recovery.request(
            project_id="c" * 32,
            photo_id=photo_id,
            face_indices=[0],
            requested_by=ADA,
            reason="curious",
            reference=None,
            labelstudio_task_id=None,
            now=NOW,
        )


def test_a_request_without_a_reason_is_none(site: Site) -> None:
    with pytest.raises(OfficeError):
        site.ask(site.add_photo())
    assert site.log(None)[1:] == []


# A subject's copy of their photos


def test_an_access_gives_their_own_face_in_all_their_photos(site: Site) -> None:
    theirs = sorted(site.add_photo(format=format) for format in ("png", "jpeg", "webp"))
    site.add_photo(subject="Bo Example")
    request = site.ask_for_access()
    site.recovery.approve(request.request_id, approver=BO, now=NOW)
    retrieved = site.retrieve(request.request_id)
    assert [photo.photo_id for photo in retrieved.photos] == theirs
    mine, other = face(0), face(1)
    for photo in retrieved.photos:
        assert [crop.face_index for crop in photo.crops] == [0]
        shown, published = images.decode(photo.png), images.decode(site.published[photo.photo_id])
        original = site.originals[photo.photo_id]
        assert np.array_equal(shown[within(mine)][mine.mask], original[within(mine)][mine.mask])
        assert np.array_equal(shown[within(other)], published[within(other)])
        assert not photo.complete
    intents = [event for event in AuditLog(site.vault_engine).events() if event.action == "request.retrieving"]
    assert [event.detail for event in intents] == [{"photo_id": photo_id, "face_0": True} for photo_id in theirs]


def test_an_access_leaves_out_what_is_not_kept_or_not_published(site: Site) -> None:
    there, expired, unpublished = site.add_photo(), site.add_photo(lasts=MINUTE), site.add_photo()
    request = site.ask_for_access()
    site.recovery.approve(request.request_id, approver=BO, now=NOW)
    del site.published[unpublished]
    retrieved = site.retrieve(request.request_id, now=NOW + 2 * MINUTE)
    assert ([photo.photo_id for photo in retrieved.photos], len(retrieved.left_out)) == ([there], 2)
    assert {one.photo_id: one.reason for one in retrieved.left_out} == {
        expired: "expired",
        unpublished: "not_published",
    }


def test_an_access_of_which_nothing_is_left_is_refused(site: Site) -> None:
    site.add_photo(lasts=MINUTE)
    request = site.ask_for_access()
    site.recovery.approve(request.request_id, approver=BO, now=NOW)
    refused(site, request.request_id, OriginalGoneError, "record_expired", now=NOW + 2 * MINUTE)
    with pytest.raises(RequestStateError):
        site.ask_for_access("Nobody")


def test_an_access_whose_subject_was_forgotten_is_refused(site: Site) -> None:
    """Shredding takes the subject's name out of requests."""
    site.add_photo()
    request = site.ask_for_access()
    site.recovery.approve(request.request_id, approver=BO, now=NOW)
    with database.writing(site.vault_engine) as connection:
        withdrawals.forget(connection, REF)
    refused(site, request.request_id, KeyShreddedError, "shredded")


# What leaves, and what does not


def test_the_forensic_mark_names_the_request_and_touches_the_restored_pixels_alone(site: Site) -> None:
    photo_id, asked = site.add_photo(), face(0)
    exact = images.decode(site.retrieve(site.approved(photo_id, 0).request_id).photos[0].png)
    site.rules = dataclasses.replace(RULES, forensic_mark=True)
    request_id = site.approved(photo_id, 0).request_id
    retrieved = site.retrieve(request_id)
    marked = images.decode(retrieved.photos[0].png)
    assert not retrieved.bit_exact
    within_face = np.zeros(exact.shape[:2], np.bool_)
    within_face[within(asked)] = asked.mask
    assert np.array_equal(marked[~within_face], exact[~within_face])
    assert np.array_equal(marked, forensic_mark.embed(exact, within_face, request_id))
    assert not np.array_equal(marked, exact)
    assert list(AuditLog(site.vault_engine).events())[-1].detail["marked"] is True


def test_nobodys_name_and_nobodys_words_get_into_the_log_or_a_message(site: Site) -> None:
    photo_id = site.add_photo()
    request = site.ask_for_access()
    site.recovery.approve(request.request_id, approver=BO, now=NOW)
    retrieved = site.retrieve(request.request_id)
    with pytest.raises(BackendError) as again:
        site.retrieve(request.request_id)
    withdraw(site)
    with pytest.raises(BackendError) as withdrawn:
        site.ask(photo_id, 0)
    shown = [repr(event) for event in AuditLog(site.vault_engine).events()]
    shown += [repr(one) for one in (again.value, withdrawn.value, retrieved, request)]
    for secret in (SUBJECT, "Ada", "They asked", "D-17", "disputed", "PNG", str(site.folder)):
        assert not any(secret in one for one in shown)
    assert any(site.pseudonym(REF) in one for one in shown)
