"""Who may take which step of a request, and when: against a second account of the same rules, written the other way."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recovery_site import ADA, BO, CY, DEE, NOW, PROJECT, RULES, stricter

from backend.custody import lifecycle
from backend.custody.lifecycle import RefusedError, Rules
from backend.custody.records import RecoveryRequest, RequestKind, RequestState
from backend.errors import ApprovalRequiredError, ForbiddenError, OfficeError, RequestStateError

MINUTE = timedelta(minutes=1)
FINAL = {RequestState.REFUSED, RequestState.CANCELLED, RequestState.RETRIEVED, RequestState.EXPIRED}
ASKED = RecoveryRequest(
    request_id="e" * 32,
    kind=RequestKind.RECOVERY,
    project_id=PROJECT,
    photo_id="b" * 32,
    face_indices=(0, 2),
    subject_id=None,
    requested_by=ADA,
    reason="The label is disputed.",
    reference="D-17",
    labelstudio_task_id=5,
    approvals_needed=0,
    approved_by=(),
    state=RequestState.OPEN,
    created_at=NOW,
    expires_at=NOW,
)
ACCESS = dataclasses.replace(ASKED, kind=RequestKind.ACCESS, photo_id=None, face_indices=(), subject_id="Ada Example")


def new(approvals: int = 1) -> RecoveryRequest:
    return lifecycle.opened(ASKED, rules=stricter(RULES, approvals=approvals))


def anybody(account_id: str) -> bool:
    return bool(account_id)


def take(request: RecoveryRequest, step: str, *, by: str, now: datetime, rules: Rules) -> RecoveryRequest:
    match step:
        case "approve":
            return lifecycle.approve(request, approver=by, now=now, rules=rules)
        case "refuse":
            return lifecycle.refuse(request, approver=by, now=now)
        case "cancel":
            return lifecycle.cancel(request, by=by, now=now)
        case "retrieve":
            return lifecycle.retrieve(request, by=by, now=now, rules=rules, may_approve=anybody)
    return lifecycle.expire(request, now=now)


def test_a_request_waits_for_approval() -> None:
    request = new()
    assert (request.state, request.expires_at) == (RequestState.OPEN, NOW + RULES.request_lasts)
    assert (request.approvals_needed, request.approved_by, request.decided_at) == (1, (), None)


def test_where_nobody_else_is_needed_a_request_is_approved_at_once() -> None:
    request = new(0)
    assert (request.state, request.expires_at) == (RequestState.APPROVED, NOW + RULES.retrieval_lasts)
    assert (request.approvals_needed, request.approved_by, request.decided_at) == (0, (), NOW)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"project_id": "x"}, "project id"),
        ({"photo_id": None}, "a photo"),
        ({"photo_id": "../etc/passwd"}, "a photo"),
        ({"subject_id": "Ada Example"}, "no subject"),
        ({"face_indices": ()}, "at least one"),
        ({"face_indices": (-1,)}, "by its number"),
        ({"face_indices": (2**16,)}, "by its number"),
        ({"reason": " \n "}, "a reason"),
        ({"reason": "x" * 2001}, "a reason"),
        ({"reason": "null \0"}, "a reason"),
        ({"reason": "half a sign \ud800"}, "a reason"),
        ({"reference": "x" * 201}, "a reference"),
        ({"reference": "\x1b[2J"}, "a reference"),
        ({"labelstudio_task_id": 0}, "positive"),
        ({"labelstudio_task_id": 2**63}, "positive"),
    ],
)
def test_a_request_that_says_too_little_or_too_much_is_none(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(OfficeError, match=reason):
        lifecycle.opened(dataclasses.replace(ASKED, **changes), rules=RULES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"photo_id": "b" * 32}, {"face_indices": (0,)}, {"subject_id": None}, {"subject_id": ""}, {"subject_id": "\n"}],
)
def test_an_access_names_a_subject_alone(changes: dict[str, object]) -> None:
    assert lifecycle.opened(ACCESS, rules=RULES).state is RequestState.OPEN
    with pytest.raises(OfficeError, match="subject") as caught:
        lifecycle.opened(dataclasses.replace(ACCESS, **changes), rules=RULES)  # type: ignore[arg-type]
    assert "Ada" not in str(caught.value)


def test_words_may_have_lines_and_any_script() -> None:
    said = dataclasses.replace(ASKED, reason="異議申し立て\n\tläuft\r\n", reference=None, labelstudio_task_id=None)
    assert lifecycle.opened(said, rules=RULES).reason == said.reason


@pytest.mark.parametrize(
    ("step", "by", "minutes", "code", "told"),
    [
        ("approve", ADA, 0, "own_request", ForbiddenError),
        ("refuse", ADA, 0, "own_request", ForbiddenError),
        ("cancel", BO, 0, "other_person", ForbiddenError),
        ("retrieve", BO, 0, "other_person", ForbiddenError),
        ("retrieve", ADA, 0, "not_approved", ApprovalRequiredError),
        ("approve", BO, 72 * 60, "is_expired", RequestStateError),
        ("refuse", BO, 72 * 60, "is_expired", RequestStateError),
        ("cancel", ADA, 72 * 60, "is_expired", RequestStateError),
        ("retrieve", ADA, 72 * 60, "is_expired", RequestStateError),
    ],
)
def test_what_is_refused_of_an_open_request(step: str, by: str, minutes: int, code: str, told: type[Exception]) -> None:
    with pytest.raises(RefusedError) as caught:
        take(new(), step, by=by, now=NOW + minutes * MINUTE, rules=RULES)
    assert (caught.value.code, type(caught.value.told)) == (code, told)


def test_nobody_counts_twice() -> None:
    two = stricter(RULES, approvals=2)
    once = lifecycle.approve(new(2), approver=BO, now=NOW, rules=two)
    assert (once.state, once.approved_by) == (RequestState.OPEN, (BO,))
    with pytest.raises(RefusedError, match="approved_before"):
        lifecycle.approve(once, approver=BO, now=NOW, rules=two)
    twice = lifecycle.approve(once, approver=CY, now=NOW + MINUTE, rules=two)
    assert (twice.state, twice.approved_by) == (RequestState.APPROVED, (BO, CY))
    assert twice.expires_at == NOW + MINUTE + RULES.retrieval_lasts


def test_rules_that_became_stricter_hold_for_what_is_under_way() -> None:
    one, two = RULES, stricter(RULES, approvals=2)
    assert lifecycle.approve(new(1), approver=BO, now=NOW, rules=two).state is RequestState.OPEN
    for request in (new(0), lifecycle.approve(new(1), approver=BO, now=NOW, rules=one)):
        with pytest.raises(RefusedError, match="not_approved") as caught:
            lifecycle.retrieve(request, by=ADA, now=NOW, rules=two, may_approve=anybody)
        assert isinstance(caught.value.told, ApprovalRequiredError)


def test_rules_that_became_looser_do_not_undo_what_was_asked_for() -> None:
    once = lifecycle.approve(new(2), approver=BO, now=NOW, rules=stricter(RULES, approvals=0))
    assert once.state is RequestState.OPEN


@pytest.mark.parametrize("approved_by", [(), (ADA,)])
def test_a_state_that_nobody_approved_opens_nothing(approved_by: tuple[str, ...]) -> None:
    written = dataclasses.replace(new(), state=RequestState.APPROVED, approved_by=approved_by)
    with pytest.raises(RefusedError, match="not_approved"):
        lifecycle.retrieve(written, by=ADA, now=NOW, rules=RULES, may_approve=anybody)


def test_whoever_may_approve_no_longer_has_approved_nothing() -> None:
    approved = lifecycle.approve(new(), approver=BO, now=NOW, rules=RULES)
    with pytest.raises(RefusedError, match="not_approved"):
        lifecycle.retrieve(approved, by=ADA, now=NOW, rules=RULES, may_approve=lambda one: one != BO)
    used = lifecycle.retrieve(approved, by=ADA, now=NOW, rules=RULES, may_approve=lambda one: one == BO)
    assert used.state is RequestState.RETRIEVED


STEPS = st.tuples(
    st.sampled_from(["approve", "refuse", "cancel", "retrieve", "look"]),
    st.sampled_from([ADA, BO, CY, DEE]),
    st.sampled_from([0, 1, 7, 14, 15, 60 * 24]),
)


@given(st.integers(0, 2), st.lists(STEPS, max_size=25))
def test_any_sequence_of_steps(approvals: int, steps: list[tuple[str, str, int]]) -> None:
    """The model keeps no state of the request: only what was accepted, by whom and when."""
    rules = stricter(RULES, approvals=approvals)
    request, now = new(approvals), NOW
    approvers: list[str] = []
    ended, ends_at = False, NOW + (RULES.request_lasts if approvals else RULES.retrieval_lasts)
    for step, by, minutes in steps:
        now += minutes * MINUTE
        alive, enough = not ended and now < ends_at, len(approvers) >= approvals
        may = {
            "approve": by not in (ADA, *approvers) and not enough,
            "refuse": by != ADA,
            "cancel": by == ADA,
            "retrieve": by == ADA and enough,
            "look": True,
        }[step]
        before = request
        try:
            request = take(request, step, by=by, now=now, rules=rules)
        except RefusedError:
            assert not (alive and may)
            assert request == before
            continue
        assert step == "look" or (alive and may)
        ended = ended or step in {"refuse", "cancel", "retrieve"}
        if step == "approve":
            approvers.append(by)
            ends_at = now + RULES.retrieval_lasts if len(approvers) == approvals else ends_at
        if before.state in FINAL:
            assert request == before
        if request.state is RequestState.RETRIEVED:
            assert len(set(request.approved_by) - {ADA}) >= approvals
            assert before.state is RequestState.APPROVED or step == "look"
        assert lifecycle.is_due(request, now) is False
