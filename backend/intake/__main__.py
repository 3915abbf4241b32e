"""The intake on the command line: python -m backend.intake serve | projects | connect | upload | ... | --help."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend import logs
from backend.accounts import Account, Accounts, Role
from backend.errors import BackendError, IntakeError
from backend.intake import policies, words
from backend.intake.auth import Door
from backend.intake.desk import CONFIGS, Desk
from backend.intake.parcels import PART_BYTES, PART_FILES, HandedIn
from backend.intake.pilots import LANGUAGES, USUAL_PHOTOS
from backend.intake.uploads import UploadResult
from backend.intake.wsgi import open_desk, serve
from backend.ledger.pilots import MOST_PHOTOS
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Counter:
    """What a command works with. write: one line for the person at the terminal."""

    desk: Desk
    accounts: Accounts
    now: Callable[[], datetime]
    write: Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done, 1: not all of it, 2: it could not be done, or bad usage."""
    options = parser().parse_args(arguments)
    try:
        settings = Settings.load()
        logs.configure(settings.logs.level, json_lines=settings.logs.json_lines)
        if options.command == "serve":
            serve(settings)
            return 0
        with ExitStack() as stack:
            desk, accounts = open_desk(settings, stack)
            status: int = options.run(Counter(desk, accounts, lambda: datetime.now(UTC), _write), options)
            return status
    except BackendError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def projects(counter: Counter, _options: argparse.Namespace) -> int:
    """One line per project."""
    for project, progress in counter.desk.projects(now=counter.now()):
        counter.write(
            f"{project.project_id}  {'on ' if project.on else 'off'}  Label Studio {project.labelstudio_id}  "
            f"{progress.published}/{progress.total} published, {progress.failed} failed  {project.title}"
        )
    return 0


def connect(counter: Counter, options: argparse.Namespace) -> int:
    """Connect a project of Label Studio, or make one; list what could be connected when neither is said."""
    policy, now = _policy(options), counter.now()
    if options.id is not None:
        project = counter.desk.connect(options.id, policy=policy, now=now)
    elif options.title is not None:
        project = counter.desk.create(options.title, config=options.config, policy=policy, now=now)
    else:
        for candidate in counter.desk.candidates():
            state = "connected already" if candidate.connected else candidate.problem or "fits"
            counter.write(f"{candidate.labelstudio_id}  {candidate.title}  {candidate.tasks} tasks: {state}")
        return 0
    counter.write(project.project_id)
    return 0


def policy(counter: Counter, options: argparse.Namespace) -> int:
    """Show a project's policy, after changing what is asked for."""
    changes = _policy(options)
    if changes:
        counter.desk.revise(options.project, changes=changes, now=counter.now())
    current = counter.desk.ledger.project(options.project).policy
    counter.write(f"revision {current.revision} of {words.moment(current.created_at)}")
    for name in (*policies.CHOICES, "suggest_expressions", "retention_days"):
        counter.write(f"{name}: {getattr(current, name)}")
    return 0


def switch(counter: Counter, options: argparse.Namespace) -> int:
    """Turn a project, or the taking over of its tasks, on or off."""
    project = counter.desk.switch(options.project, on=_on_off(options.on), adopts=_on_off(options.adopts))
    counter.write(f"{'on' if project.on else 'off'}, tasks are {'' if project.adopts else 'not '}taken over")
    return 0


def upload(counter: Counter, options: argparse.Namespace) -> int:
    """Hand in files, folders and archives; 1 when some were refused."""
    paths = sorted(_photos(options.paths), key=lambda item: Path(item[0]).name)
    lists = [HandedIn(options.manifest.name, _read(options.manifest))] if options.manifest else []
    accepted = refused = 0
    for part in _parts(paths):
        results = counter.desk.hand_in(options.project, files=[*part, *lists], now=counter.now(), total=len(paths))
        _tell(counter, results)
        accepted += sum(result.photo_id is not None for result in results)
        refused += sum(result.photo_id is None for result in results)
    counter.write(f"{accepted} accepted, {refused} refused")
    return 1 if refused else 0


def collect(counter: Counter, options: argparse.Namespace) -> int:
    """Hand in all photos under an S3 prefix; 1 when some were refused."""
    seen = refused = 0
    for batch in counter.desk.collect(options.project, address=options.address, clock=counter.now):
        _tell(counter, batch.results)
        seen += len(batch.results)
        refused += sum(result.photo_id is None for result in batch.results)
        counter.write(f"{seen} of {batch.total}")
    counter.write(f"{seen - refused} accepted, {refused} refused")
    return 1 if refused else 0


def progress(counter: Counter, options: argparse.Namespace) -> int:
    """Where the photos of a project are; with --follow until nothing is under way. 1 when some have failed."""
    while True:
        present = counter.desk.ledger.progress(options.project, now=counter.now())
        busy = words.under_way(present)
        if refusal := counter.desk.ledger.project(options.project).refusal:
            counter.write(f"Label Studio refused us: {refusal}")
        counter.write(
            f"{present.published} of {present.total} published, {present.ready} ready, {present.working} in work, "
            f"{present.waiting} waiting, {present.failed} failed{f', {words.left(present)}' if busy else ''}"
        )
        if not (options.follow and busy):
            return 1 if present.failed else 0
        time.sleep(options.every)


def failures(counter: Counter, options: argparse.Namespace) -> int:
    """The photos that failed and why; with --retry they are tried again."""
    for photo in counter.desk.ledger.failures(options.project):
        counter.write(f"{photo.photo_id}  {photo.reason}")
    if options.retry:
        counter.write(f"{counter.desk.retry_all(options.project, now=counter.now())} are tried again")
    return 0


def cancel(counter: Counter, options: argparse.Namespace) -> int:
    """Cancel what waits or has failed."""
    counter.write(f"{counter.desk.cancel(options.project, now=counter.now())} photos are cancelled")
    return 0


def leaks(counter: Counter, options: argparse.Namespace) -> int:
    """What of the originals Label Studio shows or may show; 1 when it is anything."""
    found = counter.desk.leak_check(options.project)
    for finding in found.findings:
        counter.write(f"{words.leak(finding.kind)}: {finding.count}. {finding.remedy}")
    if found.clean:
        counter.write(f"nothing found in {found.tasks_checked} tasks and around them")
    return 0 if found.clean else 1


def pilot(counter: Counter, options: argparse.Namespace) -> int:
    """Ask for a pilot report; with --follow until it has ended, and 1 when it is not done then."""
    asked = counter.desk.pilots.ask(options.project, photos=options.photos, now=counter.now())
    while True:
        present = counter.desk.pilots.of(options.project, asked.pilot_id)
        counter.write(f"{present.pilot_id}  {words.pilot_state(present)}: {words.pilot_story(present)}")
        if not (options.follow and present.under_way):
            return 0 if present.under_way or present.reports else 1
        time.sleep(options.every)


def pilots(counter: Counter, options: argparse.Namespace) -> int:
    """The pilot reports of a project and where they are, newest first."""
    for present in counter.desk.ledger.pilots(options.project):
        counter.write(f"{present.pilot_id}  {words.pilot_state(present)}: {words.pilot_story(present)}")
    return 0


def report(counter: Counter, options: argparse.Namespace) -> int:
    """Write a pilot's report to a file; the last one's unless --pilot names another."""
    done = [present.pilot_id for present in counter.desk.ledger.pilots(options.project) if present.reports]
    if options.pilot is None and not done:
        raise IntakeError("no pilot report of this project is done")
    pilot_id = options.pilot or done[0]
    page = counter.desk.pilots.report(options.project, pilot_id, language=options.language)
    try:
        options.file.write_bytes(page)
    except OSError as error:
        raise IntakeError(f"the report cannot be written: {error.strerror}") from None
    return 0


def token(counter: Counter, options: argparse.Namespace) -> int:
    """A token for the HTTP API, shown this once."""
    counter.write(Door(counter.accounts, counter.now).issue_token(_account(counter, options.email), days=options.days))
    return 0


def account(counter: Counter, options: argparse.Namespace) -> int:
    """List accounts, make one, give one a new one-time password, or let one in no longer."""
    if options.action == "list":
        for found in counter.accounts.accounts():
            state = "on" if found.on else "off"
            counter.write(f"{found.email}  {state}  {', '.join(sorted(found.roles))}")
        return 0
    if options.email is None:
        raise IntakeError("give an e-mail address")
    if options.action == "add":
        _, password = counter.accounts.create(options.email, roles=[Role.MANAGER], now=counter.now())
        counter.write(f"one-time password: {password}")
    elif options.action == "reset":
        password = counter.accounts.reset_password(_account(counter, options.email).account_id)
        counter.write(f"one-time password: {password}")
    else:
        counter.accounts.switch(_account(counter, options.email).account_id, on=options.action == "on")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m backend.intake", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def command(run: Callable[[Counter, Any], int], *, project: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__, help=(run.__doc__ or "").split(";")[0], description=run.__doc__)
        added.set_defaults(run=run)
        if project:
            added.add_argument("project", help="the project's id, as `projects` shows it")
        return added

    commands.add_parser("serve", help="Serve the pages and the HTTP API.")
    command(projects, project=False)
    connecting = command(connect, project=False)
    connecting.add_argument("--id", type=int, help="the Label Studio project's number")
    connecting.add_argument("--title", help="make a Label Studio project of this title")
    connecting.add_argument("--config", choices=sorted(CONFIGS), default="expression")
    for with_policy in (connecting, command(policy)):
        _add_policy(with_policy)
    switching = command(switch)
    switching.add_argument("--on", choices=("yes", "no"))
    switching.add_argument("--adopts", choices=("yes", "no"), help="take over tasks that Label Studio already holds")
    uploading = command(upload)
    uploading.add_argument("paths", type=Path, nargs="+", help="photos, folders, ZIP archives")
    uploading.add_argument("--manifest", type=Path, help="a CSV with the columns file, subject_id, consent")
    collecting = command(collect)
    collecting.add_argument("address", help="s3://bucket/folder, under a prefix of G2FACE_INTAKE__S3_PREFIXES")
    following = command(progress)
    following.add_argument("--follow", action="store_true")
    following.add_argument("--every", type=float, default=5.0, metavar="SECONDS")
    command(failures).add_argument("--retry", action="store_true")
    command(cancel)
    command(leaks)
    asking = command(pilot)
    asking.add_argument("--photos", type=int, metavar="N", help=f"1 to {MOST_PHOTOS}; {USUAL_PHOTOS} unless said")
    asking.add_argument("--follow", action="store_true")
    asking.add_argument("--every", type=float, default=5.0, metavar="SECONDS")
    command(pilots)
    reporting = command(report)
    reporting.add_argument("file", type=Path, metavar="FILE")
    reporting.add_argument("--pilot", metavar="PILOT", help="its id, as `pilots` shows it")
    reporting.add_argument("--language", choices=sorted(LANGUAGES), default="en")
    issuing = command(token, project=False)
    issuing.add_argument("email")
    issuing.add_argument("--days", type=int, default=30)
    managing = command(account, project=False)
    managing.add_argument("action", choices=("list", "add", "reset", "on", "off"))
    managing.add_argument("email", nargs="?")
    return top


def _add_policy(parser: argparse.ArgumentParser) -> None:
    for name, values in policies.CHOICES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", choices=values)
    parser.add_argument("--suggest-expressions", choices=("yes", "no"))
    days_help = 'until what is sealed expires, or "none"; the sweep deletes it then'
    parser.add_argument("--retention-days", metavar="DAYS", help=days_help)


def _policy(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a policy that were given."""
    fields: dict[str, Any] = {name: value for name in policies.CHOICES if (value := getattr(options, name)) is not None}
    if options.suggest_expressions is not None:
        fields["suggest_expressions"] = options.suggest_expressions == "yes"
    if options.retention_days is not None:
        days = options.retention_days
        fields["retention_days"] = None if days == "none" else (int(days) if days.isdecimal() else days)
    return policies.of_mapping(fields)


def _tell(counter: Counter, results: Sequence[UploadResult]) -> None:
    """A line for every photo."""
    for result in results:
        if result.photo_id is None:
            counter.write(f"refused   {result.name}: {result.reason}")
        else:
            counter.write(f"accepted  {result.name}  {result.photo_id}{f'  ({result.note})' if result.note else ''}")


def _photos(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """(name for the manifest, path) of every file; of a folder all that is in it, its own name in front."""
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file())
            yield from ((f"{path.resolve().name}/{file.relative_to(path).as_posix()}", file) for file in inside)
        else:
            yield path.name, path


def _parts(files: Sequence[tuple[str, Path]]) -> Iterator[list[HandedIn]]:
    """Parts that fit in memory. Files of the same name stay together, so that a doubtful row of the CSV is noticed."""
    part: list[HandedIn] = []
    last = ""
    for name, path in files:
        full = len(part) >= PART_FILES or sum(len(file.data) for file in part) > PART_BYTES
        if full and path.name != last:
            yield part
            part = []
        part.append(HandedIn(name, _read(path)))
        last = path.name
    if part:
        yield part


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise IntakeError(f"a file cannot be read: {error.strerror}") from None


def _account(counter: Counter, email: str) -> Account:
    wanted = email.strip().lower()
    found = next((one for one in counter.accounts.accounts() if one.email == wanted), None)
    if found is None:
        raise IntakeError("there is no account of this e-mail address")
    return found


def _on_off(value: str | None) -> bool | None:
    return None if value is None else value == "yes"


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
