"""What the demonstration says, line by line: steps and how long they took, and tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def step(name: str) -> Iterator[None]:
    """One line: what is being done, then how long it took."""
    begun = time.monotonic()
    sys.stdout.write(f"  {name:<{WIDTH}} ")
    sys.stdout.flush()
    try:
        yield
    except BaseException:
        sys.stdout.write("✗\n")
        raise
    say(f"✓ {time.monotonic() - begun:5.1f} s")


WIDTH = 21
"""Of a step's name."""


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as they have to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(f"  {line}" for line in lines)


def shown(path: Path) -> str:
    """A path as short as it can be said here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
