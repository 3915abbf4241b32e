"""From what a person pastes, an address or a number of Label Studio's, to the photo that is meant."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from backend.errors import LedgerError, OfficeError
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, PhotoState

_PHOTO_ID = re.compile(r"[0-9a-f]{32}")
_TASK_ID = re.compile(r"[1-9][0-9]{0,15}")
_IN_PATH = re.compile(r"/tasks/([0-9]+)")
_PROJECT_IN_PATH = re.compile(r"/projects/([0-9]+)")
_SHOWN = frozenset({PhotoState.READY, PhotoState.PUBLISHED})
_UNREADABLE = "paste the address of a Label Studio task, or its number"


def find_photo(ledger: Ledger, pasted: str) -> Photo:
    """The photo behind a task's address (as its page or the Data Manager shows it), a task's number, or a photo id.

    Raises `OfficeError` when it is none of these, or no photo of ours that is published.
    """
    pasted = pasted.strip()
    photo = _of_id(ledger, pasted) if _PHOTO_ID.fullmatch(pasted) else _of_task(ledger, *_task(pasted))
    if photo is None or photo.state not in _SHOWN:
        raise OfficeError("this task has no photo that was anonymized here")
    return photo


def _of_id(ledger: Ledger, photo_id: str) -> Photo | None:
    try:
        return ledger.photo(photo_id)
    except LedgerError as error:
        if type(error) is not LedgerError:  # away is not the same as missing
            raise
        return None


def _of_task(ledger: Ledger, task_id: int, labelstudio_id: int | None) -> Photo | None:
    """Numbers of tasks are unique within Label Studio, so that the project is only a check."""
    for project in ledger.projects():
        if labelstudio_id in (None, project.labelstudio_id):
            found = ledger.photos_of_tasks(project.labelstudio_id, [task_id])
            if task_id in found:
                return found[task_id]
    return None


def _task(pasted: str) -> tuple[int, int | None]:
    """(task, project or None), Label Studio's numbers."""
    if _TASK_ID.fullmatch(pasted):
        return int(pasted), None
    try:
        parts = urlsplit(pasted)
    except ValueError:
        raise OfficeError(_UNREADABLE) from None
    in_path, project = _IN_PATH.search(parts.path), _PROJECT_IN_PATH.search(parts.path)
    task = in_path[1] if in_path else parse_qs(parts.query).get("task", [""])[0]
    if not _TASK_ID.fullmatch(task):
        raise OfficeError(_UNREADABLE)
    return int(task), int(project[1]) if project else None
