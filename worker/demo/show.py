"""The whole plugin on one machine, from nothing to a task that an annotator can open: python -m worker demo

Every part runs as its own process with its real command, and what a project manager does is done through the intake's
HTTP API. Each run has a fresh folder; nothing of it is reachable from other machines.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tqdm import tqdm

from backend.errors import BackendError
from backend.labelstudio.client import LabelStudio
from backend.redis_server import EmbeddedRedis
from worker.demo import label_studio, photos
from worker.demo.intake import Intake, Json
from worker.demo.label_studio import Person
from worker.demo.photos import Original
from worker.demo.processes import Children, DemoError, answers, free_port, run

LABEL_STUDIO_VENV = Path(".venv-label-studio")
TITLE = "Expressions (demonstration)"
_PORTS = {"label-studio": 8080, "plugin": 9090, "intake": 9092}
_STARTS_WITHIN_S = 300.0
_POLL_S = 0.5
_SETTLED = ("published", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Options:
    """once: end when everything is published. folder: pictures to hand in, None for samples. data_dir: where the runs'
    folders are made."""

    once: bool
    folder: Path | None
    data_dir: Path
    venv: Path = LABEL_STUDIO_VENV


@dataclass(frozen=True, slots=True)
class _Site:
    """Where everything of one run is, and who may sign in where."""

    folder: Path
    ports: dict[str, int]
    admin: Person
    annotator: Person
    api_key: str
    path_secret: str

    def url(self, name: str) -> str:
        return f"http://localhost:{self.ports[name]}"

    @property
    def backend_url(self) -> str:
        return f"{self.url('plugin')}/{self.path_secret}"

    @property
    def group(self) -> Path:
        """The generated group's photo."""
        return self.folder / photos.GROUP

    def settings(self, *, with_api_key: bool) -> dict[str, str]:
        """The environment of our own programs. Only those that speak to Label Studio get its key."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("G2FACE_") or "MODEL" in name}
        given = {
            "DATA_DIR": str(self.folder),
            "LABELSTUDIO__URL": self.url("label-studio"),
            "PLUGIN__PORT": str(self.ports["plugin"]),
            "PLUGIN__PUBLIC_URL": self.url("plugin"),
            "PLUGIN__PATH_SECRET": self.path_secret,
            "INTAKE__PORT": str(self.ports["intake"]),
            "WORKER__MAX_ATTEMPTS": "2",
        }
        if with_api_key:
            given["LABELSTUDIO__API_KEY"] = self.api_key
        return kept | {f"G2FACE_{name}": value for name, value in given.items()}


def show(options: Options) -> int:
    """The demonstration. Status 0: everything was published and holds what is promised, or it was ended from outside
    after that; 1: something failed; 130: ended before."""
    done = False
    with _endings_as_interrupts():
        try:
            with ExitStack() as stack:
                site = _new_site(options)
                children = _start(site, options, stack)
                status = _work(site, options, children)
                done = True
                if not options.once:
                    _say("\n  Ctrl-C ends all of it.")
                    children.wait_for(lambda: False, within_s=float("inf"), what="the end")
                return status
        except BackendError as error:
            _say(f"\n  demo: {error}")
            return 1
        except KeyboardInterrupt:
            _say("\n  ended")
            return status if done else 130


@contextmanager
def _endings_as_interrupts() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demonstration as Ctrl-C does: in order, leaving no process behind."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _new_site(options: Options) -> _Site:
    folder = (options.data_dir / f"{datetime.now(UTC):%Y%m%d-%H%M%S}").absolute()
    try:
        folder.mkdir(parents=True, mode=0o700)
        (folder / "logs").mkdir()
    except OSError as error:
        raise DemoError(f"a folder for this run cannot be made: {error.strerror}") from None
    ports: dict[str, int] = {}
    for name, wanted in _PORTS.items():
        ports[name] = free_port(wanted)
    return _Site(
        folder,
        ports,
        admin=Person("admin@example.org", secrets.token_urlsafe(12)),
        annotator=Person("annotator@example.org", secrets.token_urlsafe(12)),
        api_key=secrets.token_hex(20),
        path_secret=secrets.token_urlsafe(24),
    )


def _start(site: _Site, options: Options, stack: ExitStack) -> Children:
    """Start everything; the slow ones first, so that they come up while the keys are made."""
    _say(f"\n  Label Studio with anonymized faces: a demonstration\n  in {_shown(site.folder)}\n")
    program = label_studio.program(options.venv)
    with _step("Redis and keys"):
        redis = stack.enter_context(EmbeddedRedis(site.folder))
        children = stack.enter_context(Children(site.folder / "logs"))
        children.watch(redis.pid)
        folder = site.folder / "label-studio"
        folder.mkdir()
        url, port = site.url("label-studio"), site.ports["label-studio"]
        given = label_studio.environment(program, folder, url, admin=site.admin, token=site.api_key)
        children.start("label-studio", label_studio.command(program, port), given, cwd=folder)
        if options.folder is None:
            children.start("group", photos.group_command(site.group), site.settings(with_api_key=False), ends=True)
        _ours(site, "backend.admin", "init-keys")
        _ours(site, "worker", "init")
    return children


def _work(site: _Site, options: Options, children: Children) -> int:
    python = [sys.executable, "-m"]
    with _step("plugin, intake"):
        children.start("plugin", [*python, "backend.plugin"], site.settings(with_api_key=False))
        # The account comes first: without one the intake would make one itself, and print its password.
        manager = Person("manager@example.org", _manager(site))
        token = _ours(site, "backend.intake", "token", manager.email).strip()
        children.start("intake", [*python, "backend.intake", "serve"], site.settings(with_api_key=True))
        _wait(children, site, "plugin")
        _wait(children, site, "intake")
    with _step("Label Studio"):
        _wait(children, site, "label-studio")
    children.start("worker", [*python, "worker", "run"], site.settings(with_api_key=True))
    intake = Intake(site.url("intake"), token)
    with _step("project"):
        label_studio.sign_up(site.url("label-studio"), site.api_key, site.annotator)
        project = intake.create_project(TITLE, {"suggest_expressions": True})
        _connect(site, project)
    with _step("photos"):
        results = intake.hand_in(project["project_id"], _originals(site, options, children))
    accepted = sum(one["photo_id"] is not None for one in results)
    progress = _follow(intake, children, project["project_id"], total=accepted)
    sound = _report(site, intake, project, results)
    _say_where(site, manager, project)
    published = progress["published"] == progress["total"] > 0
    return 0 if sound and published and accepted == len(results) else 1


def _ours(site: _Site, module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    return run(f"{module} {arguments[0]}", command, site.settings(with_api_key=False))


def _manager(site: _Site) -> str:
    """Make the project manager's account; its one-time password."""
    return _ours(site, "backend.intake", "account", "add", "manager@example.org").rpartition("password: ")[2].strip()


def _wait(children: Children, site: _Site, name: str) -> None:
    up = partial(answers, f"{site.url(name)}/health")
    children.wait_for(up, within_s=_STARTS_WITHIN_S, what=name)


def _connect(site: _Site, project: Json) -> None:
    """Connect the plugin as the project's ML backend, without the webhook that Label Studio adds: it would send every
    task's data around, and polling finds the same."""
    client = LabelStudio(site.url("label-studio"), site.api_key)
    client.create_ml_backend(project["labelstudio_id"], site.backend_url, title="g2face")
    for webhook in client.webhooks(project["labelstudio_id"]):
        client.delete_webhook(webhook["id"])


def _originals(site: _Site, options: Options, children: Children) -> list[Original]:
    if options.folder is not None:
        return photos.of_folder(options.folder)
    children.wait_for(site.group.exists, within_s=_STARTS_WITHIN_S, what="the generated group")
    found = [*photos.portraits(), Original(photos.GROUP, site.group.read_bytes())]
    return [*found, photos.manifest([one.name for one in found])]


def _follow(intake: Intake, children: Children, project_id: str, *, total: int) -> Json:
    """Show how far the worker is until nothing is under way any more."""
    layout = f"  {'anonymizing':<15} {{bar:30}} {{n_fmt}}/{{total_fmt}}  {{elapsed}}"
    with tqdm(total=total, bar_format=layout, file=sys.stdout, ascii="·━", mininterval=0) as bar:
        while True:
            children.check()
            progress = intake.progress(project_id)
            settled = sum(progress[state] for state in _SETTLED)
            if settled > bar.n or sys.stdout.isatty():  # in a file every turn would be a line
                bar.n = settled
                bar.refresh()
            if settled >= progress["total"]:
                return progress
            time.sleep(_POLL_S)


def _report(site: _Site, intake: Intake, project: Json, results: Sequence[Json]) -> bool:
    """Say what became of every photo; whether Label Studio holds all of them, predicted, and nothing of an original."""
    names = {one["photo_id"]: one["name"] for one in results}
    client = LabelStudio(site.url("label-studio"), site.api_key)
    tasks = {task["id"]: task for task in client.tasks(project["labelstudio_id"])}
    rows: list[tuple[str, ...]] = [("", "photo", "faces", "task")]
    predicted = True
    for photo in intake.photos(project["project_id"]):
        task_id = photo["labelstudio_task_id"]
        predicted &= task_id in tasks and tasks[task_id]["total_predictions"] > 0
        where = f"{site.url('label-studio')}/projects/{project['labelstudio_id']}/data?task={task_id}"
        outcome = where if photo["state"] == "published" else f"{photo['state']}: {photo['reason']}"
        name = str(names.get(photo["photo_id"], photo["photo_id"]))
        mark = "✓" if photo["state"] == "published" else "✗"
        rows.append((mark, name, _faces(photo), outcome))
    rows += [("✗", one["name"], "", f"refused: {one['reason']}") for one in results if one["photo_id"] is None]
    _say("\n" + _table(rows))
    leaks = intake.leak_check(project["project_id"])
    for finding in leaks["findings"]:
        _say(f"  ✗ leak check: {finding['kind']} ({finding['count']}). {finding['remedy']}")
    if not leaks["findings"]:
        _say(f"\n  ✓ leak check: nothing of the originals in {leaks['tasks_checked']} tasks and around them")
    return predicted and not leaks["findings"]


def _faces(photo: Json) -> str:
    replaced = sum(face["outcome"] == "anonymized" for face in photo["faces"])
    covered = len(photo["faces"]) - replaced
    return f"{replaced} replaced" + (f", {covered} covered" if covered else "")


def _say_where(site: _Site, manager: Person, project: Json) -> None:
    annotate = f"{site.url('label-studio')}/projects/{project['labelstudio_id']}/data"
    rows = [
        ("annotate", annotate, site.annotator.email, site.annotator.password),
        ("hand in", site.url("intake"), manager.email, f"{manager.password} (once)"),
        ("administer", site.url("label-studio"), site.admin.email, site.admin.password),
        ("ML backend", f"{site.url('plugin')}/health", "", ""),
        ("logs", _shown(site.folder / "logs"), "", ""),
    ]
    _say("\n" + _table(rows))


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(f"  {line}" for line in lines)


@contextmanager
def _step(name: str) -> Iterator[None]:
    """One line: what is being done, then how long it took."""
    begun = time.monotonic()
    sys.stdout.write(f"  {name:<15} ")
    sys.stdout.flush()
    try:
        yield
    except BaseException:
        sys.stdout.write("✗\n")
        raise
    sys.stdout.write(f"✓ {time.monotonic() - begun:5.1f} s\n")
    sys.stdout.flush()


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
