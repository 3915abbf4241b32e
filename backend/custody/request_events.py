"""What the audit log says of requests for recovery: who did what to which request, in ids, numbers and keyed hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from backend.custody.records import NewEvent, RecoveryRequest, RequestState, SubjectRef

CLOCK = "recovery"
"""Who ends the requests that time has passed."""

ENDINGS = ("request.retrieving", "request.refused", "request.cancelled", "request.expired")
"""After any of these nothing more becomes of a request."""


def opened(request: RecoveryRequest, pseudonym: Callable[[SubjectRef], str]) -> list[NewEvent]:
    """A new request; and, where no second person is needed, that it went without one."""
    about: dict[str, str | int] = {"kind": request.kind.value, "project_id": request.project_id}
    about["approvals_needed"] = request.approvals_needed
    if request.photo_id is not None:
        about |= {"photo_id": request.photo_id, **_named(request.face_indices)}
    if request.subject_id is not None:
        about["subject"] = pseudonym(SubjectRef(request.project_id, request.subject_id))
    if request.labelstudio_task_id is not None:
        about["task_id"] = request.labelstudio_task_id
    actions = ["request.opened"]
    if request.state is RequestState.APPROVED:
        actions.append("request.approved_without_second_person")
    return [NewEvent(request.requested_by, action, request.request_id, about) for action in actions]


def stepped(before: RecoveryRequest, after: RecoveryRequest, by: str) -> NewEvent:
    """An approval, a refusal or a cancellation."""
    if len(after.approved_by) == len(before.approved_by):
        return NewEvent(by, f"request.{after.state}", after.request_id, {"was": before.state.value})
    detail = {"approvals": len(after.approved_by), "enough": after.state is RequestState.APPROVED}
    return NewEvent(by, "request.approved", after.request_id, detail)


def expired(request: RecoveryRequest) -> NewEvent:
    """The end of a request that was in the state of `request`."""
    return NewEvent(CLOCK, "request.expired", request.request_id, {"was": request.state.value})


def retrieving(request_id: str, photo_id: str, face_indices: Iterable[int | None], *, by: str) -> NewEvent:
    """What is about to be opened of one photo."""
    return NewEvent(by, "request.retrieving", request_id, {"photo_id": photo_id, **_named(face_indices)})


RETRIEVED = "request.retrieved"
LEFT_OUT = "left_out"
"""In the detail of that event: how many photos were left out; with a reason behind it, how many for that."""


def retrieved(
    request_id: str, *, photos: int, faces: int, left_out: Mapping[str, int], marked: bool, by: str
) -> NewEvent:
    """What was opened and is about to be given out. left_out: by reason, how many photos are not."""
    detail = {"photos": photos, "faces": faces, LEFT_OUT: sum(left_out.values()), "marked": marked}
    why = {f"{LEFT_OUT}_{reason}": count for reason, count in left_out.items()}
    return NewEvent(by, RETRIEVED, request_id, detail | why)


def refused(step: str, request_id: str, *, reason: str, by: str) -> NewEvent:
    """A step (open, approve, refuse, cancel, retrieve) that was not taken."""
    return NewEvent(by, f"request.{step}_refused", request_id, {"reason": reason})


def _named(face_indices: Iterable[int | None]) -> dict[str, bool]:
    """Faces, as an event can hold any number of them."""
    return {"remainder" if index is None else f"face_{index}": True for index in face_indices}
