"""The master key on the command line: made, changed, and kept by whoever shall keep it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from backend.admin import keys
from backend.custody import database, master, seal, unseal
from backend.custody.audit import AuditLog
from backend.custody.providers import shares
from backend.custody.providers.provider import KeyProvider
from backend.custody.providers.shares import SharesProvider
from backend.custody.records import NewEvent
from backend.custody.rotation import MasterKeyFiles, Rotation, RotationReport
from backend.custody.unseal import MasterKey
from backend.errors import ConfigError, MasterKeyError
from backend.settings import Settings
from g2face_model import atomic_file

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

ACTOR = "commandline"
_CLEAR_SCREEN = "\x1b[H\x1b[2J\x1b[3J"


def add_commands(commands: Commands) -> None:
    """Add this group's parsers."""
    init = commands.add_parser("init-keys", help="make the master key, which alone opens what the workers lock")
    init.set_defaults(run=init_keys)
    rotate = commands.add_parser("rotate-master-key", help="change the master key, or finish a change that was begun")
    rotate.add_argument("--anew", action="store_true", help="begin another change although damaged keys are left")
    rotate.set_defaults(run=rotate_master_key)
    split = commands.add_parser("split-master-key", help="let it take several people to open the master key's file")
    split.add_argument("--shares", type=int, required=True, metavar="N", help="how many people get a share")
    split.add_argument("--threshold", type=int, required=True, metavar="K", help="how many of them it takes")
    split.add_argument("--into", type=Path, metavar="FOLDER", help="write the shares there instead of showing them")
    split.set_defaults(run=split_master_key)
    join = commands.add_parser("join-master-key", help="make the master key's file one that opens without shares again")
    join.set_defaults(run=wrap_master_key, provider="file")
    wrap = commands.add_parser("wrap-master-key", help="let somebody else keep the master key's file")
    wrap.add_argument("--provider", required=True, choices=("file", "vault", "aws"))
    wrap.set_defaults(run=wrap_master_key)


def init_keys(_options: argparse.Namespace, settings: Settings) -> int:
    """Make the master key pair. Where only the public file is missing, as after a crash or for a new machine that is to
    seal, it is written anew from the private one."""
    private_path, public_path = settings.master_private_key(), settings.master_public_key()
    if private_path.exists() and not public_path.exists():
        key = keys.master_key(settings)
        key.write_public(public_path)
        _tell(f"wrote the public file of master key {_name(key)} anew")
        return 0
    if settings.custody.key_provider == SharesProvider.name:
        raise ConfigError("make the key with G2FACE_CUSTODY__KEY_PROVIDER=file, then run split-master-key")
    public_key = master.create_master_key(private_path, public_path, provider=keys.provider(settings))
    _tell(f"made master key {seal.key_id(public_key).hex()}")
    _tell("Keep a copy of the private file where the worker and the web servers cannot read it.")
    _tell("Without it no original can be recovered; with it every one can.")
    return 0


def rotate_master_key(options: argparse.Namespace, settings: Settings) -> int:
    """Seal every subject's key to a new master key; 1 when some are damaged or belong to yet another one."""
    files = MasterKeyFiles(
        settings.master_private_key(),
        settings.master_public_key(),
        settings.retired_master_keys(),
        keys.provider(settings),
    )
    with _audit_log(settings) as log, closing(keys.keyring(settings)) as keyring:
        report = Rotation(files, keyring, log=log, actor=ACTOR, clock=_now).run(anew=options.anew)
    for line in _said_of(report):
        _tell(line)
    return 1 if report.left or report.foreign else 0


def split_master_key(options: argparse.Namespace, settings: Settings) -> int:
    """Wrap the master key by a secret that nobody has alone. Nothing is replaced until enough shares, as they were
    written down, have opened it once."""
    if options.into is None and not sys.stdin.isatty():
        raise ConfigError("shares are shown at a terminal, or written where --into says")
    made = shares.split(threshold=options.threshold, shares=options.shares)
    ask = keys.ask_at_terminal if options.into is None else keys.share_files(_write_down(made, options.into))
    if options.into is None:
        _show(made)
        _tell(f"Now {options.threshold} of the {options.shares} shares, to see that they were written down well.")
    _rewrap(settings, SharesProvider(ask))
    return 0


def wrap_master_key(options: argparse.Namespace, settings: Settings) -> int:
    """Let another provider keep the master key's file."""
    _rewrap(settings, keys.provider(settings, options.provider))
    return 0


def _rewrap(settings: Settings, new: KeyProvider) -> None:
    path, old = settings.master_private_key(), keys.provider(settings)
    key = MasterKey(path, old, retired_dir=settings.retired_master_keys())
    if key.retired:
        raise MasterKeyError("a change of the master key is not finished: run rotate-master-key first")
    with _audit_log(settings) as log:
        log.append([NewEvent(ACTOR, "master_key.wrapping", _name(key), {"provider": new.name})], now=_now())
        unseal.rewrap(path, old=old, new=new)
        log.append([NewEvent(ACTOR, "master_key.wrapped", _name(key), {"provider": new.name})], now=_now())
    _tell(f"{new.name} keeps master key {_name(key)} now: set G2FACE_CUSTODY__KEY_PROVIDER={new.name}")
    _tell("Copies of its private file from before open everything as before: destroy them, or run rotate-master-key.")


def _write_down(made: tuple[str, ...], folder: Path) -> tuple[Path, ...]:
    paths = tuple(folder / f"share-{number}-of-{len(made)}.txt" for number in range(1, len(made) + 1))
    try:
        for path, share in zip(paths, made, strict=True):
            atomic_file.create(path, f"{share}\n".encode(), mode=0o600)
    except OSError as error:
        raise MasterKeyError(f"the shares cannot be written: {error.strerror}") from None
    _tell(f"wrote {len(made)} shares: give each person one, and leave none here")
    return paths


def _show(made: tuple[str, ...]) -> None:
    """One share on the screen at a time, for one person at a time."""
    for number, share in enumerate(made, 1):
        _tell(f"{_CLEAR_SCREEN}Share {number} of {len(made)}:\n\n{share}\n")
        sys.stdout.write("Write it down, then press Enter for the next person. ")
        sys.stdout.flush()
        sys.stdin.readline()
    _tell(_CLEAR_SCREEN)


def _said_of(report: RotationReport) -> Iterator[str]:
    yield f"{'finished the change' if report.resumed else 'changed'} from master key {', '.join(report.old_key_ids)}"
    yield f"to {report.new_key_id}: {report.resealed} keys sealed anew, {report.shredded} were shredded before"
    if report.left:
        yield f"{report.left} keys are damaged and stay under the old master key, which is kept"
    if report.foreign:
        yield f"{report.foreign} keys are sealed to yet another master key, as from an old backup"
    yield "Copy the new private file to where its copy lies, and the public file to every machine that seals."


@contextmanager
def _audit_log(settings: Settings) -> Iterator[AuditLog]:
    engine = database.open_vault(settings.vault())
    try:
        yield AuditLog(engine)
    finally:
        engine.dispose()


def _now() -> datetime:
    return datetime.now(UTC)


def _name(key: MasterKey) -> str:
    return seal.key_id(key.public_key).hex()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
