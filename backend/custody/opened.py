"""Photos that were opened once and found right, and are opened again one at a time as they are given out: a person may
have hundreds, and no more than one of them is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from backend.custody.locked import Aim
from backend.custody.restoration import RetrievedPhoto


class Photos(Protocol):
    """So many photos, one after the other."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[RetrievedPhoto]: ...


class OneByOne:
    """`Photos` that are given out once: going through them again gives none. Raises what `open_one` raises, and then
    gives none of the rest."""

    def __init__(self, aims: Sequence[Aim], open_one: Callable[[Aim], RetrievedPhoto]) -> None:
        self._waiting, self._count, self._open = tuple(aims), len(aims), open_one

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[RetrievedPhoto]:
        waiting, self._waiting = self._waiting, ()
        for aim in waiting:
            yield self._open(aim)
