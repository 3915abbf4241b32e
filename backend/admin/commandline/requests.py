"""Requests and withdrawals on the command line, as whoever a token belongs to: the same roles and log as over HTTP."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from backend.admin import downloads, programs, wsgi
from backend.admin.actors import Actor
from backend.admin.office import Office
from backend.custody import key_files
from backend.custody.records import RequestState
from backend.errors import ConfigError
from backend.settings import Settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the command line, in which office, when."""

    office: Office
    actor: Actor
    now: datetime


def add_commands(commands: Commands) -> None:
    """Add this group's parsers."""

    def command(name: str, run: Callable[[Caller, argparse.Namespace], None]) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        parser.add_argument(
            "--token-file", type=Path, required=True, help="a token of the console's or of `accounts tokens`, mode 0600"
        )
        parser.set_defaults(run=lambda options, settings: _run(run, options, settings))
        return parser

    asking = command("ask", ask)
    asking.add_argument("task", help="the address or number of a Label Studio task, or a photo id")
    asking.add_argument("--faces", type=int, nargs="+", required=True, metavar="N", help="numbers of faces, from 1")
    asking.add_argument("--reason", required=True)
    asking.add_argument("--reference", help="of the dispute")
    command("requests", requests).add_argument("--state", choices=sorted(RequestState))
    for name, step in (("approve", approve), ("refuse", refuse), ("cancel", cancel)):
        command(name, step).add_argument("request_id")
    retrieving = command("retrieve", retrieve)
    retrieving.add_argument("request_id")
    retrieving.add_argument("--out", type=Path, required=True, help="a file that is not there yet")
    withdrawing = command("withdraw", withdraw)
    withdrawing.add_argument("project_id")
    which = withdrawing.add_mutually_exclusive_group(required=True)
    which.add_argument("--subject", help="their id, as it was handed in")
    which.add_argument("--everybody", action="store_true", help="who is in the project")
    for name, step in (("cancel-withdrawal", cancel_withdrawal), ("receipt", receipt)):
        command(name, step).add_argument("withdrawal_id")


def ask(caller: Caller, options: argparse.Namespace) -> None:
    """Ask for the originals of faces; the request's id is said."""
    photo = caller.office.find(caller.actor, options.task)
    asked = caller.office.request(
        caller.actor,
        photo_id=photo.photo_id,
        face_indices=[number - 1 for number in options.faces],
        reason=options.reason,
        reference=options.reference,
        now=caller.now,
    )
    _say([f"{asked.request_id}  {asked.state}"])


def requests(caller: Caller, options: argparse.Namespace) -> None:
    """List requests, newest first: one's own, or everybody's for approvers and auditors."""
    state = None if options.state is None else RequestState(options.state)
    found = caller.office.requests(caller.actor, state=state, now=caller.now)
    _say(f"{one.request_id}  {one.state}  {one.kind}  {one.created_at:%Y-%m-%d %H:%M} UTC" for one in found)


def approve(caller: Caller, options: argparse.Namespace) -> None:
    """Approve somebody else's request."""
    _say([caller.office.approve(caller.actor, options.request_id, now=caller.now).state])


def refuse(caller: Caller, options: argparse.Namespace) -> None:
    """Refuse somebody else's request."""
    _say([caller.office.refuse(caller.actor, options.request_id, now=caller.now).state])


def cancel(caller: Caller, options: argparse.Namespace) -> None:
    """Take one's own request back."""
    _say([caller.office.cancel(caller.actor, options.request_id, now=caller.now).state])


def retrieve(caller: Caller, options: argparse.Namespace) -> None:
    """Write what was asked for to a file that nobody else can read, once: PNG for a dispute, ZIP for an access."""
    try:  # before the request is used up
        file = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(f"the file cannot be made: {error.strerror}") from None
    try:
        with os.fdopen(file, "wb") as out:
            retrieved = caller.office.retrieve(caller.actor, options.request_id, now=caller.now)
            out.writelines(downloads.content(retrieved))
    except BaseException:
        options.out.unlink(missing_ok=True)
        raise
    exact = "bit for bit" if retrieved.bit_exact else "with a forensic mark"
    _say([f"{len(retrieved.photos)} photos, {exact}; left out {len(retrieved.left_out)}"])


def withdraw(caller: Caller, options: argparse.Namespace) -> None:
    """Take consent back, of one person or of everybody in a project; ids and dates of shredding are said."""
    if options.everybody:
        made = caller.office.withdraw_project(caller.actor, options.project_id, now=caller.now)
    else:
        made = (caller.office.withdraw(caller.actor, options.project_id, options.subject, now=caller.now),)
    _say(f"{one.withdrawal_id}  {one.state}  due {one.due_at:%Y-%m-%d %H:%M} UTC" for one in made)


def cancel_withdrawal(caller: Caller, options: argparse.Namespace) -> None:
    """Take a withdrawal back before it is due."""
    _say([caller.office.cancel_withdrawal(caller.actor, options.withdrawal_id, now=caller.now).state])


def receipt(caller: Caller, options: argparse.Namespace) -> None:
    """Say the signed receipt of what was destroyed, as JSON."""
    _say([json.dumps(caller.office.receipt(caller.actor, options.withdrawal_id), indent=2)])


def _run(run: Callable[[Caller, argparse.Namespace], None], options: argparse.Namespace, settings: Settings) -> int:
    """Raises `ForbiddenError` for a token that is none, or of other duties."""
    secret = key_files.read_owned(options.token_file, "the token").decode("ascii", "replace").strip()
    now = datetime.now(UTC)
    with ExitStack() as stack:
        office = wsgi.open_office(settings, stack)
        run(Caller(office, programs.actor(office.accounts, secret, now=now), now), options)
    return 0


def _say(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
