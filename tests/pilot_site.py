"""A project with published photos, the admin that can give their originals back, and a worker that makes pilots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import admin_office
from admin_office import APPROVES, ASKS, Restricted
from looking import Looker
from workshop import painting

from backend.admin.actors import Scope
from backend.custody.records import RecoveryRequest, RequestState
from backend.jobs import PilotTask
from backend.ledger.records import Pilot, Project
from worker import jobs
from worker.originals import Originals
from worker.runtime import Runtime


@dataclass
class PilotSite:
    """`url` is the admin's, `token` a requester's. Everything has the admin's clock, which passes when told to."""

    restricted: Restricted
    project: Project
    url: str
    token: str
    looker: Looker = field(default_factory=Looker)

    def originals(self) -> Originals:
        return Originals(self.url, self.token, pause_s=0.0)

    def runtime(self, **changes: Any) -> Runtime:
        known: dict[str, Any] = {
            "now": self.restricted.clock,
            "originals": self.originals(),
            "examiner": lambda: self.looker,
        }
        return self.restricted.workshop.runtime(**{**known, **changes})

    def ask(self, size: int = 20) -> Pilot:
        ledger = self.restricted.office.ledger
        return ledger.ask_pilot(self.project.project_id, size=size, now=self.restricted.clock())

    def step(self, pilot: Pilot, **changes: Any) -> Pilot:
        """What a worker does of it now, through the queue's entry point."""
        jobs.bind(self.runtime(**changes))
        jobs.pilot(PilotTask(pilot.pilot_id).to_json())
        return self.present(pilot)

    def present(self, pilot: Pilot) -> Pilot:
        return self.restricted.office.ledger.pilot(pilot.pilot_id)

    def later(self, **duration: float) -> None:
        self.restricted.clock.forward(**duration)  # type: ignore[attr-defined]

    def requests(self, state: RequestState | None = None) -> list[RecoveryRequest]:
        """What the approver sees."""
        actor, now = self.restricted.actor(APPROVES), self.restricted.clock()
        return self.restricted.office.requests(actor, state=state, now=now, limit=200)

    def approve(self, count: int | None = None) -> None:
        """All that are open, or so many."""
        actor = self.restricted.actor(APPROVES)
        for request in self.requests(RequestState.OPEN)[:count]:
            self.restricted.office.approve(actor, request.request_id, now=self.restricted.clock())

    def refuse(self, count: int | None = None) -> None:
        actor = self.restricted.actor(APPROVES)
        for request in self.requests(RequestState.OPEN)[:count]:
            self.restricted.office.refuse(actor, request.request_id, now=self.restricted.clock())


@contextmanager
def running(
    folder: Path, *, photos: int = 3, subjects: dict[int, str] | None = None, **admin: Any
) -> Iterator[PilotSite]:
    """With so many published photos of two faces each; `subjects` by number. `admin` are its settings."""
    with admin_office.opened(folder, **admin) as restricted, admin_office.served(restricted) as url:
        project = restricted.project()
        for number in range(photos):
            restricted.photo(project, painting(number), task_id=number + 1, subject_id=(subjects or {}).get(number))
        requester = restricted.account(ASKS)
        token = admin_office.programs_token(restricted, requester.account_id, [Scope.REQUEST])
        yield PilotSite(restricted, project, url, token)


def lapse(site: PilotSite) -> None:
    """Until no claim of a worker holds any more."""
    site.later(seconds=site.runtime().limits.lease_s + 1)
