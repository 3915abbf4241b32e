"""The whole plugin on one machine, from nothing to a task that an annotator can open: python -m worker demo

Every part runs as its own process with its real command, and what people do is done through the HTTP APIs of intake
and admin. Each run has a fresh folder; nothing of it is reachable from other machines.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from backend.errors import BackendError
from backend.labelstudio.client import LabelStudio
from backend.redis_server import EmbeddedRedis
from worker.demo import admin, label_studio, photos, report
from worker.demo.admin import Admin
from worker.demo.api import Json
from worker.demo.intake import Intake
from worker.demo.label_studio import Person
from worker.demo.photos import Original
from worker.demo.processes import Children, answers
from worker.demo.report import Done, Restored
from worker.demo.site import Site, new_site
from worker.demo.terminal import WIDTH, say, shown, step

LABEL_STUDIO_VENV = Path(".venv-label-studio")
TITLE = "Expressions (demonstration)"
ADMINS = {"requester": ("requester",), "approver": ("approver",), "officer": ("auditor", "key_officer")}
"""Who is made at the admin, as what: nobody who asks also approves, and nobody who watches does either."""
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


def show(options: Options) -> int:
    """The demonstration. Status 0: everything was published and holds what is promised, or it was ended from outside
    after that; 1: something failed; 130: ended before."""
    done = False
    with _endings_as_interrupts():
        try:
            with ExitStack() as stack:
                site = new_site(options.data_dir)
                children = _start(site, options, stack)
                status = _work(site, options, children)
                done = True
                if not options.once:
                    say("\n  Ctrl-C ends all of it.")
                    children.wait_for(lambda: False, within_s=float("inf"), what="the end")
                return status
        except BackendError as error:
            say(f"\n  demo: {error}")
            return 1
        except KeyboardInterrupt:
            say("\n  ended")
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


def _start(site: Site, options: Options, stack: ExitStack) -> Children:
    """Start everything; the slow ones first, so that they come up while the keys are made."""
    say(f"\n  Label Studio with anonymized faces: a demonstration\n  in {shown(site.folder)}\n")
    program = label_studio.program(options.venv)
    with step("Redis and keys"):
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
        site.ours("backend.admin", "init-keys")
        site.ours("worker", "init")
    return children


def _work(site: Site, options: Options, children: Children) -> int:
    with step("plugin, intake, admin"):
        people = _start_doors(site, children)
        manager = Intake(site.url("intake"), site.ours("backend.intake", "token", people["manager"].email).strip())
        requester = Admin(site.url("admin"), _token(site, people["requester"], "admin:request"))
        approver = Admin(site.url("admin"), _token(site, people["approver"], "admin:approve"))
        pilots = _token(site, people["requester"], "admin:request")
    with step("Label Studio"):
        _wait(children, site, "label-studio")
    asking = {"G2FACE_WORKER__ADMIN_URL": site.url("admin"), "G2FACE_WORKER__ADMIN_TOKEN": pilots}
    children.start("worker", _program("worker", "run"), site.settings(with_api_key=True) | asking)
    done = _publish(site, options, children, manager)
    restored = _restore_one(requester, approver, done)
    sound = report.tell(done, restored)
    report.tell_where(site, people, done.project)
    return 0 if sound and done.complete else 1


def _publish(site: Site, options: Options, children: Children, manager: Intake) -> Done:
    """Make a project, hand everything in, and wait until nothing is under way any more."""
    with step("project"):
        label_studio.sign_up(site.url("label-studio"), site.api_key, site.annotator)
        project = manager.create_project(TITLE, {"suggest_expressions": True})
        _connect(site, project)
    with step("photos"):
        originals = _originals(site, options, children)
        results = manager.hand_in(project["project_id"], originals)
    accepted = sum(one["photo_id"] is not None for one in results)
    _follow(manager, children, project["project_id"], total=accepted)
    return Done(site, manager, project, originals, results)


def _start_doors(site: Site, children: Children) -> dict[str, Person]:
    """Start plugin, intake and admin, and wait for them; who may sign in at the last two."""
    children.start("plugin", _program("backend.plugin"), site.settings(with_api_key=False))
    # The accounts come first: without any, intake and admin would make one themselves, and print its password.
    people = {"manager": _account("manager", site.ours("backend.intake", "account", "add", _address("manager")))}
    for name, roles in ADMINS.items():
        people[name] = _account(name, site.ours("backend.admin", "accounts", "add", _address(name), *roles))
    for door in ("intake", "admin"):
        children.start(door, _program(f"backend.{door}", "serve"), site.settings(with_api_key=True))
    for door in ("plugin", "intake", "admin"):
        _wait(children, site, door)
    return people


def _program(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _address(name: str) -> str:
    return f"{name}@example.org"


def _account(name: str, said: str) -> Person:
    """Whom a program made that ends by saying a one-time password."""
    return Person(_address(name), said.rpartition("password: ")[2].strip())


def _restore_one(requester: Admin, approver: Admin, done: Done) -> Restored | None:
    """Have one photo given back by two people, as in a dispute; None when no file that was handed in has a face."""
    files = {one.name: one.data for one in done.originals}
    for photo in done.photos:
        original = files.get(done.name(photo))
        if photo["state"] == "published" and photo["faces"] and original is not None:
            with step("dispute"):
                exact = admin.recovers(requester, approver, task=done.address(photo), original=original)
            return Restored(photo["photo_id"], exact)
    return None


def _token(site: Site, person: Person, scope: str) -> str:
    """For the admin's API, in somebody's name, for one duty and one day."""
    return site.ours("backend.admin", "accounts", "tokens", person.email, "--days", "1", "--issue", scope).strip()


def _wait(children: Children, site: Site, name: str) -> None:
    up = partial(answers, f"{site.url(name)}/health")
    children.wait_for(up, within_s=_STARTS_WITHIN_S, what=name)


def _connect(site: Site, project: Json) -> None:
    """Connect the plugin as the project's ML backend, without the webhook that Label Studio adds: it would send every
    task's data around, and polling finds the same."""
    client = LabelStudio(site.url("label-studio"), site.api_key)
    client.create_ml_backend(project["labelstudio_id"], site.backend_url, title="g2face")
    for webhook in client.webhooks(project["labelstudio_id"]):
        client.delete_webhook(webhook["id"])


def _originals(site: Site, options: Options, children: Children) -> list[Original]:
    if options.folder is not None:
        return photos.of_folder(options.folder)
    children.wait_for(site.group.exists, within_s=_STARTS_WITHIN_S, what="the generated group")
    found = [*photos.portraits(), Original(photos.GROUP, site.group.read_bytes())]
    return [*found, photos.manifest([one.name for one in found])]


def _follow(intake: Intake, children: Children, project_id: str, *, total: int) -> None:
    """Show how far the worker is until nothing is under way any more."""
    layout = f"  {'anonymizing':<{WIDTH}} {{bar:30}} {{n_fmt}}/{{total_fmt}}  {{elapsed}}"
    with tqdm(total=total, bar_format=layout, file=sys.stdout, ascii="·━", mininterval=0) as bar:
        while True:
            children.check()
            progress = intake.progress(project_id)
            settled = sum(progress[state] for state in _SETTLED)
            if settled > bar.n or sys.stdout.isatty():  # in a file every turn would be a line
                bar.n = settled
                bar.refresh()
            if settled >= progress["total"]:
                return
            time.sleep(_POLL_S)
