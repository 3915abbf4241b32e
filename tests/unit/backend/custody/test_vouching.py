"""A request's voucher is over everything that it says, and nobody makes one without the key."""

from __future__ import annotations

import dataclasses
from datetime import timedelta, timezone
from typing import Any

import pytest
from recovery_site import ADA, BO, CY, NOW, PROJECT

from backend.custody import vouching
from backend.custody.records import RecoveryRequest, RequestKind, RequestState

KEY = b"v" * 32
REQUEST = RecoveryRequest(
    request_id="e" * 32,
    kind=RequestKind.RECOVERY,
    project_id=PROJECT,
    photo_id="b" * 32,
    face_indices=(0, 2),
    subject_id=None,
    requested_by=ADA,
    reason="異議",
    reference=None,
    labelstudio_task_id=5,
    approvals_needed=2,
    approved_by=(BO, CY),
    state=RequestState.APPROVED,
    created_at=NOW,
    expires_at=NOW + timedelta(minutes=15),
    decided_at=NOW,
)
OTHERS: dict[str, Any] = {
    "request_id": "d" * 32,
    "kind": RequestKind.ACCESS,
    "project_id": "c" * 32,
    "photo_id": None,
    "face_indices": (0, 2, 3),
    "subject_id": "",
    "requested_by": BO,
    "reason": "異議 ",
    "reference": "",
    "labelstudio_task_id": None,
    "approvals_needed": 1,
    "approved_by": (BO,),
    "state": RequestState.OPEN,
    "created_at": NOW + timedelta(microseconds=1),
    "expires_at": NOW + timedelta(minutes=16),
    "decided_at": None,
    "retrieved_at": NOW,
}


def test_every_word_of_it_counts() -> None:
    assert {field.name for field in dataclasses.fields(REQUEST)} == {*OTHERS, "vouched"}
    made = vouching.voucher(KEY, REQUEST)
    assert vouching.is_right(made, KEY, REQUEST)
    for name, value in OTHERS.items():
        assert not vouching.is_right(made, KEY, dataclasses.replace(REQUEST, **{name: value})), name


def test_how_a_database_gives_it_back_does_not_count() -> None:
    """The order of approvals at one moment, and the zone in which a moment is told."""
    abroad = NOW.astimezone(timezone(timedelta(hours=9)))
    same = dataclasses.replace(REQUEST, approved_by=(CY, BO), created_at=abroad, vouched=True)
    assert vouching.voucher(KEY, same) == vouching.voucher(KEY, REQUEST)


@pytest.mark.parametrize("made", [None, "", "0" * 64, "ä" * 64, vouching.voucher(b"w" * 32, REQUEST)])
def test_what_the_key_did_not_make_is_no_voucher(made: str | None) -> None:
    assert not vouching.is_right(made, KEY, REQUEST)
