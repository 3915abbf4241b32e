"""The master key on the command line: made, changed, and kept by whoever shall keep it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from backend.admin import keys
from backend.custody import master, seal
from backend.settings import Settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add this group's parsers."""
    init = commands.add_parser("init-keys", help="make the master key, which alone opens what the workers lock")
    init.set_defaults(run=init_keys)


def init_keys(_options: argparse.Namespace, settings: Settings) -> int:
    """Make the master key pair. Where only the public file is missing, as after a crash or for a new machine that is to
    seal, it is written anew from the private one."""
    private_path, public_path = settings.master_private_key(), settings.master_public_key()
    if private_path.exists() and not public_path.exists():
        key = keys.master_key(settings)
        key.write_public(public_path)
        _tell(f"wrote the public file of master key {seal.key_id(key.public_key).hex()} anew")
        return 0
    public_key = master.create_master_key(private_path, public_path, provider=keys.provider(settings))
    _tell(f"made master key {seal.key_id(public_key).hex()}")
    _tell("Keep a copy of the private file where the worker and the web servers cannot read it.")
    _tell("Without it no original can be recovered; with it every one can.")
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
