"""Consents taken back: withdrawn, perhaps cancelled, carried out by the sweep, and proven."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from functools import partial
from typing import Any

from backend.accounts import Role
from backend.admin.forgetting import Forgetting
from backend.admin.rooms import PAGE, Actor, Rooms
from backend.custody.records import SubjectRef, Withdrawal, WithdrawalState
from backend.custody.retention import SweepReport


class Withdrawing(Rooms):
    """The part of the office that consents are withdrawn at."""

    __slots__ = ()

    def photos_of(self, actor: Actor, project_id: str, subject_id: str) -> int:
        """How many photos of a subject are known, to see that the id is written as it was handed in."""
        actor.require(Role.KEY_OFFICER)
        ref = SubjectRef(project_id, subject_id)
        return self.ledger.count_of_subject(ref.project_id, ref.subject_id)

    def withdraw(self, actor: Actor, project_id: str, subject_id: str, *, now: datetime) -> Withdrawal:
        """Withdraw a subject's consent; it can be taken back during the grace period."""
        actor.require(Role.KEY_OFFICER)
        ref = SubjectRef(self.ledger.project(project_id).project_id, subject_id.strip())
        return self.retention.withdraw(ref, requested_by=actor.account_id, now=now)

    def withdraw_project(self, actor: Actor, project_id: str, *, now: datetime) -> tuple[Withdrawal, ...]:
        """Withdraw everybody in a project."""
        actor.require(Role.KEY_OFFICER)
        project = self.ledger.project(project_id)
        waiting = self.ledger.subjects(project.project_id)
        by = actor.account_id
        return self.retention.withdraw_project(project.project_id, requested_by=by, now=now, subject_ids=waiting)

    def withdrawals(
        self, actor: Actor, *, state: WithdrawalState | None = None, before: str | None = None, limit: int = PAGE
    ) -> tuple[Withdrawal, ...]:
        """Withdrawals, newest first, from the one behind the withdrawal `before`; without the subjects' ids for whoever
        only audits."""
        actor.require(Role.KEY_OFFICER, Role.AUDITOR)
        found = self.retention.withdrawals(state=state, before=before, limit=limit)
        if Role.KEY_OFFICER in actor.roles:
            return found
        return tuple(dataclasses.replace(one, subject_id=None) for one in found)

    def cancel_withdrawal(self, actor: Actor, withdrawal_id: str, *, now: datetime) -> Withdrawal:
        """Take a withdrawal back before it is due. Raises `RequestStateError`."""
        actor.require(Role.KEY_OFFICER)
        return self.retention.cancel(withdrawal_id, by=actor.account_id, now=now)

    def receipt(self, actor: Actor, withdrawal_id: str) -> dict[str, Any]:
        """The signed receipt of a withdrawal that was carried out. Raises `RequestStateError` before that."""
        actor.require(Role.KEY_OFFICER, Role.AUDITOR)
        return self.retention.receipt(withdrawal_id)

    def sweep(self, actor: Actor, *, now: datetime) -> SweepReport:
        """Shred what is due, delete what has expired, end requests whose time is over, export the log's head."""
        actor.require(Role.KEY_OFFICER)
        self.recovery.expire_due(now=now)
        forgetting = Forgetting(self.ledger, self.blobs)
        return self.retention.sweep(now=now, forget=partial(forgetting.forget, now=now), actor=actor.account_id)
