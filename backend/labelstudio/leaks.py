"""What a Label Studio project still shows of originals. Everybody who may sign in there can read all of it.

Replacing a task's image mends what is seen from then on; copies, names and addresses stay in the places listed here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from backend.labelstudio.predictions import PRIVACY_KEY

Kind = Literal[
    "foreign_image", "other_address", "uploaded_file", "source_name", "upload", "storage", "webhook", "ml_backend"
]
_EXAMPLES = 5
_ADDRESS = re.compile(r"(?i)(https?|s3|gs|azure-blob|ftp|file)://|/data/")
_FILE_NAME = re.compile(r"(?i)\S\.(png|jpe?g|jfif|webp|gif|bmp|tiff?|heic|heif|avif|raw|dng|cr2|nef|arw)\b")
_REMEDIES: Mapping[Kind, str] = {
    "foreign_image": "Turn adoption on and wait until these tasks are replaced, then delete and re-import them: until "
    "the replacement everybody could open the originals.",
    "other_address": "Remove these values from the tasks' data: they name or point at files that are not ours.",
    "uploaded_file": "Delete these tasks and import them again: each keeps the name of the file it was made from.",
    "source_name": "Delete these tasks and import them again: each keeps the name of the object it was read from.",
    "upload": "Delete these uploads from the project, and then the files in Label Studio's folder media/upload: Label "
    "Studio leaves them there.",
    "storage": "Disconnect these storages: whoever can sign in can read every object of a connected bucket or folder.",
    "webhook": "Delete these webhooks: each sends the tasks' data to somebody who is not a connected ML backend of "
    "ours. Label Studio leaves one behind for every ML backend that was deleted.",
    "ml_backend": "Disconnect these ML backends unless you know them: each is sent all tasks, and a token of the "
    "project's creator.",
}


class Source(Protocol):
    """What of the client is needed here."""

    def tasks(self, project_id: int) -> Iterator[dict[str, Any]]: ...

    def file_uploads(self, project_id: int) -> list[dict[str, Any]]: ...

    def storages(self, project_id: int) -> list[dict[str, Any]]: ...

    def webhooks(self, project_id: int) -> list[dict[str, Any]]: ...

    def ml_backends(self, project_id: int) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of leak: how often, the ids of up to five tasks that have it, and what to do about it."""

    kind: Kind
    count: int
    task_ids: tuple[int, ...]
    remedy: str


@dataclass(frozen=True, slots=True)
class Leaks:
    """The outcome for one project."""

    tasks_checked: int
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def leak_check(client: Source, project_id: int, *, own_host: str, backend_hosts: Collection[str] = ()) -> Leaks:
    """Look through a project's tasks, uploads, storages, webhooks and ML backends.

    own_host: host and port of our image addresses. backend_hosts: under which further hosts Label Studio reaches us.
    Raises LabelStudioError.
    """
    per_task: dict[Kind, list[int]] = {"foreign_image": [], "other_address": [], "uploaded_file": [], "source_name": []}
    checked = 0
    for task in client.tasks(project_id):
        checked += 1
        for kind in _kinds(task, own_host):
            per_task[kind].append(int(task["id"]))
    findings = [_finding(kind, len(ids), ids) for kind, ids in per_task.items()]
    findings += [_finding(kind, count) for kind, count in _around(client, project_id, {own_host, *backend_hosts})]
    return Leaks(checked, tuple(finding for finding in findings if finding.count))


def _kinds(task: Mapping[str, Any], own_host: str) -> Iterator[Kind]:
    values = [value for key, value in (task.get("data") or {}).items() if key != PRIVACY_KEY]
    strange = [text for text in _texts([*values, task.get("meta")]) if not _is_ours(text, own_host)]
    direct = {value for value in values if isinstance(value, str) and _is_address(value)}
    if direct.intersection(strange):
        yield "foreign_image"
    if any(text not in direct and (_is_address(text) or _FILE_NAME.search(text)) for text in strange):
        yield "other_address"
    if task.get("file_upload"):
        yield "uploaded_file"
    if task.get("storage_filename"):
        yield "source_name"


def _around(client: Source, project_id: int, hosts: Collection[str]) -> Iterator[tuple[Kind, int]]:
    backends = [str(backend.get("url", "")) for backend in client.ml_backends(project_id)]
    ours = [url for url in backends if urlsplit(url).netloc in hosts]
    known = {f"{url.rstrip('/')}/webhook" for url in ours}
    hooks = [hook for hook in client.webhooks(project_id) if str(hook.get("url", "")) not in known]
    yield "upload", len(client.file_uploads(project_id))
    yield "storage", len(client.storages(project_id))
    yield "webhook", len(hooks)
    yield "ml_backend", len(backends) - len(ours)


def _finding(kind: Kind, count: int, task_ids: Sequence[int] = ()) -> Finding:
    return Finding(kind, count, tuple(task_ids[:_EXAMPLES]), _REMEDIES[kind])


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _texts(value.values())
        elif isinstance(value, list):
            yield from _texts(value)


def _is_address(text: str) -> bool:
    return _ADDRESS.match(text.strip()) is not None


def _is_ours(text: str, own_host: str) -> bool:
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == own_host and "/images/" in parts.path
