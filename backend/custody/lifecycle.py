"""The life of a request for recovery: which steps there are, who may take them and when. No database and no clock.

    open -> approved -> retrieved
    open, approved -> refused (by an approver), cancelled (by whoever asked), expired (by time)

The last four states never change. Every step either gives the request as it is afterwards, or raises `RefusedError`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.custody.records import MAX_SUBJECT_CHARACTERS, RecoveryRequest, RequestKind, RequestState
from backend.errors import (
    ApprovalRequiredError,
    BackendError,
    ForbiddenError,
    KeyShreddedError,
    OfficeError,
    RequestStateError,
)

MAX_REASON_CHARACTERS = 2000
MAX_REFERENCE_CHARACTERS = 200
UNDECIDED = (RequestState.OPEN, RequestState.APPROVED)
"""The states that a request can leave."""

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_FACES = 2**16
_MAX_TASK_ID = 2**63


@dataclass(frozen=True, slots=True)
class Rules:
    """The policy. approvals: by how many other people, 0 to 2. request_lasts: how long a request can be decided;
    retrieval_lasts: how long an approved one can be retrieved. forensic_mark: whether pixels that are given out carry
    the request's invisible mark; without it they are bit-exact."""

    approvals: int
    request_lasts: timedelta
    retrieval_lasts: timedelta
    forensic_mark: bool = False


class RefusedError(Exception):
    """A step that is not taken. `code` is the reason in the audit log, `told` what whoever asked is told."""

    def __init__(self, code: str, told: BackendError) -> None:
        super().__init__(code)
        self.code, self.told = code, told


def opened(request: RecoveryRequest, *, rules: Rules) -> RecoveryRequest:
    """A new request's beginning: open, or approved at once where no second person is needed.

    Raises `OfficeError` for one that says too little or too much.
    """
    _check_aim(request)
    _check_words(request)
    beginning = dataclasses.replace(
        request,
        approvals_needed=rules.approvals,
        approved_by=(),
        state=RequestState.OPEN,
        vouched=True,
        expires_at=request.created_at + rules.request_lasts,
    )
    return beginning if rules.approvals else _approved(beginning, now=request.created_at, rules=rules)


def approve(request: RecoveryRequest, *, approver: str, now: datetime, rules: Rules) -> RecoveryRequest:
    """One more approval; the last one that is needed opens the time for retrieving."""
    _require(request, RequestState.OPEN, now=now)
    _require_vouched(request)
    if approver == request.requested_by:
        raise RefusedError("own_request", ForbiddenError("a request is approved by somebody else than who made it"))
    if approver in request.approved_by:
        raise RefusedError("approved_before", RequestStateError("you have approved this request; it needs one more"))
    counted = dataclasses.replace(request, approved_by=(*request.approved_by, approver))
    enough = len(counted.approved_by) >= max(request.approvals_needed, rules.approvals)
    return _approved(counted, now=now, rules=rules) if enough else counted


def refuse(request: RecoveryRequest, *, approver: str, now: datetime) -> RecoveryRequest:
    """No, also after a yes, as long as nothing was retrieved."""
    _require(request, *UNDECIDED, now=now)
    if approver == request.requested_by:
        raise RefusedError("own_request", ForbiddenError("a request of your own is cancelled, not refused"))
    return dataclasses.replace(request, state=RequestState.REFUSED, decided_at=now)


def cancel(request: RecoveryRequest, *, by: str, now: datetime) -> RecoveryRequest:
    """Taken back by whoever asked."""
    _require_requester(request, by)
    _require(request, *UNDECIDED, now=now)
    return dataclasses.replace(request, state=RequestState.CANCELLED, decided_at=now)


def retrieve(
    request: RecoveryRequest, *, by: str, now: datetime, rules: Rules, may_approve: Callable[[str], bool]
) -> RecoveryRequest:
    """Used up, by whoever asked and nobody else.

    Approvals are counted again, under the rules of now: rules that became stricter hold for what is under way too. Of
    whoever may approve no longer, none counts; and none at all when somebody else wrote into the request.
    """
    _require_requester(request, by)
    if request.state is RequestState.OPEN and not is_due(request, now):
        raise RefusedError("not_approved", ApprovalRequiredError("a second person has to approve this request first"))
    _require(request, RequestState.APPROVED, now=now)
    _require_vouched(request)
    others = {one for one in request.approved_by if one != request.requested_by and may_approve(one)}
    if len(others) < max(request.approvals_needed, rules.approvals):
        raise RefusedError("not_approved", ApprovalRequiredError("more people have to approve now: make a new request"))
    return dataclasses.replace(request, state=RequestState.RETRIEVED, retrieved_at=now)


def is_due(request: RecoveryRequest, now: datetime) -> bool:
    """Whether the request's time is over and it has not ended otherwise."""
    return request.state in UNDECIDED and request.expires_at <= now


def expire(request: RecoveryRequest, *, now: datetime) -> RecoveryRequest:
    """Over, if it is due; as it is otherwise."""
    return dataclasses.replace(request, state=RequestState.EXPIRED) if is_due(request, now) else request


def _check_aim(request: RecoveryRequest) -> None:
    """Either faces of a photo, or a subject."""
    if not _ID.fullmatch(request.project_id):
        raise OfficeError("a project id has 32 hexadecimal digits")
    if request.kind is RequestKind.ACCESS:
        if request.photo_id is not None or request.face_indices or request.subject_id is None:
            raise OfficeError("a subject's access names the subject, and neither a photo nor faces")
        if not 0 < len(request.subject_id) <= MAX_SUBJECT_CHARACTERS or not request.subject_id.isprintable():
            raise OfficeError(f"a subject has 1 to {MAX_SUBJECT_CHARACTERS} printable characters")
        return
    if request.photo_id is None or not _ID.fullmatch(request.photo_id) or request.subject_id is not None:
        raise OfficeError("a recovery names a photo, and no subject")
    if not request.face_indices or not all(0 <= index < _MAX_FACES for index in request.face_indices):
        raise OfficeError("a recovery names at least one of the photo's faces by its number")


def _check_words(request: RecoveryRequest) -> None:
    reason, reference, task = request.reason, request.reference, request.labelstudio_task_id
    if not reason.strip() or len(reason) > MAX_REASON_CHARACTERS or not _is_text(reason):
        raise OfficeError(f"a reason has 1 to {MAX_REASON_CHARACTERS} characters")
    if reference is not None and (len(reference) > MAX_REFERENCE_CHARACTERS or not _is_text(reference)):
        raise OfficeError(f"a reference has up to {MAX_REFERENCE_CHARACTERS} characters")
    if task is not None and not 0 < task < _MAX_TASK_ID:
        raise OfficeError("a task's number is positive")


def _is_text(words: str) -> bool:
    return "".join(words.split()).isprintable()


def _approved(request: RecoveryRequest, *, now: datetime, rules: Rules) -> RecoveryRequest:
    until = now + rules.retrieval_lasts
    return dataclasses.replace(request, state=RequestState.APPROVED, decided_at=now, expires_at=until)


def _require(request: RecoveryRequest, *states: RequestState, now: datetime) -> None:
    state = expire(request, now=now).state
    if state not in states:
        raise RefusedError(f"is_{state}", RequestStateError(f"request {request.request_id} is {state}"))


def _require_vouched(request: RecoveryRequest) -> None:
    if request.kind is RequestKind.ACCESS and request.subject_id is None:  # as shredding leaves it
        raise RefusedError("shredded", KeyShreddedError("the subject has withdrawn and their key is destroyed"))
    if not request.vouched:
        message = f"request {request.request_id} is not what was asked and approved here: make a new one"
        raise RefusedError("not_vouched", RequestStateError(message))


def _require_requester(request: RecoveryRequest, by: str) -> None:
    if by != request.requested_by:
        raise RefusedError("other_person", ForbiddenError("this is for whoever made the request alone"))
