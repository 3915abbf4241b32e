"""For looking only: the audit log, that it is whole, and which key opens how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from backend.accounts import Role
from backend.admin.rooms import PAGE, Actor, Rooms
from backend.custody import audit, seal
from backend.custody.audit import Head
from backend.custody.records import AuditEvent


@dataclass(frozen=True, slots=True)
class KeyState:
    """What the console shows of keys: ids and numbers. retired: older master keys that still open somebody's, with how
    many."""

    key_id: str
    sealed: int
    shredded: int
    retired: tuple[tuple[str, int], ...]


class Overseeing(Rooms):
    """The part of the office that is for auditors."""

    __slots__ = ()

    def events(
        self,
        actor: Actor,
        *,
        action: str | None = None,
        target: str | None = None,
        by: str | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> tuple[AuditEvent, ...]:
        """Events of the audit log, newest first, below the number `before`. Raises `AuditError`."""
        actor.require(Role.AUDITOR)
        return self.audit.latest(action=action, target=target, actor=by, before=before, limit=limit)

    def verify(self, actor: Actor, *, now: datetime) -> Head:
        """Check the whole log, and that it still leads to the head that was exported last; how far it goes.

        Raises `AuditError` that names the first event that is wrong.
        """
        actor.require(Role.AUDITOR)
        head = audit.verify(self.audit.events(), head=self.heads.last())
        self._log(actor, "audit.verified", actor.account_id, detail={"seq": head.seq}, now=now)
        return head

    def export(self, actor: Actor, *, now: datetime) -> Iterator[str]:
        """The log as JSON lines, for the offline check; also one that was changed. Raises `AuditError`."""
        actor.require(Role.AUDITOR)
        self._log(actor, "audit.exported", actor.account_id, detail={}, now=now)
        return self.audit.lines()

    def keys(self, actor: Actor) -> KeyState:
        """Which master key opens how many people's keys."""
        actor.require(Role.KEY_OFFICER, Role.AUDITOR)
        current, census = seal.key_id(self.keyring.master_public_key()), dict(self.keyring.census())
        shredded, sealed = census.pop(None, 0), census.pop(current, 0)
        retired = tuple((key_id.hex(), count) for key_id, count in census.items() if key_id is not None and count)
        return KeyState(current.hex(), sealed, shredded, retired)
