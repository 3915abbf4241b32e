"""python -m g2face_model: assembles the subcommands and turns what they raise into one line and an exit status.

Status 0: done; 1: the command's own "no" (a check or a picture failed); 2: bad usage or a ModelError; 130: interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from g2face_model.commandline import anonymize, bench, demo, evaluate, figures, read_payload, restore, train, weights
from g2face_model.errors import ModelError

_COMMANDS = (anonymize, restore, read_payload, demo, bench, figures, evaluate, train, weights)


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except ModelError as error:
        print(f"g2face_model: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("g2face_model: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m g2face_model", description="Reversible face anonymization.")
    parser.add_argument(
        "--weights-dir",
        type=Path,
        metavar="FOLDER",
        default=os.environ.get("G2FACE_MODEL__WEIGHTS_DIR") or None,
        help="where the weights are kept (default: $G2FACE_MODEL__WEIGHTS_DIR, else the user's cache folder)",
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
