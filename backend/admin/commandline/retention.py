"""The sweep on the command line, for whatever starts it every day: nobody has to be signed in for what is due."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from backend.admin import keys
from backend.admin.forgetting import Forgetting
from backend.admin.heads import audit_heads
from backend.custody import database, pseudonyms
from backend.custody.retention import Retention, SweepReport
from backend.custody.signing import SigningKey
from backend.ledger.ledger import Ledger
from backend.settings import Settings
from backend.storage import BlobStore

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add this group's parsers."""
    parser = commands.add_parser(
        "sweep", help="shred who withdrew and whose days of grace are over, delete what expired, export the log's head"
    )
    parser.add_argument(
        "--accept-log",
        action="store_true",
        help="go on with an audit log that an old backup brought back; first find out what is missing in it",
    )
    parser.set_defaults(run=sweep)


def sweep(options: argparse.Namespace, settings: Settings) -> int:
    """Once. 1 when something is left for a person to look at. Needs no master key."""
    with ExitStack() as stack:
        ledger = Ledger.open(settings.database())
        stack.callback(ledger.close)
        vault = database.open_vault(settings.vault())
        stack.callback(vault.dispose)
        keyring = keys.keyring(settings)
        stack.callback(keyring.close)
        now = datetime.now(UTC)
        forget = partial(Forgetting(ledger, BlobStore(settings.storage())).forget, now=now)
        retention = Retention(
            vault,
            keyring,
            grace=timedelta(days=settings.admin.grace_days),
            pseudonym=partial(pseudonyms.pseudonym, settings.pseudonym_key()),
            signing_key=SigningKey.ensure(settings.signing_key()),
            heads=audit_heads(settings),
        )
        report = retention.sweep(now=now, forget=forget, accept_log=options.accept_log)
    _tell(report)
    return 0 if report.complete else 1


def _tell(report: SweepReport) -> None:
    said = [f"shredded {report.shredded}, again {report.shredded_again}, expired records deleted {report.expired}"]
    if report.head is not None:
        said.append(f"exported the audit log's head: event {report.head.seq}")
    if report.failed:
        said.append(f"could not be carried out: {report.failed}; the next sweep tries again")
    if report.restored:
        said.append(f"withdrawals that somebody had changed in the database, and that hold again: {report.restored}")
    if not report.clean:
        said.append("a database was in use: the log beside it may hold deleted bytes until the next sweep")
    if report.problem is not None:
        said.append(report.problem)
    sys.stdout.write("".join(f"{line}\n" for line in said))
