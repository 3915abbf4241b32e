"""The admin's web server on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from backend.admin import wsgi
from backend.settings import Settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add this group's parsers."""
    parser = commands.add_parser("serve", help="serve the console and the API until told to stop")
    parser.set_defaults(run=serve)


def serve(_options: argparse.Namespace, settings: Settings) -> int:
    """Serve. Raises `MasterKeyError` when there is no master key yet."""
    wsgi.serve(settings)
    return 0
