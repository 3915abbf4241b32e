"""Tasks of Label Studio -> what is known about their photos. No web framework here; both hosts call the same object.

Nothing is computed: anonymizing is a worker's duty, and it hands finished photos over together with their predictions.
Asking here fills in what was missed, and tells us of tasks that hold images that are not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from backend import logs
from backend.errors import BackendError, ConfigError
from backend.labelstudio import labels
from backend.labelstudio.labels import Fit
from backend.labelstudio.predictions import prediction
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, PhotoState, Project
from backend.plugin.links import Links

Task = Mapping[str, Any]
Adopt = Callable[[Project, Sequence[Task], str], object]  # project, its tasks, the data's key that holds the image

_SHOWN = frozenset({PhotoState.READY, PhotoState.PUBLISHED})
_PHOTOS_PER_LOOK = 500
_MAX_NOTICED = 200  # per hint, which has to be answered within a second; reconciling finds the others

_log = logs.get(__name__)


class Predictor:
    """Answers for every project that anonymization is on for.

    model_version: what Label Studio is told that predictions come from. It asks again for whatever has no prediction
    of this version, so every answer carries it. adopt: called with those tasks of an adopting project whose image is
    not ours; it raises BackendError when they cannot be noted now.
    """

    def __init__(self, ledger: Ledger, links: Links, *, model_version: str, adopt: Adopt) -> None:
        self._ledger, self._links, self._adopt = ledger, links, adopt
        self.model_version = model_version

    def predict(self, tasks: Sequence[Task], label_config: str) -> list[dict[str, Any] | list[Any]]:
        """For each task, in order: its prediction, or an empty list while there is none.

        Empty means "ask again later" to Label Studio. It is the answer to everything else too (a foreign task, a
        project we do not know, a labelling configuration that does not fit, a ledger that is away): an error would
        cost the other tasks their answers. Never raises for a task.
        """
        fit = _fit(label_config)
        if fit is None:
            return [[] for _ in tasks]
        try:
            projects = self._projects(tasks)
            keys = [self._image_key(task, fit) for task in tasks]
            photos = self._photos(keys)
        except BackendError as error:
            _log.warning("no answer for tasks", extra={"reason": type(error).__name__})
            return [[] for _ in tasks]
        self._take_notice(projects, [task for task, key in zip(tasks, keys, strict=True) if key is None], fit)
        return [
            self._answer(projects.get(_labelstudio_id(task)), photos.get(key or ""), fit)
            for task, key in zip(tasks, keys, strict=True)
        ]

    def notice(self, labelstudio_id: int, tasks: Sequence[Task], label_config: str) -> None:
        """Label Studio says that these tasks are new in a project: adopt those that are not ours, if it adopts.

        Only a hint: it may be lost or come twice, and what it leaves out is found by reconciling. Never raises.
        """
        fit = _fit(label_config)
        if fit is None:
            return
        told = [{**task, "project": labelstudio_id} for task in tasks[:_MAX_NOTICED] if isinstance(task, Mapping)]
        try:
            projects = self._projects(told)
        except BackendError as error:
            _log.warning("hint was lost", extra={"reason": type(error).__name__})
            return
        self._take_notice(projects, [task for task in told if self._image_key(task, fit) is None], fit)

    def _answer(self, project: Project | None, photo: Photo | None, fit: Fit) -> dict[str, Any] | list[Any]:
        if project is None or photo is None or not project.on or photo.project_id != project.project_id:
            return []
        if photo.state not in _SHOWN:
            return []
        wanted = project.policy.suggest_expressions
        try:
            return prediction(photo, fit, suggest_expressions=wanted, model_version=self.model_version)
        except BackendError as error:
            extra = {"photo_id": photo.photo_id, "reason": type(error).__name__}
            _log.warning("photo makes no prediction", extra=extra)
            return []

    def _take_notice(self, projects: Mapping[int, Project], tasks: Sequence[Task], fit: Fit) -> None:
        for labelstudio_id, project in projects.items():
            foreign = [task for task in tasks if _labelstudio_id(task) == labelstudio_id and _has_id(task)]
            if not foreign or not project.on:
                continue
            if not project.adopts:
                extra = {"project_id": project.project_id, "count": len(foreign)}
                _log.warning("tasks hold images that are not ours", extra=extra)
                continue
            try:
                self._adopt(project, foreign, fit.data_key)
            except BackendError as error:
                extra = {"project_id": project.project_id, "reason": type(error).__name__}
                _log.warning("tasks could not be adopted now", extra=extra)

    def _projects(self, tasks: Iterable[Task]) -> dict[int, Project]:
        found = {}
        for labelstudio_id in {_labelstudio_id(task) for task in tasks}:
            project = self._ledger.project_of_labelstudio(labelstudio_id)
            if project is not None:
                found[labelstudio_id] = project
        return found

    def _photos(self, keys: Sequence[str | None]) -> dict[str, Photo]:
        wanted = sorted({key for key in keys if key is not None})
        found: dict[str, Photo] = {}
        for start in range(0, len(wanted), _PHOTOS_PER_LOOK):
            found |= self._ledger.photos_of_images(wanted[start : start + _PHOTOS_PER_LOOK])
        return found

    def _image_key(self, task: Task, fit: Fit) -> str | None:
        data = task.get("data") if isinstance(task, Mapping) else None
        address = data.get(fit.data_key) if isinstance(data, Mapping) else None
        return self._links.image_key(address) if isinstance(address, str) else None


@lru_cache(maxsize=64)
def _fit(label_config: str) -> Fit | None:
    try:
        return labels.fit(label_config)
    except ConfigError:
        _log.warning("labelling configuration does not fit")
        return None


def _labelstudio_id(task: Task) -> int:
    """The task's project; -1, which is nobody's, when it does not say."""
    project = task.get("project") if isinstance(task, Mapping) else None
    return project if isinstance(project, int) else -1


def _has_id(task: Task) -> bool:
    return isinstance(task.get("id"), int)
