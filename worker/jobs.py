"""What the queue calls: parse, call, settle. The only reader of `retryable`.

Nothing leaves these functions but the process itself: RQ would keep a failure and its traceback in Redis. What becomes
of a photo is written in the ledger, and `reconcile` queues it again when its time has come.
"""

from __future__ import annotations

import time

from backend import logs
from backend.errors import BackendError, ClaimLostError, LedgerError
from backend.jobs import AnonymizeTask, MalformedTaskError, PilotTask, PublishTask
from backend.ledger.records import Photo, Pilot
from g2face_model.errors import ModelError
from worker import pilots, publishing, task
from worker.runtime import Runtime

_log = logs.get(__name__)
_bound: list[Runtime] = []  # RQ finds its functions by name, so what they work with has to be found, too


def bind(runtime: Runtime) -> None:
    """Let the functions below work with `runtime` from now on."""
    _bound[:] = [runtime]


def anonymize(payload: str) -> None:
    """Anonymize the photo that an `AnonymizeTask` names."""
    runtime = _bound[0]
    try:
        photo = task.take(runtime, AnonymizeTask.from_json(payload))
    except (MalformedTaskError, LedgerError) as error:
        _log.warning("photo not taken up", extra={"event": "not_taken", "reason": str(error)})
        return
    if photo is not None:
        _anonymize(runtime, photo)


def publish(payload: str) -> None:
    """Hand the ready photos of the project that a `PublishTask` names to Label Studio."""
    runtime = _bound[0]
    try:
        wanted = PublishTask.from_json(payload)
        if arrived := publishing.publish(runtime, wanted):
            known: dict[str, object] = {"event": "published", "project_id": wanted.project_id, "count": arrived}
            _log.info("photos published", extra=known)
    except BackendError as error:  # what is ready stays ready, and reconciling asks again
        _log.warning("not published", extra={"event": "not_published", "reason": str(error)})
    except Exception as error:  # the process's edge
        _log.error("not published", extra={"event": "not_published", "reason": _unexpected(error)})


def pilot(payload: str) -> None:
    """Take the pilot that a `PilotTask` names one step further."""
    runtime = _bound[0]
    try:
        taken = pilots.take(runtime, PilotTask.from_json(payload))
    except (MalformedTaskError, LedgerError) as error:
        _log.warning("pilot not taken up", extra={"event": "not_taken", "reason": str(error)})
        return
    if taken is not None:
        _advance(runtime, taken)


def _advance(runtime: Runtime, taken: Pilot) -> None:
    known: dict[str, object] = {"pilot_id": taken.pilot_id, "project_id": taken.project_id}
    try:
        pilots.advance(runtime, taken)
        return
    except ClaimLostError:
        _log.info("pilot taken over, or gone", extra={"event": "claim_lost", **known})
        return
    except (BackendError, ModelError) as error:
        reason, again = str(error), error.retryable
    except Exception as error:  # the process's edge
        reason, again = _unexpected(error), False
    _log.warning("pilot not advanced", extra={"event": "pilot_stuck", "reason": reason, **known})
    try:
        pilots.settle(runtime, taken, reason, again=again)
    except LedgerError:  # taken over, or the ledger is away: then the claim lapses, which is as good
        return


def _anonymize(runtime: Runtime, photo: Photo) -> None:
    try:
        started = time.perf_counter()
        task.anonymize(runtime, photo)
        seconds = round(time.perf_counter() - started, 3)
        known: dict[str, object] = {"event": "anonymized", "photo_id": photo.photo_id, "seconds": seconds}
        _log.info("photo anonymized", extra=known)
    except ClaimLostError:
        _log.info("photo taken over by another worker", extra={"event": "claim_lost", "photo_id": photo.photo_id})
    except (BackendError, ModelError) as error:
        _settle(runtime, photo, str(error), retryable=error.retryable)
    except Exception as error:  # the process's edge
        _settle(runtime, photo, _unexpected(error), retryable=True)


def _settle(runtime: Runtime, photo: Photo, reason: str, *, retryable: bool) -> None:
    """Back to waiting while another try may help, else given up until a person looks at it."""
    again = retryable and photo.attempts < runtime.limits.max_attempts
    _log.warning(
        "photo not anonymized",
        extra={"event": "postponed" if again else "failed", "photo_id": photo.photo_id, "reason": reason},
    )
    settle = runtime.ledger.postpone if again else runtime.ledger.fail
    if again:
        runtime.metrics.retry()
    else:
        runtime.metrics.photo("failed")
    try:
        settle(photo.photo_id, reason=reason, now=runtime.now(), attempt=photo.attempts)
    except LedgerError:  # taken over, or the ledger is away: then the claim lapses, which is as good
        return


def _unexpected(error: Exception) -> str:
    """Only the kind of error: a message from elsewhere may hold anything."""
    return f"internal error ({type(error).__name__})"
