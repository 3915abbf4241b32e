"""Who may do what, and that it is done and logged; over real databases, keys and photos that a worker has locked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import admin_office
import numpy as np
import pytest
from admin_office import APPROVES, ASKS, KEEPS, READS, TASK, Restricted
from recovery_site import picture
from sqlalchemy import update
from workshop import Databases

from backend.accounts import Accounts, Role
from backend.admin.disputes import Decision
from backend.admin.office import PAGE, Office
from backend.custody import audit_check, database, seal
from backend.custody.audit import read_line
from backend.custody.records import RecoveryRequest, RequestState, WithdrawalState
from backend.custody.tables import audit_events
from backend.errors import (
    ApprovalRequiredError,
    AuditBrokenError,
    AuditError,
    ConfigError,
    ForbiddenError,
    LedgerError,
    OfficeError,
    OriginalGoneError,
    RequestMissingError,
    RequestStateError,
)
from backend.ledger.database import writing
from backend.ledger.records import Photo
from backend.ledger.tables import PhotoRow
from g2face_model import images

ORIGINAL = picture(60, 80)
ID = "c" * 32


@pytest.fixture
def restricted(tmp_path: Path, databases: Databases) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data", databases=databases, grace_days=1) as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    return restricted.photo(restricted.project(), ORIGINAL, subject_id="P-017")


def ask(restricted: Restricted, photo: Photo, *faces: int, by: str = ASKS) -> RecoveryRequest:
    return restricted.office.request(
        restricted.actor(by),
        photo_id=photo.photo_id,
        face_indices=faces or (0,),
        reason="The label is disputed.",
        reference=" ",
        now=restricted.clock(),
    )


def approved(restricted: Restricted, photo: Photo, *faces: int) -> RecoveryRequest:
    asked = ask(restricted, photo, *faces)
    return restricted.office.approve(restricted.actor(APPROVES), asked.request_id, now=restricted.clock())


ALLOWED: list[tuple[str, set[Role], dict[str, Any]]] = [
    ("projects", {Role.REQUESTER, Role.APPROVER, Role.AUDITOR, Role.KEY_OFFICER}, {}),
    ("find", {Role.REQUESTER}, {"pasted": "1"}),
    ("photo", {Role.REQUESTER, Role.APPROVER, Role.AUDITOR}, {"photo_id": ID}),
    ("image", {Role.REQUESTER, Role.APPROVER, Role.AUDITOR}, {"photo_id": ID}),
    ("labels", {Role.REQUESTER, Role.APPROVER, Role.AUDITOR}, {"photo_id": ID}),
    ("request", {Role.REQUESTER}, {"photo_id": ID, "face_indices": [0], "reason": "r", "reference": None}),
    ("request_access", {Role.REQUESTER}, {"project_id": ID, "subject_id": "P", "reason": "r", "reference": None}),
    ("requests", {Role.REQUESTER, Role.APPROVER, Role.AUDITOR}, {}),
    ("get", {Role.REQUESTER, Role.APPROVER, Role.AUDITOR}, {"request_id": ID}),
    ("approve", {Role.APPROVER}, {"request_id": ID}),
    ("refuse", {Role.APPROVER}, {"request_id": ID}),
    ("cancel", {Role.REQUESTER}, {"request_id": ID}),
    ("retrieve", {Role.REQUESTER}, {"request_id": ID}),
    ("decide", {Role.REQUESTER}, {"request_id": ID, "decision": Decision.STANDS}),
    ("photos_of", {Role.KEY_OFFICER}, {"project_id": ID, "subject_id": "P"}),
    ("withdraw", {Role.KEY_OFFICER}, {"project_id": ID, "subject_id": "P"}),
    ("withdraw_project", {Role.KEY_OFFICER}, {"project_id": ID}),
    ("withdrawals", {Role.KEY_OFFICER, Role.AUDITOR}, {}),
    ("cancel_withdrawal", {Role.KEY_OFFICER}, {"withdrawal_id": ID}),
    ("receipt", {Role.KEY_OFFICER, Role.AUDITOR}, {"withdrawal_id": ID}),
    ("sweep", {Role.KEY_OFFICER}, {}),
    ("events", {Role.AUDITOR}, {}),
    ("verify", {Role.AUDITOR}, {}),
    ("export", {Role.AUDITOR}, {}),
    ("keys", {Role.KEY_OFFICER, Role.AUDITOR}, {}),
]
_LOOKS_ONLY = {"projects", "find", "photo", "image", "labels", "photos_of", "withdrawals", "receipt", "events", "keys"}


@pytest.mark.parametrize(("name", "roles", "arguments"), ALLOWED, ids=[row[0] for row in ALLOWED])
def test_each_duty_has_its_roles_and_no_other(
    restricted: Restricted, name: str, roles: set[Role], arguments: dict[str, Any]
) -> None:
    method: Callable[..., object] = getattr(restricted.office, name)
    now = {} if name in _LOOKS_ONLY else {"now": restricted.clock()}
    for number, role in enumerate(Role):
        actor = restricted.actor(f"{number}@example.org", [role.value])
        try:
            method(actor, **arguments, **now)
        except ForbiddenError:
            assert role not in roles
        except (LedgerError, OfficeError, RequestMissingError):
            assert role in roles  # nothing is there, which is told to those alone who may know
        else:
            assert role in roles


def test_every_duty_is_in_the_table() -> None:
    public = {name for name in dir(Office) if not name.startswith("_") and callable(getattr(Office, name))}
    assert public - {row[0] for row in ALLOWED} == {"overview", "names", "keeps_nothing", "given", "decision"}


def test_from_the_task_s_address_to_the_face_as_it_was(restricted: Restricted, photo: Photo) -> None:
    office, clock = restricted.office, restricted.clock
    found = office.find(restricted.actor(ASKS), f"https://labels.example/projects/7/data?tab=2&task={TASK}")
    assert found == photo
    asked = approved(restricted, photo, 1)
    assert (asked.state, asked.labelstudio_task_id, asked.reference) == (RequestState.APPROVED, TASK, None)
    retrieved = office.retrieve(restricted.actor(ASKS), asked.request_id, now=clock())
    (restored,) = retrieved.photos
    pixels = images.decode(restored.png)
    assert np.array_equal(pixels[:, 40:], ORIGINAL[:, 40:])
    assert not np.array_equal(pixels[:, :40], ORIGINAL[:, :40])  # the other person stays anonymized
    assert [action for _, action in restricted.log(asked.request_id)][-1] == "request.retrieved"
    with pytest.raises(RequestStateError):
        office.retrieve(restricted.actor(ASKS), asked.request_id, now=clock())


@pytest.mark.parametrize("end", ["role", "off", "outside"])
def test_an_approval_counts_only_while_its_approver_may_approve(restricted: Restricted, photo: Photo, end: str) -> None:
    asked, office, approver = approved(restricted, photo), restricted.office, restricted.account(APPROVES)
    match end:
        case "role":
            office.accounts.set_roles(approver.account_id, ["auditor"])
        case "off":
            office.accounts.switch(approver.account_id, on=False)
        case "outside":  # by somebody who writes to the database, and for whom nobody vouches
            Accounts(office.ledger.engine).set_roles(approver.account_id, ["approver", "auditor"])
    with pytest.raises(ApprovalRequiredError, match="more people"):
        office.retrieve(restricted.actor(ASKS), asked.request_id, now=restricted.clock())
    assert [action for _, action in restricted.log(asked.request_id)][-1] == "request.retrieve_refused"
    assert office.recovery.get(asked.request_id, now=restricted.clock()).state is RequestState.APPROVED


def test_a_subject_s_access_goes_without_a_photo_that_has_no_image(restricted: Restricted, photo: Photo) -> None:
    """As a worker leaves it that dies, or whose photo is cancelled, between locking and storing."""
    office, clock = restricted.office, restricted.clock
    other = restricted.photo(
        office.ledger.project(photo.project_id), picture(60, 80, seed=1), subject_id="P-017", task_id=TASK + 1
    )
    with writing(office.ledger.engine) as connection:
        gone = update(PhotoRow).where(PhotoRow.photo_id == other.photo_id).values(image_sha256=None, image_key=None)
        connection.execute(gone)
    asked = office.request_access(
        restricted.actor(ASKS),
        project_id=photo.project_id,
        subject_id="P-017",
        reason="They asked.",
        reference=None,
        now=clock(),
    )
    office.approve(restricted.actor(APPROVES), asked.request_id, now=clock())
    retrieved = office.retrieve(restricted.actor(ASKS), asked.request_id, now=clock())
    assert [(one.photo_id, one.reason) for one in retrieved.left_out] == [(other.photo_id, "not_published")]
    assert [one.photo_id for one in retrieved.photos] == [photo.photo_id]
    given = office.given(restricted.actor(READS), office.get(restricted.actor(READS), asked.request_id, now=clock()))
    assert (given["photos"], given["left_out"], given["left_out_not_published"]) == (1, 1, 1)


def test_a_face_that_is_not_there_is_not_asked_for(restricted: Restricted, photo: Photo) -> None:
    for faces in ([], [2], [0, 7], [-1]):
        with pytest.raises(OfficeError, match="at least one"):
            restricted.office.request(
                restricted.actor(ASKS),
                photo_id=photo.photo_id,
                face_indices=faces,
                reason="why",
                reference=None,
                now=restricted.clock(),
            )
    assert restricted.log() == [("worker", "photo.sealed")]


def test_requesters_see_their_own_requests_alone(restricted: Restricted, photo: Photo) -> None:
    mine, theirs = ask(restricted, photo), ask(restricted, photo, by=_other(restricted))
    office, now = restricted.office, restricted.clock()
    assert [one.request_id for one in office.requests(restricted.actor(ASKS), now=now)] == [mine.request_id]
    with pytest.raises(RequestMissingError):
        office.get(restricted.actor(ASKS), theirs.request_id, now=now)
    for email in (APPROVES, READS):
        assert len(office.requests(restricted.actor(email), now=now)) == 2
        assert office.get(restricted.actor(email), mine.request_id, now=now) == mine


def test_the_overview_shows_what_waits_for_whom(restricted: Restricted, photo: Photo) -> None:
    both = restricted.actor("both@example.org", ["requester", "approver"])
    own, other = ask(restricted, photo, by="both@example.org"), ask(restricted, photo)
    office, now = restricted.office, restricted.clock()
    seen = office.overview(both, now=now)
    assert [one.request_id for one in seen.to_approve] == [other.request_id]
    assert [one.request_id for one in seen.mine] == [own.request_id]
    assert (seen.withdrawals, seen.events) == (None, None)
    assert office.overview(restricted.actor(KEEPS), now=now).withdrawals == 0
    assert office.overview(restricted.actor(READS), now=now).events == len(restricted.log())
    assert office.overview(restricted.actor(KEEPS), now=now).to_approve == ()


def test_one_s_own_requests_are_shown_however_many_others_there_are(restricted: Restricted, photo: Photo) -> None:
    mine = ask(restricted, photo)
    for _ in range(PAGE):
        restricted.clock.forward(seconds=1)  # type: ignore[attr-defined]
        ask(restricted, photo, by=_other(restricted))
    seen = restricted.office.overview(restricted.actor(ASKS), now=restricted.clock())
    assert [one.request_id for one in seen.mine] == [mine.request_id]


def test_a_dispute_ends_once_the_original_was_seen_and_by_whoever_saw_it(restricted: Restricted, photo: Photo) -> None:
    asked, office, clock = approved(restricted, photo), restricted.office, restricted.clock
    with pytest.raises(RequestStateError):
        office.decide(restricted.actor(ASKS), asked.request_id, Decision.STANDS, now=clock())
    office.retrieve(restricted.actor(ASKS), asked.request_id, now=clock())
    everything = restricted.actor("all@example.org", ["requester", "auditor"])
    with pytest.raises(ForbiddenError, match="whoever saw"):
        office.decide(everything, asked.request_id, Decision.STANDS, now=clock())
    with pytest.raises(ConfigError, match="Label Studio is not set up"):
        office.decide(restricted.actor(ASKS), asked.request_id, Decision.STANDS, now=clock())
    assert [action for _, action in restricted.log(asked.request_id)][-1] == "dispute.decided"  # and never noted


def test_a_withdrawn_subject_is_opened_for_nobody_and_shredded_after_the_grace(
    restricted: Restricted, photo: Photo
) -> None:
    office, clock, officer = restricted.office, restricted.clock, restricted.actor(KEEPS)
    asked = approved(restricted, photo)
    assert office.photos_of(officer, photo.project_id, "P-017") == 1
    assert office.photos_of(officer, photo.project_id, "P-071") == 0
    made = office.withdraw(officer, photo.project_id, " P-017 ", now=clock())
    with pytest.raises(RequestStateError, match="withdrawn consent"):
        office.retrieve(restricted.actor(ASKS), asked.request_id, now=clock())
    assert office.sweep(officer, now=clock()).shredded == 0
    clock.forward(days=1)  # type: ignore[attr-defined]
    report = office.sweep(officer, now=clock())
    assert (report.shredded, report.failed, report.complete) == (1, 0, True)
    assert restricted.office.ledger.photo(photo.photo_id).subject_id is None
    receipt = office.receipt(restricted.actor(READS), made.withdrawal_id)
    assert receipt["document"]["withdrawal_id"] == made.withdrawal_id
    with pytest.raises(OriginalGoneError):
        ask(restricted, photo)


def test_an_auditor_does_not_learn_who_withdrew(restricted: Restricted, photo: Photo) -> None:
    office, clock = restricted.office, restricted.clock
    office.withdraw(restricted.actor(KEEPS), photo.project_id, "P-017", now=clock())
    (seen,) = office.withdrawals(restricted.actor(READS))
    assert (seen.subject_id, seen.state) == (None, WithdrawalState.PENDING)
    (known,) = office.withdrawals(restricted.actor(KEEPS))
    assert known.subject_id == "P-017"


def test_a_withdrawal_can_be_taken_back_in_time(restricted: Restricted, photo: Photo) -> None:
    office, clock, officer = restricted.office, restricted.clock, restricted.actor(KEEPS)
    made = office.withdraw(officer, photo.project_id, "P-017", now=clock())
    assert office.cancel_withdrawal(officer, made.withdrawal_id, now=clock()).state is WithdrawalState.CANCELLED
    assert office.overview(officer, now=clock()).withdrawals == 0


def test_the_log_is_filtered_verified_and_exported(restricted: Restricted, photo: Photo) -> None:
    asked, office, reader = ask(restricted, photo), restricted.office, restricted.actor(READS)
    (one,) = office.events(reader, target=asked.request_id)
    assert one.action == "request.opened"
    assert [event.seq for event in office.events(reader, before=3, limit=1)] == [2]
    assert office.events(reader, action="request.opened", by="worker") == ()
    before = office.audit.head()
    assert office.verify(reader, now=restricted.clock()) == before
    lines = list(office.export(reader, now=restricted.clock()))
    assert [read_line(line) for line in lines] == list(office.audit.events())
    assert [event.action for event in office.events(reader, limit=2)] == ["audit.exported", "audit.verified"]


def test_a_log_that_was_changed_beyond_reading_is_exported_all_the_same(restricted: Restricted, photo: Photo) -> None:
    asked, office, reader = ask(restricted, photo), restricted.office, restricted.actor(READS)
    ask(restricted, photo)
    vault = database.open_vault(restricted.settings.vault())
    with database.writing(vault) as connection:
        sqlite = connection.dialect.name == "sqlite"
        trigger = "audit_events_no_update" if sqlite else "audit_events_append_only ON audit_events"
        connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        changed = update(audit_events).where(audit_events.c.target == asked.request_id).values(detail="{ }")
        assert connection.execute(changed).rowcount == 1
    vault.dispose()
    with pytest.raises(AuditBrokenError, match="was changed"):
        office.verify(reader, now=restricted.clock())
    checked = audit_check.check_lines(list(office.export(reader, now=restricted.clock())))
    assert audit_check.Harm.UNREADABLE in {finding.harm for finding in checked.findings}


def test_a_log_that_was_cut_behind_an_exported_head_is_found(restricted: Restricted, photo: Photo) -> None:
    office = restricted.office
    ask(restricted, photo)
    office.sweep(restricted.actor(KEEPS), now=restricted.clock())
    head = office.heads.last()
    assert head is not None
    assert head.seq == office.audit.head().seq
    gone = type(head)(head.seq + 5, "f" * 64)  # as if five events were gone
    office.heads.export(lambda: gone, now=restricted.clock())
    with pytest.raises(AuditError, match="does not lead to the head"):
        office.verify(restricted.actor(READS), now=restricted.clock())


def test_keys_are_counted_and_named_by_id(restricted: Restricted, photo: Photo) -> None:
    office = restricted.office
    state = office.keys(restricted.actor(KEEPS))
    assert state.key_id == seal.key_id(office.master.public_key).hex()
    assert (state.sealed, state.shredded, state.retired) == (2, 0, ())
    office.withdraw(restricted.actor(KEEPS), photo.project_id, "P-017", now=restricted.clock())
    restricted.clock.forward(days=2)  # type: ignore[attr-defined]
    office.sweep(restricted.actor(KEEPS), now=restricted.clock())
    state = office.keys(restricted.actor(READS))
    assert (state.sealed, state.shredded) == (1, 1)


def test_a_policy_that_keeps_nothing_is_told(restricted: Restricted) -> None:
    kept = restricted.photo(restricted.project("For good", labelstudio_id=8, recovery="none"), ORIGINAL, task_id=9)
    actor = restricted.actor(ASKS)
    assert restricted.office.keeps_nothing(actor, kept)
    with pytest.raises(RequestStateError, match="no original"):
        ask(restricted, kept)


def _other(restricted: Restricted) -> str:
    restricted.account("other@example.org", ["requester"])
    return "other@example.org"
