"""The only door to Label Studio's HTTP API, and to the images its tasks point at.

Errors say what was asked and the status, never an address, a token or what Label Studio answered: answers may quote a
task's data. Redirects are followed by hand, because the next place may not be one that we go to.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from backend.errors import (
    LabelStudioError,
    LabelStudioForbiddenError,
    LabelStudioMissingError,
    LabelStudioRefusedError,
)
from backend.labelstudio import addresses
from backend.labelstudio.predictions import PRIVACY_KEY

Json = dict[str, Any]

_CONNECT_S, _READ_S, _BULK_READ_S = 5.0, 30.0, 300.0
_TOKEN_LIFE_S = 240.0  # Label Studio's access tokens live for 300 s
_PAGE_SIZE, _KEYS_PER_QUERY = 100, 50
_MAX_IMAGE_BYTES, _CHUNK_BYTES, _DOWNLOAD_S = 64 * 1024 * 1024, 1 << 16, 120.0
_MAX_REDIRECTS = 3
_LATER = frozenset({408, 425, 429})  # refusals that are about now and not about what was asked
_STORAGES = ("s3", "gcs", "azure", "redis", "localfiles")


class LabelStudio:
    """One Label Studio, as the owner of `api_key` sees it. Safe to use from several threads.

    api_key: a legacy token (40 hexadecimal digits) or a personal access token, which is exchanged for short-lived ones.
    allowed_hosts: hosts other than Label Studio's that `download` may fetch images from.

    Every method raises LabelStudioRefusedError when Label Studio will not do it (4xx) and LabelStudioError when it
    cannot be reached or fails.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        verify_tls: bool = True,
        allowed_hosts: Collection[str] = (),
        session: requests.Session | None = None,
        clock: Callable[[], float] = time.monotonic,
        resolve: addresses.Resolve = addresses.look_up,
    ) -> None:
        self._url = url.rstrip("/")
        self._allowed_hosts, self._resolve = frozenset(allowed_hosts), resolve
        self._session = session or requests.Session()
        # Proxies would undo the pinning of addresses, and a netrc file would replace our key.
        self._session.trust_env = False
        self._session.verify = verify_tls
        self._key = _Key(api_key, self._refresh, clock)
        self._clock = clock

    def current_user(self) -> Json:
        """Whose key this is: id, email."""
        return _object(self._get("look up the owner of the key", "/api/current-user/whoami"))

    def projects(self) -> list[Json]:
        """All projects that the key's owner sees."""
        return list(self._pages("list the projects", "/api/projects"))

    def project(self, project_id: int) -> Json:
        """One project: title, label_config, model_version and more."""
        return _object(self._get("read the project", f"/api/projects/{project_id}"))

    def create_project(self, title: str, label_config: str) -> Json:
        """A new project (title: 3 to 50 characters) whose labelling shows predictions by default."""
        body = {"title": title, "label_config": label_config, "show_collab_predictions": True}
        return _object(self._post("create the project", "/api/projects", body))

    def update_project(self, project_id: int, **fields: Any) -> Json:
        """Change fields of a project. `model_version` must be one that a prediction has."""
        path = f"/api/projects/{project_id}"
        return _object(self._call("PATCH", path, purpose="change the project", body=fields))

    def import_tasks(self, project_id: int, items: Sequence[Mapping[str, Any]]) -> list[int]:
        """Import tasks, each with its data, meta and predictions, in one call. Returns their ids in the same order."""
        path = f"/api/projects/{project_id}/import"
        answer = _object(self._post("import tasks", path, list(items), params={"return_task_ids": "true"}, bulk=True))
        task_ids = answer.get("task_ids")
        if not isinstance(task_ids, list) or len(task_ids) != len(items):
            raise LabelStudioError("Label Studio did not say which tasks it made")
        return [int(task_id) for task_id in task_ids]

    def tasks(self, project_id: int, *, page_size: int = _PAGE_SIZE) -> Iterator[Json]:
        """Every task of a project, in the order of ids: id, data as stored, meta, file_upload, storage_filename,
        total_predictions and more. Asking for it makes no ML backend predict."""
        return self._tasks(project_id, None, page_size)

    def task(self, project_id: int, task_id: int) -> Json | None:
        """One task as `tasks` gives it, None when it is not there. Makes no ML backend predict."""
        return next(self._tasks(project_id, [("tasks:id", "Number", task_id)], 1), None)

    def find_tasks(self, project_id: int, privacy_keys: Collection[str]) -> dict[str, int]:
        """Task ids by the privacy key in their data, for those keys that have a task (the oldest, if several)."""
        found: dict[str, int] = {}
        wanted = sorted(set(privacy_keys))
        for start in range(0, len(wanted), _KEYS_PER_QUERY):
            keys = wanted[start : start + _KEYS_PER_QUERY]
            items = [(f"tasks:data.{PRIVACY_KEY}", "String", key) for key in keys]
            for task in self._tasks(project_id, items, _PAGE_SIZE):
                key = task["data"].get(PRIVACY_KEY)
                if key in keys:
                    found.setdefault(key, int(task["id"]))
        return found

    def replace_image(self, task_id: int, data: Mapping[str, Any]) -> None:
        """Replace all of a task's data: keys that are not given vanish. Annotations and predictions stay."""
        body = {"data": dict(data)}
        self._call("PATCH", f"/api/tasks/{task_id}", purpose="replace the task's data", body=body)

    def annotations(self, task_id: int) -> list[Json]:
        """What people labelled in a task: id, completed_by, created_at, was_cancelled, result. Makes no ML backend
        predict."""
        return _list(self._get("read the task's annotations", f"/api/tasks/{task_id}/annotations/"))

    def note(self, task_id: int, meta: Mapping[str, Any]) -> None:
        """Replace a task's meta, which everybody sees who may open the task. Its data and annotations stay."""
        body = {"meta": dict(meta)}
        self._call("PATCH", f"/api/tasks/{task_id}", purpose="add a note to the task", body=body)

    def import_predictions(self, project_id: int, items: Sequence[Mapping[str, Any]]) -> int:
        """Add predictions to tasks: each item is a prediction with `task`, the task's id. Returns how many."""
        path = f"/api/projects/{project_id}/import/predictions"
        answer = _object(self._post("import predictions", path, list(items), bulk=True))
        return int(answer.get("created", 0))

    def predicted_versions(self, task_id: int) -> set[str]:
        """The model versions that a task has predictions of."""
        answer = self._get("list the task's predictions", "/api/predictions", {"task": task_id})
        return {str(prediction["model_version"]) for prediction in _list(answer)}

    def delete_predictions(self, project_id: int, model_version: str) -> None:
        """Delete all of a project's predictions of this version."""
        path = f"/api/projects/{project_id}/model-versions/"
        self._call("DELETE", path, purpose="delete predictions", body={"model_version": model_version})

    def ml_backends(self, project_id: int) -> list[Json]:
        """The project's ML backends. Label Studio calls each one's /health and /setup for this."""
        return _list(self._get("list ML backends", "/api/ml", {"project": project_id}))

    def create_ml_backend(
        self, project_id: int, url: str, *, title: str, credentials: tuple[str, str] | None = None
    ) -> Json:
        """Connect an ML backend, with a user and password if it asks for them. Label Studio calls it at once, and adds
        a webhook of its own that is sent every task's data."""
        body: Json = {"project": project_id, "url": url, "title": title, "is_interactive": False}
        if credentials is not None:
            user, password = credentials
            body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
        return _object(self._post("connect the ML backend", "/api/ml", body))

    def delete_ml_backend(self, ml_backend_id: int) -> None:
        """Disconnect an ML backend. Its webhook stays, and has to be deleted too."""
        self._call("DELETE", f"/api/ml/{ml_backend_id}", purpose="disconnect the ML backend")

    def webhooks(self, project_id: int) -> list[Json]:
        """The project's webhooks, with the headers they send."""
        return _list(self._get("list webhooks", "/api/webhooks/", {"project": project_id}))

    def delete_webhook(self, webhook_id: int) -> None:
        """Delete a webhook."""
        self._call("DELETE", f"/api/webhooks/{webhook_id}/", purpose="delete the webhook")

    def storages(self, project_id: int) -> list[Json]:
        """The storages that tasks are read from, of every kind that Label Studio offers; `type` says which."""
        found = []
        for kind in _STORAGES:
            try:
                listed = _list(self._get("list storages", f"/api/storages/{kind}", {"project": project_id}))
            except LabelStudioMissingError:
                continue  # switched off, as local files should be
            found += [{"type": kind, **storage} for storage in listed]
        return found

    def file_uploads(self, project_id: int) -> list[Json]:
        """The files that were uploaded to the project, also those that no task uses any more."""
        path = f"/api/projects/{project_id}/file-uploads"
        return _list(self._get("list uploaded files", path, {"all": "true"}))

    def download(self, address: str, *, task_id: int | None = None, max_bytes: int = _MAX_IMAGE_BYTES) -> bytes:
        """The image behind the address in a task's data, into memory and nowhere else.

        task_id: the task, needed for images in connected buckets. Refused (LabelStudioRefusedError): other hosts than
        Label Studio's and the allowed ones, private networks, more than `max_bytes`.
        """
        deadline = self._clock() + _DOWNLOAD_S
        for _ in range(_MAX_REDIRECTS + 1):
            place = addresses.target(
                address,
                labelstudio_url=self._url,
                allowed_hosts=self._allowed_hosts,
                task_id=task_id,
                resolve=self._resolve,
            )
            with self._open(place) as response:
                if not response.is_redirect:
                    return self._body(response, max_bytes, deadline=deadline)
                address = addresses.join(place.url, response.headers["Location"])
        raise LabelStudioRefusedError("the image's address redirects too often")

    @contextmanager
    def _open(self, place: addresses.Target) -> Iterator[requests.Response]:
        if place.pinned_ip is None:
            headers = {"Authorization": self._key.header()}
            with self._answer(self._session, "GET", place.url, purpose="fetch the image", headers=headers) as response:
                yield response
            return
        with requests.Session() as session:
            session.trust_env, session.verify = False, self._session.verify
            session.mount("http://", _Pinned(place.pinned_ip))
            session.mount("https://", _Pinned(place.pinned_ip))
            host = {"Host": urlsplit(place.url).netloc}
            with self._answer(session, "GET", place.url, purpose="fetch the image", headers=host) as response:
                yield response

    def _body(self, response: requests.Response, max_bytes: int, *, deadline: float) -> bytes:
        data = bytearray()
        with _translated("fetch the image"):
            for chunk in response.iter_content(_CHUNK_BYTES):
                data += chunk
                if len(data) > max_bytes:
                    raise LabelStudioRefusedError(f"the image has more than {max_bytes} bytes")
                if self._clock() > deadline:
                    raise LabelStudioError("the image takes too long to arrive")
        return bytes(data)

    def _tasks(
        self, project_id: int, filters: Sequence[tuple[str, str, object]] | None, page_size: int
    ) -> Iterator[Json]:
        query: Json = {"ordering": ["tasks:id"]}
        if filters is not None:
            items = [
                {"filter": f"filter:{column}", "operator": "equal", "type": kind, "value": value}
                for column, kind, value in filters
            ]
            query["filters"] = {"conjunction": "or", "items": items}
        params: Json = {"project": project_id, "fields": "all", "resolve_uri": "false", "page_size": page_size}
        params["query"] = json.dumps(query)
        page, seen = 1, 0
        while True:
            answer = _object(self._get("list the tasks", "/api/tasks", {**params, "page": page}))
            tasks = _list(answer.get("tasks"))
            yield from tasks
            seen += len(tasks)
            if not tasks or seen >= int(answer.get("total", 0)):
                return
            page += 1

    def _pages(self, purpose: str, path: str) -> Iterator[Json]:
        page, seen = 1, 0
        while True:
            answer = _object(self._get(purpose, path, {"page": page, "page_size": _PAGE_SIZE}))
            results = _list(answer.get("results"))
            yield from results
            seen += len(results)
            if not results or seen >= int(answer.get("count", 0)):
                return
            page += 1

    def _get(self, purpose: str, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._call("GET", path, purpose=purpose, params=params)

    def _post(
        self, purpose: str, path: str, body: Any, *, params: Mapping[str, Any] | None = None, bulk: bool = False
    ) -> Any:
        return self._call("POST", path, purpose=purpose, body=body, params=params, bulk=bulk)

    def _call(
        self,
        method: str,
        path: str,
        *,
        purpose: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        bulk: bool = False,
    ) -> Any:
        options: Json = {"params": params, "headers": {"Authorization": self._key.header()}}
        if body is not None:
            options["json"] = body
        if bulk:
            options["timeout"] = (_CONNECT_S, _BULK_READ_S)
        with self._answer(self._session, method, self._url + path, purpose=purpose, **options) as response:
            return _parsed(response, purpose)

    def _refresh(self, personal_token: str) -> str:
        purpose, url = "renew the access token", self._url + "/api/token/refresh/"
        with self._answer(self._session, "POST", url, purpose=purpose, json={"refresh": personal_token}) as response:
            return str(_object(_parsed(response, purpose)).get("access", ""))

    @contextmanager
    def _answer(
        self, session: requests.Session, method: str, url: str, *, purpose: str, **options: Any
    ) -> Iterator[requests.Response]:
        options.setdefault("timeout", (_CONNECT_S, _READ_S))
        with _translated(purpose):
            response = session.request(method, url, stream=True, allow_redirects=False, **options)
        with response:
            _refuse(response, purpose)
            yield response


class _Key:
    """What goes into the Authorization header. A personal access token is a JWT, with two dots."""

    def __init__(self, api_key: str, refresh: Callable[[str], str], clock: Callable[[], float]) -> None:
        self._api_key, self._refresh, self._clock = api_key.strip(), refresh, clock
        self._lock = threading.Lock()
        self._access, self._renew_at = "", 0.0

    def header(self) -> str:
        if self._api_key.count(".") != 2:
            return f"Token {self._api_key}"
        with self._lock:
            if not self._access or self._clock() >= self._renew_at:
                self._access = self._refresh(self._api_key)
                self._renew_at = self._clock() + _TOKEN_LIFE_S
            return f"Bearer {self._access}"


class _Pinned(HTTPAdapter):
    """Connects to the one IP address that was checked, whatever the name says by now; TLS still checks the name."""

    def __init__(self, ip: str) -> None:
        super().__init__()
        self._ip = ip

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, checks = super().build_connection_pool_key_attributes(request, verify, cert)
        pool: dict[str, Any] = {**checks}
        if host["scheme"] == "https":
            pool |= {"server_hostname": host["host"], "assert_hostname": host["host"]}
        return {**host, "host": self._ip}, pool


def _refuse(response: requests.Response, purpose: str) -> None:
    status = response.status_code
    if status in (401, 403):
        raise LabelStudioForbiddenError(f"Label Studio does not let the owner of the API key {purpose} ({status})")
    if status >= 500 or status in _LATER:
        raise LabelStudioError(f"Label Studio failed to {purpose} ({status})")
    if status == 404:
        raise LabelStudioMissingError(f"Label Studio refused to {purpose} (404)")
    if status >= 400:
        raise LabelStudioRefusedError(f"Label Studio refused to {purpose} ({status}){_fields(response)}")


def _fields(response: requests.Response) -> str:
    """Which fields Label Studio found wrong: their names, not what it says about them."""
    try:
        errors = response.json().get("validation_errors")
    except (ValueError, AttributeError):
        return ""
    return f": {', '.join(sorted(map(str, errors)))}" if isinstance(errors, dict) and errors else ""


def _parsed(response: requests.Response, purpose: str) -> Any:
    with _translated(purpose):
        if not response.content:
            return None
        if response.is_redirect:
            raise LabelStudioError(f"Label Studio answered the call to {purpose} with a redirect")
        return response.json()


@contextmanager
def _translated(purpose: str) -> Iterator[None]:
    """requests' errors carry addresses; ours do not."""
    try:
        yield
    except requests.exceptions.JSONDecodeError:
        raise LabelStudioError(f"Label Studio's answer to the call to {purpose} is not JSON") from None
    except requests.RequestException:
        raise LabelStudioError(f"Label Studio could not be reached to {purpose}") from None


def _object(answer: Any) -> Json:
    if not isinstance(answer, dict):
        raise LabelStudioError("Label Studio's answer is not of the expected shape")
    return answer


def _list(answer: Any) -> list[Json]:
    if not isinstance(answer, list):
        raise LabelStudioError("Label Studio's answer is not of the expected shape")
    return answer
