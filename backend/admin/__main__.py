"""The admin on the command line: python -m backend.admin init-keys."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from backend.custody import master, seal
from backend.custody.unseal import MasterKey
from backend.errors import BackendError
from backend.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done, 2: it could not be done, or bad usage."""
    _parser().parse_args(arguments)
    try:
        settings = Settings.load()
        _init_keys(settings)
    except BackendError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.admin", description="Keeps the keys to the originals.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init-keys", help="make the master key, which alone opens what the workers lock")
    return parser


def _init_keys(settings: Settings) -> None:
    """Make the master key pair. Where only the public file is missing, as after a crash or for a new machine that is to
    seal, it is written anew from the private one."""
    private_path, public_path = settings.master_private_key(), settings.master_public_key()
    if private_path.exists() and not public_path.exists():
        key = MasterKey(private_path)
        key.write_public(public_path)
        _tell(f"wrote the public file of master key {seal.key_id(key.public_key).hex()} anew")
        return
    public_key = master.create_master_key(private_path, public_path)
    _tell(f"made master key {seal.key_id(public_key).hex()}")
    _tell("Keep a copy of the private file where the worker and the web servers cannot read it.")
    _tell("Without it no original can be recovered; with it every one can.")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
