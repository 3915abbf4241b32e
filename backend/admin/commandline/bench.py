"""How fast custody is, on the command line."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from backend.admin import benchmark
from backend.settings import Settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: Commands) -> None:
    """Add this group's parsers."""
    parser = commands.add_parser("bench", help="time locking a face and giving it back, in a temporary folder")
    parser.add_argument("--faces", type=int, default=40)
    parser.add_argument("--side", type=int, default=1024, help="of the photos, in pixels")
    parser.set_defaults(run=bench)


def bench(options: argparse.Namespace, _settings: Settings) -> int:
    """Nothing of an installation is touched."""
    sys.stdout.write(f"{options.faces} photos of {options.side} x {options.side} px with one face each\n")
    times = benchmark.measure(options.faces, side_px=options.side)
    sys.stdout.write("".join(f"{line}\n" for line in benchmark.table(times)))
    return 0
