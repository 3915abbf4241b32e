"""Where the time goes: seconds per stage of anonymizing photographs, warm. The engine itself carries no clock.

A stage is everything that the engine asks one of its parts for; what those parts ask of one another counts for the
part that was asked first.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from g2face_model import alignment, compositing, fusion, images, light, masks
from g2face_model.anonymizer import Anonymizer, Parts
from g2face_model.evaluation.figures import seeds_of
from g2face_model.evaluation.photographs import Photograph
from g2face_model.types import Verdict

READ, WRITE, REST = "read", "write", "rest"
_OF_PARTS = {
    "detector": "detect",
    "landmarker": "mesh",
    "landmarks": "mesh",
    "geometry": "mesh",
    "attributes": "choose",
    "parser": "crop and parse",
}
_OF_METHODS = {
    ("generator", "search"): "choose",
    ("generator", "render"): "render",
    ("gate", "expression"): "measure",
    ("gate", "measure"): "measure",
    ("gate", "measure_again"): "judge",
}
_OF_MODULES: tuple[tuple[ModuleType, str, str], ...] = (
    (alignment, "extract", "crop and parse"),
    (compositing, "paste", "paste"),
    (compositing, "cover", "paste"),
)
STAGES = (
    READ, "detect", "mesh", "crop and parse", "measure", "choose", "render", "fuse", "judge", "paste", REST, WRITE,
)  # fmt: skip


class Stopwatch:
    """Adds up the seconds of named stages. Not for several threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._running = clock, False
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts for `name`, unless another stage is already being counted."""
        if self._running:
            yield
            return
        self._running, started = True, self._clock()
        try:
            yield
        finally:
            self._seconds[name] += self._clock() - started
            self._running = False

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """`function` as a stage."""

        @functools.wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                return function(*args, **options)

        return run

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last time, and back to zero."""
        seconds, self._seconds = dict(self._seconds), defaultdict(float)
        return seconds


@contextmanager
def attached(stopwatch: Stopwatch, parts: Parts) -> Iterator[None]:
    """While this lasts, the parts' public methods and the modules that the engine works with are stages."""
    with _replaced(
        [(owner, name, stopwatch.timed(getattr(owner, name), stage)) for owner, name, stage in _places(parts)]
    ):
        yield


def _places(parts: Parts) -> Iterator[tuple[object, str, str]]:
    """Where to measure: owner, name of the function, stage."""
    for field in fields(parts):
        part = getattr(parts, field.name)
        for name, _ in inspect.getmembers(type(part), inspect.isfunction):
            stage = _OF_METHODS.get((field.name, name)) or _OF_PARTS.get(field.name)
            if stage and not name.startswith("_"):
                yield part, name, stage
    yield from _OF_MODULES
    for module in (fusion, light, masks):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                yield module, name, "fuse"


@contextmanager
def _replaced(places: Sequence[tuple[Any, str, Callable[..., Any]]]) -> Iterator[None]:
    """Set attributes, and put them back as they were: one that only the class had is removed again."""
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in places]
    try:
        for owner, name, function in places:
            setattr(owner, name, function)
        yield
    finally:
        for owner, name, own in reversed(before):
            delattr(owner, name) if own is None else setattr(owner, name, own)


@dataclass(frozen=True, slots=True)
class Timings:
    """Median seconds per photograph, from file to file, by stage; `total` is the median of their sums.
    `attempts`: how many candidates were rendered for all faces together."""

    photographs: int
    faces: int
    released: int
    attempts: int
    stages: Mapping[str, float]
    total: float


def measure(anonymizer: Anonymizer, parts: Parts, photographs: Mapping[str, bytes], *, repeats: int) -> Timings:
    """Anonymize every photograph (a JPEG file by name) once to warm up, then `repeats` times; JPEG to JPEG."""
    stopwatch, runs = Stopwatch(), []
    verdicts: list[Verdict] = []
    with attached(stopwatch, parts):
        for name, data in photographs.items():
            verdicts += _once(anonymizer, stopwatch, name, data)
            runs.append([_timed_once(anonymizer, stopwatch, name, data) for _ in range(repeats)])
    medians = {stage: _mean_of_medians([[run.get(stage, 0.0) for run in own] for own in runs]) for stage in STAGES}
    total = _mean_of_medians([[sum(run.values()) for run in own] for own in runs])
    return Timings(
        len(photographs),
        faces=len(verdicts),
        released=sum(verdict.passed for verdict in verdicts),
        attempts=sum(verdict.attempts for verdict in verdicts),
        stages=medians,
        total=total,
    )


def _once(anonymizer: Anonymizer, stopwatch: Stopwatch, name: str, data: bytes) -> list[Verdict]:
    """File to file; the verdicts on the faces."""
    with stopwatch.stage(READ):
        image = images.decode(data)
    result = anonymizer.anonymize(image, seeds_of(Photograph(name)))
    with stopwatch.stage(WRITE):
        images.encode(result.image, "jpeg")
    return [face.verdict for face in result.faces]


def _timed_once(anonymizer: Anonymizer, stopwatch: Stopwatch, name: str, data: bytes) -> dict[str, float]:
    stopwatch.take()
    started = time.perf_counter()
    _once(anonymizer, stopwatch, name, data)
    total, stages = time.perf_counter() - started, stopwatch.take()
    return {**stages, REST: total - sum(stages.values())}


def _mean_of_medians(seconds: Sequence[Sequence[float]]) -> float:
    """Over photographs, of the repeats of each."""
    return float(np.mean([np.median(own) for own in seconds])) if seconds else float("nan")


def forget_peak() -> None:
    """From now on, `peak_megabytes` of this process is the most since now, where the system can be told so."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def resident_megabytes() -> float:
    """The memory that this process holds now; NaN where the system does not tell."""
    return _status_megabytes(os.getpid(), "VmRSS")


def peak_megabytes(pid: int | None = None) -> float:
    """The most memory that this or another running process has held; NaN where the system does not tell."""
    peak = _status_megabytes(pid or os.getpid(), "VmHWM")
    return _own_peak_megabytes() if math.isnan(peak) and not pid else peak


def _status_megabytes(pid: int, name: str) -> float:
    """One of the memory figures that Linux tells of a process; NaN on another system, or when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return math.nan
    found = re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 2**10 if found else math.nan


def _own_peak_megabytes() -> float:
    # Not on Linux, where it starts from the memory of whoever started this process.
    try:
        import resource
    except ImportError:  # not a Unix
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
