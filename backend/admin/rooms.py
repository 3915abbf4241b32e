"""The rooms behind the console, the API and the command line, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from backend.accounts import Accounts, Role
from backend.custody.audit import AuditLog
from backend.custody.heads import AuditHeads
from backend.custody.keyring import Keyring
from backend.custody.records import Detail, NewEvent
from backend.custody.recovery import Recovery, Rules
from backend.custody.retention import Retention
from backend.custody.unseal import MasterKey
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.storage import BlobStore

PAGE = 50


class Actor(Protocol):
    """Who asks: an account, with the roles that count on the way they came."""

    @property
    def account_id(self) -> str: ...

    @property
    def roles(self) -> frozenset[Role]: ...

    def require(self, *roles: Role) -> None:
        """Raises `ForbiddenError` unless they have one of `roles`."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """What an admin's duties work with."""

    ledger: Ledger
    blobs: BlobStore
    accounts: Accounts
    audit: AuditLog
    recovery: Recovery
    retention: Retention
    heads: AuditHeads
    keyring: Keyring
    master: MasterKey
    rules: Rules
    labelstudio: LabelStudio | None = None

    def _log(self, actor: Actor, action: str, target: str, *, detail: Detail, now: datetime) -> None:
        self.audit.append([NewEvent(actor.account_id, action, target, detail)], now=now)
