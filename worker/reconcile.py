"""What makes the queue dispensable: whatever should have moved on by now, by the ledger's word, is queued again.

A flushed Redis, a killed worker, a webhook that never came and a Label Studio that was down all end here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from backend import logs
from backend.adoption import adopt
from backend.errors import BackendError, ConfigError
from backend.jobs import AnonymizeTask, Jobs, PilotTask, PublishTask
from backend.labelstudio import labels
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, PhotoState, Project
from backend.metrics import Metrics
from backend.storage import BlobStore

_FIRST_RETRY = timedelta(seconds=30)
_LONGEST_RETRY = timedelta(hours=1)
_BACK_OFF = 4  # 30 s, 2 min, 8 min, 32 min: an outage of three quarters of an hour costs no photo

_log = logs.get(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Overseer:
    """What reconciling needs. `own_host`: host and port of our image addresses."""

    ledger: Ledger
    jobs: Jobs
    blobs: BlobStore
    labelstudio: LabelStudio
    own_host: str
    metrics: Metrics = field(default_factory=Metrics)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How many photos, publications and pilots were queued anew, tasks taken over, and discarded blobs deleted."""

    photos: int = 0
    publications: int = 0
    pilots: int = 0
    adopted: int = 0
    deleted: int = 0


def reconcile(overseer: Overseer, *, now: datetime, adopting: bool = True) -> Reconciled:
    """One round. A part that fails is logged and leaves the others to their work.

    adopting: also look through all of Label Studio's tasks in projects that adopt, which takes a while in large ones.
    """
    photos, publications = _attempt("queue", partial(requeue, overseer.ledger, overseer.jobs, now=now)) or (0, 0)
    pilots = _attempt("pilots", partial(requeue_pilots, overseer.ledger, overseer.jobs, now=now)) or 0
    projects = (_attempt("projects", overseer.ledger.projects) or []) if adopting else []
    polled = [project for project in projects if project.on and project.adopts]
    adopted = sum(_attempt("adopt", partial(_poll, overseer, project, now=now)) or 0 for project in polled)
    deleted = _attempt("delete", partial(delete_discarded, overseer.ledger, overseer.blobs)) or 0
    _attempt("depth", lambda: overseer.metrics.queue_depth(dict[str, int](overseer.jobs.depth())))
    return Reconciled(photos=photos, publications=publications, pilots=pilots, adopted=adopted, deleted=deleted)


def requeue(ledger: Ledger, jobs: Jobs, *, now: datetime) -> tuple[int, int]:
    """Queue what is overdue: (photos, projects to publish). Raises LedgerError and QueueError."""
    photos, ready = 0, set()
    for photo in ledger.overdue(now=now):
        if photo.state is PhotoState.READY:
            ready.add(photo.project_id)
        elif is_due(photo, now=now):
            photos += jobs.enqueue(AnonymizeTask(photo.photo_id, photo.policy_revision), queue="bulk")
    return photos, sum(jobs.enqueue(PublishTask(project_id), queue="interactive") for project_id in sorted(ready))


def requeue_pilots(ledger: Ledger, jobs: Jobs, *, now: datetime) -> int:
    """Queue the pilots that a worker should look at. Raises LedgerError and QueueError."""
    return sum(jobs.enqueue(PilotTask(pilot_id), queue="bulk") for pilot_id in ledger.due_pilots(now=now))


def is_due(photo: Photo, *, now: datetime) -> bool:
    """Whether a waiting photo has waited long enough after its last attempt; a lapsed claim always has."""
    if photo.state is not PhotoState.WAITING or photo.attempts == 0:
        return True
    pause: timedelta = min(_FIRST_RETRY * int(_BACK_OFF ** min(photo.attempts - 1, 10)), _LONGEST_RETRY)
    return now - photo.updated_at >= pause


def delete_discarded(ledger: Ledger, blobs: BlobStore) -> int:
    """Delete sealed originals and reports that nothing needs any more and whose deletion was cut short. Returns how
    many."""
    names = ledger.discarded_blobs()
    for name in names:
        blobs.delete(name)
    if names:
        ledger.forget_blobs(names)
    return len(names)


def _poll(overseer: Overseer, project: Project, *, now: datetime) -> int:
    """Take over what Label Studio holds and never told us of."""
    described = overseer.labelstudio.project(project.labelstudio_id)
    try:
        data_key = labels.fit(described["label_config"]).data_key
    except ConfigError:
        return 0  # the manager's page says so; a photo could not be published anyway
    tasks = overseer.labelstudio.tasks(project.labelstudio_id)
    ledger, jobs, own_host = overseer.ledger, overseer.jobs, overseer.own_host
    return adopt(ledger, jobs, project=project, tasks=tasks, own_host=own_host, now=now, data_key=data_key).new


def _attempt(part: str, work: Callable[[], _T]) -> _T | None:
    try:
        return work()
    except BackendError as error:
        _log.warning("reconciling: a part failed", extra={"event": f"reconcile_{part}", "reason": str(error)})
        return None
