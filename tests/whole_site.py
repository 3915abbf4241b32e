"""The whole plugin as it is run, for tests: real processes of plugin, intake and workers around a real Label Studio."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests
from label_studio_server import LabelStudioServer

from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.redis_server import EmbeddedRedis
from worker.demo.intake import Intake, Json
from worker.demo.processes import Children, answers, free_port, run

ROOT = Path(__file__).parents[1]
MANAGER = "manager@example.org"
_PYTHON = [sys.executable, "-m"]
_ADDRESS = re.compile(rb"http://(?:localhost|127\.0\.0\.1)[^\s\"'<>\\)]+")
_AROUND = (
    "/api/projects/{0}",
    "/api/projects/{0}/export?exportType=JSON&download_all_tasks=true",
    "/api/projects/{0}/export?exportType=CSV&download_all_tasks=true",
    "/api/projects/{0}/file-uploads?all=true",
    "/api/projects/{0}/next",
    "/api/projects/{0}/summary",
    "/api/tasks?project={0}&fields=all&page_size=500",
    "/api/dm/views?project={0}",
    "/api/webhooks/?project={0}",
    "/api/ml?project={0}",
    "/api/storages/s3?project={0}",
    "/api/storages/localfiles?project={0}",
    "/api/activity-logs?project={0}",
)


@dataclass(frozen=True, slots=True)
class Site:
    """One installation. `folder` is its data folder."""

    folder: Path
    label_studio: LabelStudioServer
    plugin_url: str
    intake_url: str
    path_secret: str
    environment: dict[str, str]
    intake: Intake

    @property
    def client(self) -> LabelStudio:
        return LabelStudio(self.label_studio.url, self.label_studio.token)

    @property
    def logs(self) -> Path:
        return self.folder.parent / "logs"

    def ledger(self) -> Ledger:
        return Ledger.open(f"sqlite:///{self.folder}/ledger.sqlite3")

    @contextmanager
    def working(self, *, real: bool) -> Iterator[Children]:
        """While a worker runs: the real one, or one whose engine is a stand-in."""
        command = [*_PYTHON, "worker", "run", "--reconcile", "1"] if real else stand_in_worker()
        name = "worker" if real else "stand-in-worker"
        with Children(self.logs) as children:
            children.start(f"{name}-{time.monotonic_ns()}", command, self.environment)
            yield children

    def finish(self, project_id: str, *, photos: int, within_s: float = 500.0, real: bool = False) -> Json:
        """Let a worker go on until so many photos of the project are settled; its progress then."""

        def settled() -> bool:
            now = self.intake.progress(project_id)
            return bool(now["published"] + now["failed"] >= photos)

        with self.working(real=real) as children:
            children.wait_for(settled, within_s=within_s, what=f"the end of {photos} photos")
        return self.intake.progress(project_id)


@contextmanager
def running(label_studio: LabelStudioServer, folder: Path) -> Iterator[Site]:
    """A fresh installation in `folder` for this Label Studio."""
    data_dir, logs = folder / "data", folder / "logs"
    logs.mkdir(parents=True)
    plugin, intake = free_port(0), free_port(0)
    plugin_url, intake_url, secret = f"http://localhost:{plugin}", f"http://localhost:{intake}", "s3cret-in-the-path"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("G2FACE_") or "MODEL" in name},
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        "G2FACE_DATA_DIR": str(data_dir),
        "G2FACE_LABELSTUDIO__URL": label_studio.url,
        "G2FACE_LABELSTUDIO__API_KEY": label_studio.token,
        "G2FACE_PLUGIN__PORT": str(plugin),
        "G2FACE_PLUGIN__PUBLIC_URL": plugin_url,
        "G2FACE_PLUGIN__PATH_SECRET": secret,
        "G2FACE_INTAKE__PORT": str(intake),
        "G2FACE_WORKER__MAX_ATTEMPTS": "2",
    }
    with EmbeddedRedis(data_dir), Children(logs) as children:
        for command in (["backend.admin", "init-keys"], ["worker", "init"]):
            run(command[0], [*_PYTHON, *command], environment)
        run("account", [*_PYTHON, "backend.intake", "account", "add", MANAGER], environment)
        token = run("token", [*_PYTHON, "backend.intake", "token", MANAGER], environment).strip()
        children.start("plugin", [*_PYTHON, "backend.plugin"], environment)
        children.start("intake", [*_PYTHON, "backend.intake", "serve"], environment)
        for url in (plugin_url, intake_url):
            children.wait_for(partial(answers, f"{url}/health"), within_s=120, what="a server")
        yield Site(data_dir, label_studio, plugin_url, intake_url, secret, environment, Intake(intake_url, token))


def all_that_label_studio_tells(server: LabelStudioServer, token: str, project_id: int) -> bytes:
    """The answers to everything that somebody with this token may ask about a project, one after the other."""
    told = []
    for path in _AROUND:
        answer = server.api("GET", path.format(project_id), token=token)
        assert answer.status_code in (200, 404), (path, answer.status_code)
        told.append(answer.content)
    listed = server.api("GET", _AROUND[6].format(project_id), token=token).json()["tasks"]
    for task in listed:
        told.append(server.api("GET", f"/api/tasks/{task['id']}", token=token).content)
        told.append(server.api("GET", f"/api/predictions?task={task['id']}", token=token).content)
    return b"\n".join(told)


def addresses_in(told: bytes) -> set[str]:
    """All addresses of this machine that stand in there."""
    return {found.decode() for found in _ADDRESS.findall(told.replace(b"\\u0026", b"&"))}


def fetched(address: str, *, origin: str) -> requests.Response:
    """What a browser on a page of `origin` gets there."""
    return requests.get(address, headers={"Origin": origin}, timeout=30)


def stand_in_worker() -> list[str]:
    """A worker whose engine needs no time."""
    return [sys.executable, str(ROOT / "tests" / "stand_in_worker.py")]
