"""Requests that belong together: one person's, for one project, under one reference, as a pilot's are.

They are approved in one step of a person's. Each stays a request of its own: with its event, time and retrieval.
"""

from __future__ import annotations

from datetime import datetime

from backend.admin.office import Actor, Office
from backend.custody.records import RecoveryRequest, RequestState
from backend.errors import RequestStateError

_MOST = 500


def others(office: Office, actor: Actor, asked: RecoveryRequest, *, now: datetime) -> list[RecoveryRequest]:
    """The open requests that belong to `asked` and that `actor` has not approved yet; none without a reference."""
    if asked.reference is None:
        return []
    found = office.requests(actor, state=RequestState.OPEN, project_id=asked.project_id, now=now, limit=_MOST)
    return [
        one
        for one in found
        if (one.reference, one.requested_by) == (asked.reference, asked.requested_by)
        and one.request_id != asked.request_id
        and actor.account_id not in one.approved_by
    ]


def approve(office: Office, actor: Actor, request_id: str, *, now: datetime) -> int:
    """Approve a request and all that belong to it; how many that were. One that somebody has ended meanwhile is left
    out. Raises what `Office.approve` does for the first."""
    asked = office.get(actor, request_id, now=now)
    alike = others(office, actor, asked, now=now)
    office.approve(actor, request_id, now=now)
    count = 1
    for one in alike:
        try:
            office.approve(actor, one.request_id, now=now)
        except RequestStateError:
            continue
        count += 1
    return count
