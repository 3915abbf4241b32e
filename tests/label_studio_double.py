"""A small HTTP server that answers like Label Studio where the worker asks, counts what it is asked to do, and can be
away or lose its answers. What the real one does is tested against the real one."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "c0ffee00" * 5
Json = dict[str, Any]


@dataclass
class Double:
    """What it holds. `lose_answers`: how many of the next imports to do and then hang up on. `be_late`: how many of
    them to answer as a gateway does that has lost patience, and to do when `catch_up` is called. `stall`: imports wait
    for it, however long that takes. `refuse`: privacy keys whose import is answered with 400. `turn_away`: by path, the
    status that every call to it is answered with."""

    label_config: str
    tasks: dict[int, Json] = field(default_factory=dict)
    predictions: list[Json] = field(default_factory=list)
    projects: dict[int, Json] = field(default_factory=dict)
    annotations: dict[int, list[Json]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    imports: int = 0
    calls: list[str] = field(default_factory=list)
    lose_answers: int = 0
    be_late: int = 0
    stall: threading.Event | None = None
    refuse: set[str] = field(default_factory=set)
    turn_away: dict[str, int] = field(default_factory=dict)
    port: int = 0
    late: list[tuple[int, list[Json]]] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def project(self, project_id: int) -> Json:
        fresh = {"id": project_id, "title": "double", "label_config": self.label_config, "model_version": ""}
        return self.projects.setdefault(project_id, fresh)

    def add_task(self, project_id: int, data: Json) -> int:
        task_id = next(self._ids)
        self.tasks[task_id] = {"id": task_id, "project": project_id, "data": data, "meta": {}, "total_predictions": 0}
        return task_id

    def predict(self, task_id: int, prediction: Json) -> None:
        self.predictions.append({"task": task_id, **prediction})

    def import_tasks(self, project_id: int, items: list[Json]) -> list[int]:
        """Make tasks with their predictions, all of them at the same moment."""
        self.imports += 1
        task_ids = [self.add_task(project_id, item["data"]) for item in items]
        for task_id, item in zip(task_ids, items, strict=True):
            for prediction in item["predictions"]:
                self.predict(task_id, prediction)
        return task_ids

    def catch_up(self) -> None:
        """Do what was answered too late."""
        while self.late:
            self.import_tasks(*self.late.pop(0))

    def start(self) -> None:
        """Be there, on the same port as before."""
        handler = type("Handler", (_Handler,), {"double": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Be away: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def running(label_config: str) -> Iterator[Double]:
    double = Double(label_config)
    double.start()
    try:
        yield double
    finally:
        double.stop()


class _Handler(BaseHTTPRequestHandler):
    double: Double
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._route(
            {
                r"/api/projects/(\d+)": lambda found: self.double.project(int(found[1])),
                r"/api/tasks": lambda _: self._listed(),
                r"/api/predictions": lambda _: self._predictions(),
                r"/api/tasks/(\d+)/annotations/": lambda found: self.double.annotations.get(int(found[1]), []),
                r"/data/upload/.+": lambda found: self.double.files.get(found[0]),
            }
        )

    def do_POST(self) -> None:
        self._route(
            {
                r"/api/projects/(\d+)/import": lambda found: self._import(int(found[1])),
                r"/api/projects/(\d+)/import/predictions": lambda _: self._import_predictions(),
            }
        )

    def do_PATCH(self) -> None:
        self._route(
            {
                r"/api/tasks/(\d+)": lambda found: self._change(self.double.tasks, int(found[1])),
                r"/api/projects/(\d+)": lambda found: self._change(self.double.projects, int(found[1])),
            }
        )

    def _route(self, table: dict[str, Any]) -> None:
        path = urlsplit(self.path).path
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.double.calls.append(f"{self.command} {path}")
        if self.headers.get("Authorization") != f"Token {TOKEN}":
            self._answer(401, {"detail": "no"})
            return
        if status := self.double.turn_away.get(path):
            self._answer(status, {"detail": "no"})
            return
        for pattern, answer in table.items():
            if found := re.fullmatch(pattern, path):
                made = answer(found)
                if made is not _HANGS_UP:
                    self._answer(next((status for sign, status in _STATUSES if made is sign), 200), made)
                return
        self._answer(404, {"detail": "no such route"})

    def _import(self, project_id: int) -> Any:
        items, double = json.loads(self.body), self.double
        if any(item["data"].get("privacy_key") in double.refuse for item in items):
            return _REFUSED
        if double.be_late:
            double.be_late -= 1
            double.late.append((project_id, items))
            return _OUT_OF_PATIENCE
        if double.stall is not None:
            double.stall.wait(30)
        task_ids = double.import_tasks(project_id, items)
        if double.lose_answers:
            double.lose_answers -= 1
            self.close_connection = True
            return _HANGS_UP
        return {"task_ids": task_ids}

    def _import_predictions(self) -> Json:
        items = json.loads(self.body)
        for item in items:
            self.double.predict(item.pop("task"), item)
        return {"created": len(items)}

    def _listed(self) -> Json:
        query = parse_qs(urlsplit(self.path).query)
        wanted = json.loads(query["query"][0]).get("filters", {}).get("items")
        mine = [task for task in self.double.tasks.values() if task["project"] == int(query["project"][0])]
        found = [task for task in mine if wanted is None or any(_matches(task, item) for item in wanted)]
        return {"tasks": found, "total": len(found)}

    def _predictions(self) -> list[Json]:
        task_id = int(parse_qs(urlsplit(self.path).query)["task"][0])
        return [known for known in self.double.predictions if known["task"] == task_id]

    def _change(self, table: dict[int, Json], key: int) -> Json | None:
        if key in table:
            table[key] |= json.loads(self.body)
        return table.get(key)

    def _answer(self, status: int, body: object) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body if status < 400 else {"detail": "no"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Quiet."""


_REFUSED, _HANGS_UP, _OUT_OF_PATIENCE = object(), object(), object()
_STATUSES = ((None, 404), (_REFUSED, 400), (_OUT_OF_PATIENCE, 504))


def _matches(task: Json, item: Json) -> bool:
    column = item["filter"].removeprefix("filter:tasks:")
    value = task["id"] if column == "id" else task["data"].get(column.removeprefix("data."))
    return bool(value == item["value"])
