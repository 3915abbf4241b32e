"""Everything an admin can do, whichever way they come. Roles are checked in this and its parts and nowhere else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from backend.accounts import ADMIN_ROLES, Role
from backend.admin.overseeing import KeyState as KeyState
from backend.admin.overseeing import Overseeing
from backend.admin.requesting import Requesting
from backend.admin.rooms import PAGE as PAGE
from backend.admin.rooms import Actor as Actor
from backend.admin.withdrawing import Withdrawing
from backend.custody.records import RecoveryRequest, RequestState, WithdrawalState
from backend.ledger.records import Project


@dataclass(frozen=True, slots=True)
class Overview:
    """What waits for somebody. to_approve: requests of others that they may approve. mine: their own that are under
    way. withdrawals: how many wait for their shredding. events: how long the audit log is. Only what their roles show
    them is filled in."""

    to_approve: tuple[RecoveryRequest, ...]
    mine: tuple[RecoveryRequest, ...]
    withdrawals: int | None
    events: int | None


class Office(Requesting, Withdrawing, Overseeing):
    """All its parts, and what is around them.

    Methods raise `ForbiddenError` for whoever lacks the role, and what the rooms raise.
    """

    __slots__ = ()

    def overview(self, actor: Actor, *, now: datetime) -> Overview:
        """What waits for `actor`."""
        me, roles = actor.account_id, actor.roles
        states = (RequestState.APPROVED, RequestState.OPEN)
        mine = [self.recovery.requests(state=one, requested_by=me, now=now, limit=PAGE) for one in states]
        open_ones = self.recovery.requests(state=RequestState.OPEN, now=now, limit=PAGE)
        others = [one for one in open_ones if one.requested_by != me and me not in one.approved_by]
        return Overview(
            to_approve=tuple(others) if Role.APPROVER in roles else (),
            mine=tuple(one for some in mine for one in some),
            withdrawals=len(self.retention.withdrawals(state=WithdrawalState.PENDING))
            if Role.KEY_OFFICER in roles
            else None,
            events=self.audit.head().seq if Role.AUDITOR in roles else None,
        )

    def projects(self, actor: Actor) -> list[Project]:
        """All projects, oldest first."""
        actor.require(*ADMIN_ROLES)
        return self.ledger.projects()

    def names(self, account_ids: Collection[str]) -> dict[str, str]:
        """E-mail addresses by account, of those that there are."""
        return {one.account_id: one.email for one in self.accounts.accounts() if one.account_id in account_ids}
