"""What the commands say: JSON lines for programs on stdout, sentences for people on stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn

from tqdm import tqdm

Line = dict[str, object]


def emit(line: Line) -> Line:
    """Print the line on stdout and, when it is bad news, in words on stderr. A reader who went away is not an error."""
    text = json.dumps(line, allow_nan=False)
    try:
        # On a terminal the progress bar has to step aside; in a file or pipe it is not there.
        tqdm.write(text) if sys.stdout.isatty() else print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if "error" in line:
        say(f"{line['name']}: {line['error']}")
    return line


def say(message: str) -> None:
    """One line on stderr, above the progress bar if there is one."""
    tqdm.write(message, file=sys.stderr)


def progress_bar(total: int, unit: str = "photo") -> tqdm[NoReturn]:
    """A bar on stderr that counts units; in a log, where every step is a new line, it moves every five seconds."""
    return tqdm(total=total, unit=unit, file=sys.stderr, mininterval=0.1 if sys.stderr.isatty() else 5)


def usage(message: str) -> int:
    """Say what is wrong with the arguments; the exit status for it."""
    say(f"g2face_model: {message}")
    return 2
