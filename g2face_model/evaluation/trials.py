"""Trials: which photograph is treated by which method, under which condition, with which key.

A trial of the method NONE looks at the photograph as it is; every comparison starts from one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

NONE = "none"
AS_IS = "as-is"
FIRST_KEY, SECOND_KEY = "first", "second"


class Need(StrEnum):
    """What a metric wants to be tried, beyond every photograph as it is and by every method with the first key."""

    SECOND_KEY = "second key"  # the other photograph of each person by the methods that have keys, with another one
    CONDITIONS = "conditions"  # harder photographs, on a sample
    LEFT_OUT = "left out"  # the engine with each recogniser in turn left out, on a sample of people with two


@dataclass(frozen=True, slots=True)
class Trial:
    """`photograph` is its path below the folder, the others are names in the registries."""

    photograph: str
    method: str
    condition: str = AS_IS
    key: str = FIRST_KEY

    @property
    def identifier(self) -> str:
        """24 hex digits, safe as a file's name."""
        parts = (self.photograph, self.method, self.condition, self.key)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:24]


class Keyed(Protocol):
    """What planning has to know of a method."""

    @property
    def keyed(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Samples:
    """How many photographs the dearer trials take: the one place where an evaluation's cost is decided.

    An anonymization with its judging takes about 4.2 s of a core, a photograph as it is or pixelated 0.3 s, one
    blurred by deface 1.2 s. With these numbers 100 portraits stay below a quarter of an hour on two cores:

    - `second_key`: one anonymization each. Whether faces are linked is told well from 30 people.
    - `left_out`: one for each of the three recognisers. 20 people are the fewest that the report judges by.
    - `condition`: one under each of 17 conditions, the dearest of all, and so the fewest. 10 of 10 still say "at least
      72 %". The baselines would cost as much as three photographs more, and tell little: they sit `compared` out.
    """

    second_key: int = 30
    left_out: int = 20
    condition: int = 10
    compared: bool = False


EVERYTHING = Samples(
    second_key=10**9, left_out=10**9, condition=10**9, compared=True
)  # about 2 min of a core per photo


def plan(
    probes: Sequence[str],
    gallery: Sequence[str],
    methods: Mapping[str, Keyed],
    *,
    left_out: Iterable[str] = (),
    paired: Sequence[str] = (),
    conditions: Sequence[str] = (),
    needs: frozenset[Need] = frozenset(),
    samples: Samples = Samples(),
) -> list[Trial]:
    """The trials of a run, each once, those of one photograph and condition together.

    `probes` are anonymized by every method, `gallery` holds other photographs of the same people, `paired` are the
    probes of people who are in the gallery; `left_out` names the methods of Need.LEFT_OUT.
    """
    alone = set(_spread(paired, samples.left_out)) if Need.LEFT_OUT in needs else set()
    trials: list[Trial] = []
    for photograph in probes:
        trials.append(Trial(photograph, NONE))
        trials += [Trial(photograph, method) for method in methods]
        if photograph in alone:
            trials += [Trial(photograph, method) for method in left_out]
    second = set(_spread(gallery, samples.second_key)) if Need.SECOND_KEY in needs else set()
    for photograph in gallery:
        trials.append(Trial(photograph, NONE))
        if photograph in second:
            trials += [Trial(photograph, name, key=SECOND_KEY) for name, method in methods.items() if method.keyed]
    if Need.CONDITIONS in needs:
        tried = [name for name, method in methods.items() if method.keyed or samples.compared]
        trials += [
            Trial(photograph, method, condition)
            for photograph in _paired_first(probes, paired, samples.condition)
            for condition in conditions
            if condition != AS_IS
            for method in (NONE, *tried)
        ]
    return list(dict.fromkeys(trials))


def _paired_first(probes: Sequence[str], paired: Sequence[str], limit: int) -> list[str]:
    """People who can be searched, and where they are few others, too."""
    chosen = _spread(paired, limit)
    return [*chosen, *_spread([own for own in probes if own not in set(paired)], limit - len(chosen))]


def _spread(items: Sequence[str], limit: int) -> list[str]:
    if limit >= len(items):
        return list(items)
    return [items[position * len(items) // limit] for position in range(limit)]
