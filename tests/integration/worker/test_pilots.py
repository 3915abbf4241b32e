"""A pilot with processes as they run: the admin's command, a worker with a token from its command line, an approver's
program. Killed in the middle and left alone by the admin, nothing of an original is left anywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import whole_site
from stand_in import StandIn
from workshop import Workshop, now, painting, task_of

from backend.ledger.records import Pilot, PilotState, Project
from backend.redis_server import EmbeddedRedis
from g2face_model import images
from worker import task
from worker.demo.admin import Admin
from worker.demo.processes import Children, answers, free_port, run

PHOTOS = 3
_PYTHON = [sys.executable, "-m"]
_LEASE_S = 10


@dataclass
class Installation:
    """One data folder, its photos published, and the programs around it."""

    folder: Path
    logs: Path
    environment: dict[str, str]
    workshop: Workshop
    project: Project
    approver: Admin

    @contextmanager
    def admin(self) -> Iterator[None]:
        """While `python -m backend.admin serve` runs."""
        url = self.environment["G2FACE_ADMIN__PUBLIC_URL"]
        with Children(self.logs) as children:
            children.start(f"admin-{os.urandom(3).hex()}", [*_PYTHON, "backend.admin", "serve"], self.environment)
            children.wait_for(partial(answers, f"{url}/health"), within_s=120, what="the admin")
            yield

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        with Children(self.logs) as children:
            name = f"worker-{os.urandom(3).hex()}"
            yield children.start(name, whole_site.stand_in_worker(), self.environment).process

    def ask(self) -> Pilot:
        return self.workshop.ledger.ask_pilot(self.project.project_id, size=PHOTOS, now=now())

    def present(self, pilot: Pilot) -> Pilot:
        return self.workshop.ledger.pilot(pilot.pilot_id)

    def until(self, pilot: Pilot, state: PilotState, *, reason: str | None = None) -> Pilot:
        def there() -> bool:
            present = self.present(pilot)
            return present.state is state and (reason is None or reason in (present.reason or ""))

        with Children(self.logs) as waiting:
            waiting.wait_for(there, within_s=150, what=f"{state}, not {self.present(pilot)}")
        return self.present(pilot)

    def approve(self, pilot: Pilot) -> None:
        for photo in self.present(pilot).photos:
            assert photo.request_id is not None
            self.approver.approve(photo.request_id)

    def everything(self) -> bytes:
        """All that lies in files, the logs included."""
        paths = sorted(path for path in self.folder.parent.rglob("*") if path.is_file() and "admin" not in path.parts)
        return b"".join(path.read_bytes() for path in paths)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    folder, logs = tmp_path / "data", tmp_path / "logs"
    logs.mkdir()
    port = free_port(0)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("G2FACE_") or "MODEL" in name},
        "PYTHONPATH": f"{whole_site.ROOT}{os.pathsep}{whole_site.ROOT / 'tests'}",
        "G2FACE_DATA_DIR": str(folder),
        "G2FACE_LABELSTUDIO__API_KEY": "0" * 40,
        "G2FACE_LABELSTUDIO__URL": "http://127.0.0.1:9",
        "G2FACE_ADMIN__PORT": str(port),
        "G2FACE_ADMIN__PUBLIC_URL": f"http://localhost:{port}",
        "G2FACE_WORKER__ADMIN_URL": f"http://localhost:{port}",
        "G2FACE_WORKER__LEASE_S": str(_LEASE_S),
    }
    with EmbeddedRedis(folder) as redis:
        workshop = Workshop(folder, redis_url=redis.url)
        project = workshop.project()
        for number in range(PHOTOS):
            photo = workshop.hand_in(project, images.encode(painting(number), "png"), subject_id="Ada Example")
            taken = task.take(workshop.runtime(), task_of(photo))
            assert taken is not None
            task.anonymize(workshop.runtime(StandIn(1)), taken)
            for name in workshop.ledger.published({photo.photo_id: number + 1}, now=now()):
                workshop.blobs.delete(name)
        environment["G2FACE_WORKER__ADMIN_TOKEN"] = _token(
            environment, "asks@example.org", "requester", "admin:request"
        )
        approves = _token(environment, "approves@example.org", "approver", "admin:approve")
        approver = Admin(f"http://localhost:{port}", approves)
        yield Installation(folder, logs, environment, workshop, project, approver)
        workshop.close()


def _token(environment: dict[str, str], email: str, role: str, scope: str) -> str:
    admin = [*_PYTHON, "backend.admin", "accounts"]
    run("account", [*admin, "add", email, role], environment)
    said = run("token", [*admin, "tokens", email, "--issue", scope], environment)
    return re.findall(r"[\w-]{40,}", said)[-1]


def test_a_pilot_with_an_admin_that_is_away_at_first(installation: Installation) -> None:
    pilot = installation.ask()
    with installation.worker():
        installation.until(pilot, PilotState.ASKED, reason="the admin does not answer")
        with installation.admin():
            installation.until(pilot, PilotState.WAITING)
            installation.approve(pilot)
            done = installation.until(pilot, PilotState.DONE)
    assert (done.approved, done.measured) == (PHOTOS, PHOTOS)
    page = installation.workshop.blobs.get(done.reports["en"]).decode()
    assert page.count("1 faces, exact") == PHOTOS
    lying_around = installation.everything()
    assert installation.environment["G2FACE_WORKER__ADMIN_TOKEN"].encode() not in lying_around
    _no_original_in(lying_around)


def test_a_worker_that_is_killed_while_it_measures_leaves_nothing(installation: Installation) -> None:
    (installation.folder / "hold").touch()
    pilot = installation.ask()
    with installation.admin():
        try:
            with installation.worker() as process:
                installation.until(pilot, PilotState.WAITING)
                installation.approve(pilot)
                installation.until(pilot, PilotState.MEASURING)
                process.kill()
                process.wait()
        finally:
            (installation.folder / "hold").unlink()
        with installation.worker():
            failed = installation.until(pilot, PilotState.FAILED)
    assert "ask again" in (failed.reason or "")
    assert failed.reports == {}
    events = [event.action for event in installation.workshop.events()]
    assert events.count("request.retrieved") in (0, 1)
    assert events.count("request.cancelled") >= PHOTOS - 1
    _no_original_in(installation.everything())
    assert installation.ask().state is PilotState.ASKED


def _no_original_in(lying_around: bytes) -> None:
    """Neither as pixels nor as any file that would show it."""
    for number in range(PHOTOS):
        original = painting(number)
        assert images.encode(original, "png") not in lying_around
        assert original[20].tobytes() not in lying_around
