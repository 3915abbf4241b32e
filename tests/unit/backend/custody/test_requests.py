"""Requests are kept as they are, and only replaced by whoever knows how they were."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from recovery_site import ADA, BO, CY, NOW, PROJECT, RULES, stricter
from sqlalchemy import Engine, select

from backend.custody import database, lifecycle
from backend.custody.lifecycle import RefusedError
from backend.custody.records import RecoveryRequest, RequestKind, RequestState
from backend.custody.requests import Requests
from backend.custody.tables import approvals, recovery_requests

REQUESTS = Requests(b"v" * 32)
ASKED = lifecycle.opened(
    RecoveryRequest(
        request_id="e" * 32,
        kind=RequestKind.RECOVERY,
        project_id=PROJECT,
        photo_id="b" * 32,
        face_indices=(0, 2, 65535),
        subject_id=None,
        requested_by=ADA,
        reason="異議\n'; DROP TABLE approvals; --",
        reference="D-17",
        labelstudio_task_id=2**63 - 1,
        approvals_needed=0,
        approved_by=(),
        state=RequestState.OPEN,
        created_at=NOW,
        expires_at=NOW,
    ),
    rules=stricter(RULES, approvals=2),
)
ACCESS = dataclasses.replace(
    ASKED,
    request_id="d" * 32,
    kind=RequestKind.ACCESS,
    photo_id=None,
    face_indices=(),
    subject_id="Ada Example",
    reference=None,
    labelstudio_task_id=None,
    created_at=NOW + timedelta(minutes=1),
)


@pytest.mark.parametrize("request_", [ASKED, ACCESS])
def test_a_request_comes_back_as_it_went_in(vault_engine: Engine, request_: RecoveryRequest) -> None:
    with database.writing(vault_engine) as connection:
        REQUESTS.add(connection, request_)
        assert REQUESTS.get(connection, "0" * 32) is None
    with database.reading(vault_engine) as connection:
        assert REQUESTS.get(connection, request_.request_id) == request_


def test_approvals_come_back_in_their_order(vault_engine: Engine) -> None:
    two, later = stricter(RULES, approvals=2), NOW + timedelta(minutes=1)
    once = lifecycle.approve(ASKED, approver=CY, now=NOW, rules=two)
    twice = lifecycle.approve(once, approver=BO, now=later, rules=two)
    with database.writing(vault_engine) as connection:
        REQUESTS.add(connection, ASKED)
        REQUESTS.replace(connection, ASKED, once, now=NOW)
        REQUESTS.replace(connection, once, twice, now=later)
        assert REQUESTS.get(connection, ASKED.request_id) == twice
        assert twice.approved_by == (CY, BO)


def test_what_changed_meanwhile_is_not_replaced(vault_engine: Engine) -> None:
    two = stricter(RULES, approvals=2)
    once = lifecycle.approve(ASKED, approver=BO, now=NOW, rules=two)
    cancelled = lifecycle.cancel(ASKED, by=ADA, now=NOW)
    with database.writing(vault_engine) as connection:
        REQUESTS.add(connection, ASKED)
        REQUESTS.replace(connection, ASKED, once, now=NOW)
    for before, after in ((ASKED, once), (dataclasses.replace(ASKED, state=RequestState.APPROVED), cancelled)):
        with database.writing(vault_engine) as connection, pytest.raises(RefusedError, match="changed"):
            REQUESTS.replace(connection, before, after, now=NOW)


def test_listing_and_what_is_due(vault_engine: Engine) -> None:
    everything = {"state": None, "project_id": None, "requested_by": None, "before": None}
    with database.writing(vault_engine) as connection:
        REQUESTS.add(connection, ASKED)
        REQUESTS.add(connection, ACCESS)
        assert REQUESTS.listed(connection, **everything, limit=9) == [ACCESS, ASKED]
        assert REQUESTS.listed(connection, **everything, limit=1) == [ACCESS]
        assert REQUESTS.listed(connection, **everything | {"before": ACCESS.created_at}, limit=9) == [ASKED]
        assert REQUESTS.listed(connection, **everything | {"requested_by": BO}, limit=9) == []
        due = {"request_id": None, "limit": 9}
        assert REQUESTS.due(connection, now=ASKED.expires_at - timedelta(seconds=1), **due) == []
        assert REQUESTS.due(connection, now=ASKED.expires_at, **due) == [ACCESS, ASKED]
        assert REQUESTS.due(connection, now=ASKED.expires_at, request_id=ASKED.request_id, limit=9) == [ASKED]
        REQUESTS.replace(connection, ASKED, lifecycle.cancel(ASKED, by=ADA, now=NOW), now=NOW)
        assert REQUESTS.due(connection, now=ASKED.expires_at, **due) == [ACCESS]


ONCE = lifecycle.approve(ASKED, approver=CY, now=NOW, rules=stricter(RULES, approvals=2))


@pytest.mark.parametrize(
    "forged",
    [
        {"state": "approved"},
        {"expires_at": NOW + timedelta(days=9)},
        {"decided_at": NOW},
        {"retrieved_at": NOW},
        {"photo_id": "c" * 32},
        {"face_indices": "[0, 1, 2, 65535]"},
        {"project_id": "c" * 32},
        {"kind": "access"},
        {"subject_id": "Ada Example"},
        {"requested_by": BO},
        {"reason": "because"},
        {"reference": "D-18"},
        {"labelstudio_task_id": 1},
        {"approvals_needed": 1},
        {"created_at": NOW + timedelta(microseconds=1)},
        {"voucher": None},
        {"voucher": ""},
        {"voucher": "ä"},
        {"voucher": "0" * 64},
    ],
    ids=lambda forged: next(iter(forged)),
)
def test_a_row_that_somebody_else_has_changed_is_not_vouched_for(
    vault_engine: Engine, forged: dict[str, object]
) -> None:
    with database.writing(vault_engine) as connection:
        REQUESTS.add(connection, ASKED)
        REQUESTS.replace(connection, ASKED, ONCE, now=NOW)
        assert REQUESTS.get(connection, ASKED.request_id) == ONCE
        assert ONCE.vouched
        connection.execute(recovery_requests.update().values(forged))
        there = REQUESTS.get(connection, ASKED.request_id)
        assert there is not None
        assert not there.vouched
        assert Requests(b"w" * 32).get(connection, ASKED.request_id) == there


def test_neither_is_one_with_an_approval_more_or_less(vault_engine: Engine) -> None:
    with database.writing(vault_engine) as connection:
        REQUESTS.add(connection, ASKED)
        REQUESTS.replace(connection, ASKED, ONCE, now=NOW)
        for values in ({"account_id": BO}, None):
            connection.execute(approvals.delete())
            if values is not None:
                mine = {"request_id": ASKED.request_id, "approved_at": NOW}
                connection.execute(approvals.insert(), [mine | values, mine | {"account_id": CY}])
            there = REQUESTS.get(connection, ASKED.request_id)
            assert there is not None
            assert not there.vouched


def test_a_step_of_ours_does_not_vouch_for_what_somebody_else_wrote(vault_engine: Engine) -> None:
    with database.writing(vault_engine) as connection:
        REQUESTS.add(connection, ASKED)
        connection.execute(recovery_requests.update().values(photo_id="c" * 32))
        there = REQUESTS.get(connection, ASKED.request_id)
        assert there is not None
        REQUESTS.replace(connection, there, lifecycle.cancel(there, by=ADA, now=NOW), now=NOW)
        assert connection.execute(select(recovery_requests.c.voucher)).scalar_one() is None


def test_another_requests_voucher_is_not_ones_own(vault_engine: Engine) -> None:
    with database.writing(vault_engine) as connection:
        REQUESTS.add(connection, ASKED)
        REQUESTS.add(connection, ACCESS)
        theirs = select(recovery_requests.c.voucher).where(recovery_requests.c.request_id == ACCESS.request_id)
        connection.execute(recovery_requests.update().values(voucher=theirs.scalar_subquery()))
        vouched = [REQUESTS.get(connection, one.request_id) for one in (ASKED, ACCESS)]
        assert [one is not None and one.vouched for one in vouched] == [False, True]
