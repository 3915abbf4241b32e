"""A receipt says what the audit log says, and nobody can make it say anything else."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sealed_photos import NOW, PROJECT

from backend.custody import audit, receipts
from backend.custody.records import AuditEvent, Withdrawal, WithdrawalState
from backend.custody.signing import SigningKey
from backend.errors import SignatureError

WITHDRAWAL = Withdrawal("d" * 32, PROJECT, None, "e" * 64, "0" * 32, WithdrawalState.SHREDDED, NOW, NOW, NOW)
DETAIL = {"project_id": PROJECT, "pseudonym": "e" * 64, "key_id": "f" * 16, "records": 3}
_BARE = AuditEvent(9, NOW, "sweep", receipts.SHREDDED, "d" * 32, DETAIL, "1" * 64, "")
EVENT = replace(_BARE, hash=audit.event_hash(_BARE))


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.ensure(tmp_path / "signing.key")


@pytest.fixture
def receipt(key: SigningKey) -> dict[str, Any]:
    """As somebody keeps it: in a file."""
    loaded: dict[str, Any] = json.loads(json.dumps(receipts.issue(WITHDRAWAL, EVENT, key)))
    return loaded


def test_it_says_which_key_was_destroyed_and_when(receipt: dict[str, Any], key: SigningKey) -> None:
    document = receipts.check(receipt, key.public)
    assert document["withdrawal_id"] == WITHDRAWAL.withdrawal_id
    assert (document["project_id"], document["pseudonym"]) == (PROJECT, "e" * 64)
    assert (document["destroyed_key_id"], document["records_deleted"]) == ("f" * 16, 3)
    assert document["withdrawn_at"] == document["shredded_at"] == "2026-03-01T12:30:15.123456+00:00"
    assert receipts.event_of(document) == EVENT


def test_one_without_a_key_says_so(key: SigningKey) -> None:
    detail = {name: value for name, value in DETAIL.items() if name != "key_id"}
    bare = replace(EVENT, detail=detail, hash="")
    event = replace(bare, hash=audit.event_hash(bare))
    assert receipts.check(receipts.issue(WITHDRAWAL, event, key), key.public)["destroyed_key_id"] is None


def test_every_changed_value_shows(receipt: dict[str, Any], key: SigningKey) -> None:
    for path in paths(receipt):
        changed = copy.deepcopy(receipt)
        holder = changed
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = "something else"
        with pytest.raises(SignatureError):
            receipts.check(changed, key.public)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "audit-head"},
        {"version": 2},
        {"withdrawal_id": "0" * 32},
        {"project_id": "0" * 32},
        {"pseudonym": "0" * 64},
        {"destroyed_key_id": None},
        {"records_deleted": 4},
        {"shredded_at": "2026-03-02T12:30:15.123456+00:00"},
        {"event": None},
        {"event": {}},
        {"event": {"at": "x"}},
    ],
)
def test_not_even_we_can_sign_one_that_its_event_does_not_bear_out(
    receipt: dict[str, Any], key: SigningKey, change: dict[str, Any]
) -> None:
    with pytest.raises(SignatureError):
        receipts.check(key.sign(receipt["document"] | change), key.public)


@pytest.mark.parametrize("change", [{"action": "subject.withdrawn"}, {"hash": "0" * 64}, {"seq": 8}, {"actor": "x"}])
def test_nor_one_whose_event_is_not_what_was_logged(
    receipt: dict[str, Any], key: SigningKey, change: dict[str, Any]
) -> None:
    event = receipt["document"]["event"] | change
    with pytest.raises(SignatureError, match="does not say what"):
        receipts.check(key.sign(receipt["document"] | {"event": event}), key.public)


def test_nor_one_that_lacks_something(receipt: dict[str, Any], key: SigningKey) -> None:
    for name in receipt["document"].keys() - {"withdrawn_at"}:
        document = {other: value for other, value in receipt["document"].items() if other != name}
        with pytest.raises(SignatureError):
            receipts.check(key.sign(document), key.public)


def paths(value: dict[str, Any]) -> list[tuple[str, ...]]:
    found = []
    for name, inner in value.items():
        below = paths(inner) if isinstance(inner, dict) else [()]
        found += [(name, *rest) for rest in below]
    return found
