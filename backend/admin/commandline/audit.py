"""The audit log on the command line: taken out whole, and checked offline by whoever has it, as are receipts."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.admin.commandline.accounts import OPERATOR
from backend.admin.heads import audit_heads
from backend.custody import audit, audit_check, database, heads, receipts, signing
from backend.custody.audit import AuditLog
from backend.custody.audit_check import Checked
from backend.custody.heads import SignedHead
from backend.custody.records import NewEvent
from backend.errors import ConfigError, SignatureError
from backend.settings import Settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

LOG, HEADS, PUBLIC = "audit.jsonl", "heads.jsonl", "signing.pub"
"""What an exported log consists of."""

_SHOWN = 20


def add_commands(commands: Commands) -> None:
    """Add this group's parsers."""
    export = commands.add_parser("export-audit", help="write the audit log, its signed heads and the key to check them")
    export.add_argument("folder", type=Path, help=f"where to put {LOG}, {HEADS} and {PUBLIC}")
    export.set_defaults(run=export_audit)
    verify = commands.add_parser(
        "verify-audit", help="find out whether a log was edited, cut, reordered, added to or forked; works offline"
    )
    which = verify.add_mutually_exclusive_group(required=True)
    which.add_argument("--log", type=Path, help="an exported log")
    which.add_argument("--database", action="store_true", help="the log as it lies in the vault's database")
    verify.add_argument(
        "--heads", type=Path, nargs="+", default=[], help="files of signed heads, wherever they were kept"
    )
    verify.add_argument("--public", type=Path, help="the public key that the heads are signed with")
    verify.set_defaults(run=verify_audit)
    receipt = commands.add_parser("verify-receipt", help="check the receipt of a withdrawal; works offline")
    receipt.add_argument("file", type=Path)
    receipt.add_argument("--public", type=Path, required=True, help="the public key that it is signed with")
    receipt.add_argument("--log", type=Path, help="an exported log that has to tell of it, too")
    receipt.set_defaults(run=verify_receipt)


def export_audit(options: argparse.Namespace, settings: Settings) -> int:
    """Everything that an auditor needs. That it was taken out is in the log, too."""
    audit_heads(settings)  # makes the signing key, when no sweep has run yet
    with _audit_log(settings) as log, _readable("the folder cannot be written to"):
        options.folder.mkdir(parents=True, exist_ok=True)
        log.append([NewEvent(OPERATOR, "audit.exported", OPERATOR)], now=datetime.now(UTC))
        with (options.folder / LOG).open("w", encoding="ascii", newline="\n") as file:
            file.writelines(log.lines())
        shutil.copyfile(signing.public_path(settings.signing_key()), options.folder / PUBLIC)
        if settings.audit_heads().exists():
            shutil.copyfile(settings.audit_heads(), options.folder / HEADS)
    return 0


def verify_audit(options: argparse.Namespace, settings: Settings) -> int:
    """0: the log is what it was up to the last signed head, 1: it is not, and what was found."""
    if options.heads and options.public is None:
        raise ConfigError("signed heads are checked with a public key: give it with --public")
    signed = _read_heads(options.heads, options.public)
    if options.database:
        with _audit_log(settings) as log:
            checked = audit_check.check_lines(log.lines(), signed)
    else:
        checked = audit_check.check_lines(_lines(options.log), signed)
    _tell(_said_of(checked, signed))
    return 1 if checked.findings else 0


def verify_receipt(options: argparse.Namespace, _settings: Settings) -> int:
    """0: it is genuine, 1: it is not."""
    public = signing.read_public(options.public)
    try:
        document = receipts.check(_json(options.file), public)
    except SignatureError as error:
        _tell([f"not genuine: {error}"])
        return 1
    _tell(_said_of_receipt(document))
    return 0 if options.log is None else _find(document, options.log)


def _find(document: dict[str, Any], path: Path) -> int:
    """Whether a log tells of what the receipt says."""
    wanted = audit.line(receipts.event_of(document))
    found = wanted in _lines(path)
    _tell(["the log has its event" if found else "the log does not have its event"])
    return 0 if found else 1


def _said_of(checked: Checked, signed: Sequence[SignedHead]) -> Iterator[str]:
    for finding in checked.findings[:_SHOWN]:
        yield f"{finding.harm}: {finding}"
    if (more := len(checked.findings) - _SHOWN) > 0:
        yield f"and {more} more"
    if checked.findings:
        yield "The log is not what it was."
        return
    yield f"The log is whole: {checked.end.seq} events."
    if not signed:
        yield "No signed head was given: a log that was cut off or written anew would look the same."
        return
    last = max(signed, key=lambda one: one.head.seq)
    yield f"It leads to all {checked.heads} signed heads. The last is event {last.head.seq}, of {last.at.isoformat()};"
    yield f"nothing vouches for the {checked.end.seq - last.head.seq} events behind it but themselves."


def _said_of_receipt(document: dict[str, Any]) -> Iterator[str]:
    key = document["destroyed_key_id"]
    yield "genuine: signed by this key, and agrees with its audit event"
    yield f"withdrawal {document['withdrawal_id']} of {document['withdrawn_at']}, project {document['project_id']}"
    yield f"subject {document['pseudonym']}"
    yield "there was no key to destroy" if key is None else f"key {key} was destroyed"
    yield f"{document['records_deleted']} sealed records were deleted; {document['shredded_at']}"


def _read_heads(paths: Sequence[Path], public: Path | None) -> list[SignedHead]:
    if public is None:
        return []
    key = signing.read_public(public)
    signed: list[SignedHead] = []
    for path in paths:
        with _readable("a file of heads cannot be read"), path.open("rb") as file:
            signed += heads.read(file, key)
    return signed


def _lines(path: Path) -> Iterable[str]:
    """A byte that cannot be in a log stays one that cannot."""
    with _readable("the log cannot be read"), path.open(encoding="ascii", errors="replace", newline="\n") as file:
        yield from file


def _json(path: Path) -> object:
    with _readable("the receipt cannot be read"):
        content = path.read_bytes()
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise SignatureError("this is no signed document") from None


@contextmanager
def _readable(complaint: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{complaint}: {error.strerror}") from None


@contextmanager
def _audit_log(settings: Settings) -> Iterator[AuditLog]:
    engine = database.open_vault(settings.vault())
    try:
        yield AuditLog(engine)
    finally:
        engine.dispose()


def _tell(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
