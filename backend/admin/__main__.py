"""The admin on the command line: python -m backend.admin init-keys | rotate-master-key | ... | --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from backend import logs
from backend.admin.commandline import accounts, audit, bench, keys, requests, retention, serve
from backend.errors import BackendError
from backend.settings import Settings

# Groups of commands; each has `add_commands`, whose parsers name their `run(options, settings)`.
_GROUPS = (accounts, audit, bench, keys, requests, retention, serve)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0: done, 1: not all of it, 2: it could not be done, or bad usage."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.load()
        logs.configure(settings.logs.level, json_lines=settings.logs.json_lines)
        status: int = options.run(options, settings)
    except BackendError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.admin", description="Keeps the keys to the originals.")
    commands = parser.add_subparsers(dest="command", required=True)
    for group in _GROUPS:
        group.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
