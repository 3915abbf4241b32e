"""Taking over tasks that Label Studio already holds: each image that is not ours becomes a photo to anonymize.

Called with tasks from /predict, from the TASKS_CREATED hint and from polling; asking again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from backend import logs
from backend.errors import QueueError
from backend.jobs import AnonymizeTask, Jobs
from backend.ledger.ledger import Ledger
from backend.ledger.records import PhotoState, Project

MAX_ADDRESS_CHARACTERS = 2000
_SCHEMES = frozenset({"", "http", "https", "s3", "gs", "azure-blob"})

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Adopted:
    """How many tasks were taken over just now, were already, are ours, or cannot be taken over."""

    new: int = 0
    known: int = 0
    ours: int = 0
    unfit: int = 0


def adopt(
    ledger: Ledger,
    jobs: Jobs,
    *,
    project: Project,
    tasks: Iterable[Mapping[str, Any]],
    own_host: str,
    now: datetime,
    data_key: str = "image",
) -> Adopted:
    """Note and queue a photo for every one of `tasks` whose image is not served by us.

    own_host: host and port of our image addresses. data_key: where the project's config looks for the image in a task.
    Nothing happens unless the project is on and adopts. While the queue is away photos are noted all the same.
    Raises `LedgerError`.
    """
    counts = {"new": 0, "known": 0, "ours": 0, "unfit": 0}
    if not (project.on and project.adopts):
        return Adopted()
    for task in tasks:
        address = _address(task, data_key)
        if address is None:
            counts["unfit"] += 1
        elif is_ours(address, own_host):
            counts["ours"] += 1
        else:
            created = _take_over(ledger, jobs, project=project, task_id=int(task["id"]), address=address, now=now)
            counts["new" if created else "known"] += 1
    return Adopted(**counts)


def is_ours(address: str, own_host: str) -> bool:
    """Whether an image address is one of ours: exactly our host and port, over HTTP, below /images/."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == own_host.lower() and "/images/" in parts.path


def _address(task: Mapping[str, Any], data_key: str) -> str | None:
    """The image's address if it is one that can be fetched: no embedded picture, nothing endless."""
    data = task.get("data")
    address = data.get(data_key) if isinstance(data, Mapping) else None
    if not isinstance(address, str) or not 0 < len(address) <= MAX_ADDRESS_CHARACTERS:
        return None
    try:
        return address if urlsplit(address).scheme.lower() in _SCHEMES else None
    except ValueError:
        return None


def _take_over(ledger: Ledger, jobs: Jobs, *, project: Project, task_id: int, address: str, now: datetime) -> bool:
    photo, created = ledger.add_photo(
        project.project_id,
        origin="adoption",
        source_sha256=_stand_in(project, task_id),
        labelstudio_task_id=task_id,
        source_address=address,
        now=now,
    )
    if created and photo.state is PhotoState.WAITING:
        try:
            jobs.enqueue(AnonymizeTask(photo.photo_id, photo.policy_revision), queue="bulk")
        except QueueError:
            _log.warning("queue is away, photos wait for reconciling", extra={"project_id": project.project_id})
    return created


def _stand_in(project: Project, task_id: int) -> str:
    """In the place of the original's digest, which nobody knows before its bytes were fetched."""
    return hashlib.sha256(f"task {project.labelstudio_id}/{task_id}".encode()).hexdigest()
