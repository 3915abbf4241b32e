"""Requests are kept as they are, and only replaced by whoever knows how they were."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from recovery_site import ADA, BO, CY, NOW, PROJECT, RULES, stricter
from sqlalchemy import Engine

from backend.custody import database, lifecycle, requests
from backend.custody.lifecycle import RefusedError
from backend.custody.records import RecoveryRequest, RequestKind, RequestState

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
        requests.add(connection, request_)
        assert requests.get(connection, "0" * 32) is None
    with database.reading(vault_engine) as connection:
        assert requests.get(connection, request_.request_id) == request_


def test_approvals_come_back_in_their_order(vault_engine: Engine) -> None:
    two, later = stricter(RULES, approvals=2), NOW + timedelta(minutes=1)
    once = lifecycle.approve(ASKED, approver=CY, now=NOW, rules=two)
    twice = lifecycle.approve(once, approver=BO, now=later, rules=two)
    with database.writing(vault_engine) as connection:
        requests.add(connection, ASKED)
        requests.replace(connection, ASKED, once, now=NOW)
        requests.replace(connection, once, twice, now=later)
        assert requests.get(connection, ASKED.request_id) == twice
        assert twice.approved_by == (CY, BO)


def test_what_changed_meanwhile_is_not_replaced(vault_engine: Engine) -> None:
    two = stricter(RULES, approvals=2)
    once = lifecycle.approve(ASKED, approver=BO, now=NOW, rules=two)
    cancelled = lifecycle.cancel(ASKED, by=ADA, now=NOW)
    with database.writing(vault_engine) as connection:
        requests.add(connection, ASKED)
        requests.replace(connection, ASKED, once, now=NOW)
    for before, after in ((ASKED, once), (dataclasses.replace(ASKED, state=RequestState.APPROVED), cancelled)):
        with database.writing(vault_engine) as connection, pytest.raises(RefusedError, match="changed"):
            requests.replace(connection, before, after, now=NOW)


def test_listing_and_what_is_due(vault_engine: Engine) -> None:
    everything = {"state": None, "project_id": None, "requested_by": None, "before": None}
    with database.writing(vault_engine) as connection:
        requests.add(connection, ASKED)
        requests.add(connection, ACCESS)
        assert requests.listed(connection, **everything, limit=9) == [ACCESS, ASKED]
        assert requests.listed(connection, **everything, limit=1) == [ACCESS]
        assert requests.listed(connection, **everything | {"before": ACCESS.created_at}, limit=9) == [ASKED]
        assert requests.listed(connection, **everything | {"requested_by": BO}, limit=9) == []
        due = {"request_id": None, "limit": 9}
        assert requests.due(connection, now=ASKED.expires_at - timedelta(seconds=1), **due) == []
        assert requests.due(connection, now=ASKED.expires_at, **due) == [ACCESS, ASKED]
        assert requests.due(connection, now=ASKED.expires_at, request_id=ASKED.request_id, limit=9) == [ASKED]
        requests.replace(connection, ASKED, lifecycle.cancel(ASKED, by=ADA, now=NOW), now=NOW)
        assert requests.due(connection, now=ASKED.expires_at, **due) == [ACCESS]
