"""What somebody who withdrew their consent is given: proof, to be checked offline, that their key was destroyed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from backend.custody import audit, signing
from backend.custody.records import AuditEvent, Withdrawal
from backend.custody.signing import SigningKey
from backend.errors import SignatureError

KIND = "withdrawal-receipt"
SHREDDED = "subject.shredded"
"""The event that a receipt is about; its target is the withdrawal."""


def issue(withdrawal: Withdrawal, event: AuditEvent, key: SigningKey) -> dict[str, Any]:
    """The signed receipt of a withdrawal that was carried out, `event` being the audit log's word of it.

    It names the subject by its keyed hash only, and the destroyed key by its id; None: there never was one.
    """
    document = {
        "kind": KIND,
        "version": 1,
        "withdrawal_id": withdrawal.withdrawal_id,
        "project_id": withdrawal.project_id,
        "pseudonym": withdrawal.pseudonym,
        "withdrawn_at": _moment(withdrawal.created_at),
        "shredded_at": _moment(event.at),
        "destroyed_key_id": event.detail.get("key_id"),
        "records_deleted": event.detail["records"],
        "event": asdict(event) | {"at": _moment(event.at), "detail": dict(event.detail)},
    }
    return key.sign(document)


def check(receipt: object, public: bytes) -> dict[str, Any]:
    """The receipt's document. Raises `SignatureError` when it was changed, was signed by another key, is no receipt, or
    does not say what its own audit event says."""
    document = signing.verify(receipt, public)
    if document.get("kind") != KIND or document.get("version") != 1:
        raise SignatureError("this is no receipt of a withdrawal")
    event = event_of(document)
    if not _agree(document, event):
        raise SignatureError("the receipt does not say what its audit event says")
    return document


def event_of(document: dict[str, Any]) -> AuditEvent:
    """The audit event that a receipt's document holds. Raises `SignatureError` when it holds none."""
    try:
        fields = dict(document["event"])
        return AuditEvent(**fields | {"at": datetime.fromisoformat(fields["at"])})
    except (KeyError, TypeError, ValueError):
        raise SignatureError("the receipt holds no audit event") from None


def _agree(document: dict[str, Any], event: AuditEvent) -> bool:
    told = (
        document.get("withdrawal_id"),
        document.get("project_id"),
        document.get("pseudonym"),
        document.get("shredded_at"),
    )
    logged = (event.target, event.detail.get("project_id"), event.detail.get("pseudonym"), _moment(event.at))
    counts = document.get("records_deleted") == event.detail.get("records")
    key = document.get("destroyed_key_id") == event.detail.get("key_id")
    return told == logged and counts and key and event.action == SHREDDED and audit.event_hash(event) == event.hash


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
