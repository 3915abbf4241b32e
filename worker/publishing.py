"""Ready photos -> Label Studio. A photo arrives there together with its predictions, once, whatever dies when.

One worker at a time publishes for a project. What Label Studio already has is recognised by the photo's id in the
task's data, so a call whose answer was lost is not repeated; and one that may be under way still, its caller having
given up or died, is waited for.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from backend.errors import (
    ClaimLostError,
    ConfigError,
    LabelStudioError,
    LabelStudioForbiddenError,
    LabelStudioMissingError,
    LabelStudioRefusedError,
    LedgerUnavailableError,
    PredictionError,
)
from backend.jobs import PublishTask
from backend.labelstudio import labels
from backend.labelstudio.labels import Fit
from backend.labelstudio.predictions import PRIVACY_KEY, prediction, task_item
from backend.ledger.records import Photo, Project
from worker.runtime import Runtime

_NOT_ACCEPTED = "Label Studio does not accept this photo's task"
_TASK_GONE = "Label Studio no longer has this photo's task, or does not let its image be replaced"
_NO_PREDICTION = "the faces found make no prediction that Label Studio could show"
_RENEWALS = 4  # so many times within a lease, so that one that fails does no harm


@dataclass(frozen=True, slots=True)
class _Lease:
    """The right to publish for a project, as long as it is renewed. importing: an import was begun that Label Studio
    has not answered."""

    runtime: Runtime
    project_id: str
    token: str
    importing: threading.Event = field(default_factory=threading.Event)
    _one_by_one: threading.Lock = field(default_factory=threading.Lock)

    def renew(self) -> None:
        """Raises ClaimLostError when another worker has it, LedgerUnavailableError."""
        runtime, limits = self.runtime, self.runtime.limits
        with self._one_by_one:
            lease_s = limits.settle_s if self.importing.is_set() else limits.publish_lease_s
            runtime.ledger.keep_publishing(self.project_id, self.token, now=runtime.now(), lease_s=lease_s)

    def begin_import(self) -> None:
        """From now on the project stays closed, should we die, for as long as Label Studio may be at it. Raises
        ClaimLostError: whoever lost it while this process stood still must not import what another one has imported."""
        self.importing.set()
        self.renew()

    def keep(self, over: threading.Event) -> None:
        """Renew it until `over`. A thread of its own does so: one call to Label Studio may take longer than a lease,
        and a lease as long as such a call would keep the project closed after its holder was killed."""
        while not over.wait(self.runtime.limits.publish_lease_s / _RENEWALS):
            with contextlib.suppress(LedgerUnavailableError):
                try:
                    self.renew()
                except ClaimLostError:
                    return  # the publisher finds out by itself, before it imports anything


@contextmanager
def _alone(runtime: Runtime, project_id: str) -> Iterator[_Lease | None]:
    """Be the project's only publisher; None when another worker is. An import that was not answered keeps the project
    closed until it must be over."""
    lease_s = runtime.limits.publish_lease_s
    token = runtime.ledger.begin_publishing(project_id, now=runtime.now(), lease_s=lease_s)
    if token is None:
        yield None
        return
    lease, over = _Lease(runtime, project_id, token), threading.Event()
    keeping = threading.Thread(target=lease.keep, args=(over,), name="publishing", daemon=True)
    keeping.start()
    try:
        yield lease
    finally:
        over.set()
        keeping.join()
        if not lease.importing.is_set():
            runtime.ledger.end_publishing(project_id, token)


def publish(runtime: Runtime, task: PublishTask) -> int:
    """Hand over everything that is ready, unless the project is off or another worker is at it. Returns how many
    photos arrived.

    Raises LabelStudioError: what is ready stays ready. When Label Studio refuses the project as a whole, its manager is
    told so until it no longer does.
    """
    project, arrived = runtime.ledger.project(task.project_id), 0
    project_id = project.project_id
    # Asked again after each turn: who finds the door closed leaves, and relies on us to see what they brought.
    while project.on and runtime.ledger.ready_photos(project_id, 1):
        with _alone(runtime, project_id) as lease:
            if lease is None:
                break
            runtime.checkpoint("publishing")
            with runtime.metrics.stage("publish"):
                arrived += _turn(runtime, project, lease)
    return arrived


def _turn(runtime: Runtime, project: Project, lease: _Lease) -> int:
    """One batch; and what Label Studio had against the project as a whole is written down."""
    photos = runtime.ledger.ready_photos(project.project_id, runtime.limits.batch)
    try:
        arrived = _hand_over(runtime, project, photos, lease)
    except (LabelStudioForbiddenError, LabelStudioMissingError) as error:
        runtime.ledger.note_refusal(project.project_id, str(error), now=runtime.now())
        raise
    if project.refusal is not None:
        runtime.ledger.note_refusal(project.project_id, None, now=runtime.now())
    return arrived


def _hand_over(runtime: Runtime, project: Project, photos: Sequence[Photo], lease: _Lease) -> int:
    described = runtime.labelstudio.project(project.labelstudio_id)
    try:
        fit = labels.fit(described["label_config"])
    except ConfigError as error:
        _refuse(runtime, photos, str(error))
        return 0
    handed_in = [photo for photo in photos if photo.origin == "intake"]
    adopted = [photo for photo in photos if photo.origin == "adoption"]
    task_ids = _import(runtime, project, handed_in, fit, lease)
    for photo in adopted:
        lease.renew()
        task_ids |= _adopt(runtime, project, photo, fit)
    _show_predictions(runtime, project, described, photos)
    runtime.checkpoint("shown")
    names = runtime.ledger.published(task_ids, now=runtime.now())
    runtime.checkpoint("published")
    runtime.metrics.published(len(task_ids))
    delete_blobs(runtime, names)
    return len(task_ids)


def delete_blobs(runtime: Runtime, names: Sequence[str]) -> None:
    """Delete sealed originals that nothing needs any more; the ledger remembers them until they are gone."""
    for name in names:
        runtime.blobs.delete(name)
        runtime.checkpoint("deleted")
    runtime.ledger.forget_blobs(names)


def _import(runtime: Runtime, project: Project, photos: Sequence[Photo], fit: Fit, lease: _Lease) -> dict[str, int]:
    """Photo id -> task of what Label Studio has afterwards."""
    if not photos:
        return {}
    there = runtime.labelstudio.find_tasks(project.labelstudio_id, [photo.photo_id for photo in photos])
    runtime.checkpoint("looked up")
    items = {}
    for photo in photos:
        if photo.photo_id not in there:
            try:
                items[photo.photo_id] = _item(runtime, project, photo, fit)
            except PredictionError:
                _refuse(runtime, [photo], _NO_PREDICTION)
    if not items:
        return dict(there)
    lease.begin_import()
    runtime.checkpoint("importing")
    try:
        created = _import_items(runtime, project, items)
    except LabelStudioRefusedError:
        lease.importing.clear()
        raise
    lease.importing.clear()
    runtime.checkpoint("imported")
    return dict(there) | created


def _item(runtime: Runtime, project: Project, photo: Photo, fit: Fit) -> dict[str, Any]:
    return task_item(
        photo, fit, address=_address(runtime, photo), suggest_expressions=project.policy.suggest_expressions
    )


def _import_items(runtime: Runtime, project: Project, items: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """One call for all; when that is refused, one for each, so that one bad photo does not hold up the others."""
    try:
        task_ids = runtime.labelstudio.import_tasks(project.labelstudio_id, list(items.values()))
    except (LabelStudioForbiddenError, LabelStudioMissingError):
        raise  # not about these photos
    except LabelStudioRefusedError:
        if len(items) == 1:
            runtime.ledger.refuse_publishing(list(items), reason=_NOT_ACCEPTED, now=runtime.now())
            return {}
        created: dict[str, int] = {}
        for photo_id, item in items.items():
            created |= _import_items(runtime, project, {photo_id: item})
        return created
    except LabelStudioError:
        # It may have been done all the same: a gateway or a connection gives up sooner than Label Studio does.
        there = runtime.labelstudio.find_tasks(project.labelstudio_id, list(items))
        if there.keys() != items.keys():
            raise
        return there
    return dict(zip(items, task_ids, strict=True))


def _adopt(runtime: Runtime, project: Project, photo: Photo, fit: Fit) -> dict[str, int]:
    """Replace the image of a task that Label Studio already holds, then add the predictions."""
    task_id, client = photo.labelstudio_task_id, runtime.labelstudio
    try:
        found = prediction(photo, fit, suggest_expressions=project.policy.suggest_expressions)
        task = None if task_id is None else client.task(project.labelstudio_id, task_id)
        if task_id is None or task is None:
            _refuse(runtime, [photo], _TASK_GONE)
            return {}
        if task["data"].get(PRIVACY_KEY) != photo.photo_id:
            client.replace_image(task_id, _replaced(runtime, photo, task["data"], fit))
        runtime.checkpoint("replaced")
        if found["model_version"] not in client.predicted_versions(task_id):
            client.import_predictions(project.labelstudio_id, [{"task": task_id, **found}])
        runtime.checkpoint("predicted")
    except PredictionError:
        _refuse(runtime, [photo], _NO_PREDICTION)
        return {}
    except LabelStudioForbiddenError:
        raise  # not about this task
    except LabelStudioRefusedError:
        _refuse(runtime, [photo], _TASK_GONE)
        return {}
    return {photo.photo_id: task_id}


def _replaced(runtime: Runtime, photo: Photo, data: Mapping[str, Any], fit: Fit) -> dict[str, Any]:
    """The task's data with our image. The original's address goes wherever it stands, the rest stays."""
    original = {photo.source_address, data.get(fit.data_key)}
    kept = {key: value for key, value in data.items() if not isinstance(value, str) or value not in original}
    return {**kept, fit.data_key: _address(runtime, photo), PRIVACY_KEY: photo.photo_id}


def _show_predictions(
    runtime: Runtime, project: Project, described: Mapping[str, Any], photos: Sequence[Photo]
) -> None:
    """Have Label Studio show our predictions without asking anybody, unless the manager chose another model's."""
    version = photos[-1].model_version
    shown = described.get("model_version") or ""
    if version is None or shown == version or (shown and _family(shown) != _family(version)):
        return
    try:
        runtime.labelstudio.update_project(project.labelstudio_id, model_version=version, show_collab_predictions=True)
    except LabelStudioRefusedError:
        return  # nothing was imported under this version, as when every photo was refused


def _family(version: str) -> str:
    return version.rpartition("-")[0]


def _address(runtime: Runtime, photo: Photo) -> str:
    return runtime.links.address(photo.image_key or "", runtime.now())


def _refuse(runtime: Runtime, photos: Sequence[Photo], reason: str) -> None:
    photo_ids = [photo.photo_id for photo in photos]
    runtime.ledger.refuse_publishing(photo_ids, reason=reason, now=runtime.now())
