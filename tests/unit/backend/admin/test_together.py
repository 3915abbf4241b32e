"""Requests of one reference are approved in one step, and stay requests of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import admin_office
import pytest
from admin_office import APPROVES, ASKS, READS, Restricted
from workshop import painting

from backend.admin import together
from backend.admin.office import Actor
from backend.custody.records import RecoveryRequest, RequestState
from backend.errors import ForbiddenError, RequestStateError


@pytest.fixture
def restricted(tmp_path: Path) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data") as opened:
        opened.photo(opened.project(), painting())
        yield opened


def ask(restricted: Restricted, reference: str | None, *, actor: Actor | None = None) -> RecoveryRequest:
    project = restricted.office.ledger.projects()[0]
    (photo,) = restricted.office.ledger.photos(project.project_id)
    return restricted.office.request(
        actor or restricted.actor(ASKS),
        photo_id=photo.photo_id,
        face_indices=[0],
        reason="why",
        reference=reference,
        now=restricted.clock(),
    )


def states(restricted: Restricted, *requests: RecoveryRequest) -> list[str]:
    actor, now = restricted.actor(READS), restricted.clock()
    return [restricted.office.get(actor, one.request_id, now=now).state.value for one in requests]


def test_what_belongs_together_is_approved_together_with_an_event_each(restricted: Restricted) -> None:
    mine = [ask(restricted, "pilot a") for _ in range(3)]
    apart = [ask(restricted, "pilot b"), ask(restricted, None)]
    somebody = restricted.actor("other@example.org", ["requester"])
    apart.append(ask(restricted, "pilot a", actor=somebody))
    approver, now = restricted.actor(APPROVES), restricted.clock()
    assert len(together.others(restricted.office, approver, mine[0], now=now)) == 2
    assert together.approve(restricted.office, approver, mine[0].request_id, now=now) == 3
    assert states(restricted, *mine) == ["approved"] * 3
    assert states(restricted, *apart) == ["open"] * 3
    for request in mine:
        assert restricted.log(request.request_id)[-1] == (approver.account_id, "request.approved")


def test_without_a_reference_a_request_is_alone(restricted: Restricted) -> None:
    first, second = ask(restricted, None), ask(restricted, None)
    approver, now = restricted.actor(APPROVES), restricted.clock()
    assert together.others(restricted.office, approver, first, now=now) == []
    assert together.approve(restricted.office, approver, first.request_id, now=now) == 1
    assert states(restricted, first, second) == ["approved", "open"]


def test_nobody_approves_their_own_or_without_the_role(restricted: Restricted) -> None:
    asked = [ask(restricted, "pilot a") for _ in range(2)]
    with pytest.raises(ForbiddenError):
        together.approve(restricted.office, restricted.actor(ASKS), asked[0].request_id, now=restricted.clock())
    both = restricted.actor("both@example.org", ["requester", "approver"])
    own = [ask(restricted, "pilot c", actor=both) for _ in range(2)]
    with pytest.raises(ForbiddenError):
        together.approve(restricted.office, both, own[0].request_id, now=restricted.clock())
    assert states(restricted, *asked, *own) == ["open"] * 4


def test_one_that_is_over_is_told(restricted: Restricted) -> None:
    asked = ask(restricted, "pilot a")
    restricted.office.cancel(restricted.actor(ASKS), asked.request_id, now=restricted.clock())
    with pytest.raises(RequestStateError):
        together.approve(restricted.office, restricted.actor(APPROVES), asked.request_id, now=restricted.clock())


def test_the_console_offers_it_where_there_are_several(restricted: Restricted) -> None:
    first, alone = ask(restricted, "pilot a"), ask(restricted, "dispute 7")
    ask(restricted, "pilot a")
    client = restricted.signed_in(APPROVES)
    assert "Approve all 2 of this reference" in client.get(f"/requests/{first.request_id}").text
    assert "of this reference" not in client.get(f"/requests/{alone.request_id}").text
    answer = client.post(f"/requests/{first.request_id}/approve-together", follow_redirects=True)
    assert "2 requests are approved." in answer.text
    now = restricted.clock()
    approved = restricted.office.requests(restricted.actor(READS), state=RequestState.APPROVED, now=now)
    assert len(approved) == 2
