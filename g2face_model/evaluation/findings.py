"""What a metric finds: figures with intervals, how to lay them out, which faces were best and worst, what to warn of.

Everything a report shows and every line of metrics.jsonl is one of these; no figure is only in a table. Names of
figures, layouts, rankings and notes are plain identifiers: the report's words turn them into sentences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from g2face_model.evaluation.identification import CONFIDENCE, Share

_RESAMPLES, _SEED = 2000, 7


class Unit(StrEnum):
    """How a value is to be read. Shares are in 0..1, NME a share of the inter-ocular distance."""

    SHARE = "share"
    COSINE = "cosine"
    NME = "nme"
    EYE_WIDTHS = "eye_widths"
    DEGREES = "degrees"
    SECONDS = "seconds"
    MEGABYTES = "megabytes"
    BYTES = "bytes"
    LEVELS = "levels"  # of 0..255
    COUNT = "count"
    MONEY = "money"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `low` and `high` bound it with 95 % confidence (NaN where nothing bounds it), `count` is how many
    cases it was taken from, `by` says of what: method, recogniser, role, probes, condition, group ... `headline`:
    it belongs on the first page, and fairness and robustness follow it through groups and conditions."""

    name: str
    value: float
    unit: Unit
    count: int
    by: Mapping[str, str] = field(default_factory=dict)
    low: float = math.nan
    high: float = math.nan
    headline: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """A table of figures: one row for every combination of the values of `rows` (names in `Figure.by`), one column for
    every figure of `columns`; with `across`, one column for every value that this name in `by` takes. Only figures
    whose `by` holds the values of `only`."""

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    across: str = ""
    only: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RankedFace:
    """A face and what was measured on it; `values` by figure name."""

    file: str
    index: int
    method: str
    values: Mapping[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Faces from the worst to the best by the value called `by`."""

    name: str
    by: str
    faces: tuple[RankedFace, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something a reader has to know; `warning` when it makes figures doubtful."""

    code: str
    values: Mapping[str, str | int | float] = field(default_factory=dict)
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one metric found. No figures: its notes say why."""

    metric: str
    figures: tuple[Figure, ...] = ()
    layouts: tuple[Layout, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    notes: tuple[Note, ...] = ()


def share(name: str, counted: Share, *, by: Mapping[str, str], headline: bool = False) -> Figure:
    """A share with Wilson's interval."""
    low, high = counted.interval
    return Figure(name, counted.value, Unit.SHARE, counted.total, by, low, high, headline)


def mean(name: str, values: ArrayLike, unit: Unit, *, by: Mapping[str, str], headline: bool = False) -> Figure:
    """The mean of the values that are numbers, with a bootstrap interval."""
    known = numbers(values)
    low, high = bootstrap(known)
    return Figure(name, float(known.mean()) if len(known) else math.nan, unit, len(known), by, low, high, headline)


def quantile(name: str, values: ArrayLike, unit: Unit, *, q: float, by: Mapping[str, str]) -> Figure:
    """A quantile of the values that are numbers, without an interval."""
    known = numbers(values)
    return Figure(name, float(np.quantile(known, q)) if len(known) else math.nan, unit, len(known), by)


def number(name: str, value: float, unit: Unit, *, by: Mapping[str, str], count: int = 1) -> Figure:
    """A figure that is counted or computed, not estimated."""
    return Figure(name, value, unit, count, by)


def numbers(values: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The finite ones among the values (N,)."""
    known = np.asarray(values, np.float64).reshape(-1)
    return known[np.isfinite(known)]


def bootstrap(values: ArrayLike, *, seed: int = _SEED) -> tuple[float, float]:
    """Where the mean of values (N,) lies with 95 % confidence: percentiles of resampled means; NaN for fewer than 2."""
    known = np.asarray(values, np.float64)
    if len(known) < 2:
        return math.nan, math.nan
    chosen = np.random.default_rng(seed).integers(len(known), size=(_RESAMPLES, len(known)))
    low, high = np.quantile(known[chosen].mean(axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def figures_called(name: str, findings: Sequence[Findings], **by: str) -> list[Figure]:
    """All figures of that name whose `by` holds these values."""
    every = (figure for own in findings for figure in own.figures)
    return [figure for figure in every if figure.name == name and by.items() <= dict(figure.by).items()]
