"""The stopwatch by a clock that can be told, and what it is attached to."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from pictures import photo
from pixelation import Pixelation

from g2face_model import alignment, compositing, fusion, images
from g2face_model.anonymizer import Parts
from g2face_model.evaluation import bench
from g2face_model.types import AnonymizedImage, Image


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


class _Gate:
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def measure(self) -> str:
        self._clock.work(1.0)
        return "measured"

    def measure_again(self) -> str:
        self._clock.work(0.5)
        return self.measure()

    def limit(self) -> float:
        self._clock.work(100.0)
        return 0.0


class _Detector:
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def detect(self) -> None:
        self._clock.work(2.0)
        self._look()

    def _look(self) -> None:
        self._clock.work(2.0)


def _parts(clock: _Clock) -> Parts:
    names = [field.name for field in dataclasses.fields(Parts)]
    parts = {name: object() for name in names} | {"gate": _Gate(clock), "detector": _Detector(clock)}
    return Parts(**parts)  # type: ignore[arg-type]


def test_a_stage_within_a_stage_counts_for_the_outer_one() -> None:
    clock = _Clock()
    stopwatch, parts = bench.Stopwatch(clock), _parts(clock)
    with bench.attached(stopwatch, parts):
        assert parts.gate.measure_again() == "measured"  # type: ignore[call-arg, comparison-overlap]
        parts.gate.measure()  # type: ignore[call-arg]
        parts.detector.detect()  # type: ignore[call-arg]
        parts.gate.limit()  # type: ignore[call-arg]
    assert stopwatch.take() == {"judge": 1.5, "measure": 1.0, "detect": 4.0}
    assert stopwatch.take() == {}


def test_a_stage_that_fails_is_counted_and_over() -> None:
    clock = _Clock()
    stopwatch = bench.Stopwatch(clock)

    def fail() -> None:
        clock.work(1.0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        stopwatch.timed(fail, "one")()
    with stopwatch.stage("two"):
        clock.work(2.0)
    assert stopwatch.take() == {"one": 1.0, "two": 2.0}


def test_everything_is_as_it_was_afterwards() -> None:
    clock = _Clock()
    parts = _parts(clock)
    before = [dict(vars(owner)) for owner in (alignment, compositing, fusion)]
    with bench.attached(bench.Stopwatch(clock), parts):
        assert "detect" in vars(parts.detector)
        assert vars(fusion) != before[2]
    assert [dict(vars(owner)) for owner in (alignment, compositing, fusion)] == before
    assert "detect" not in vars(parts.detector)


def test_every_part_of_the_engine_belongs_to_a_stage() -> None:
    named = {*bench._OF_PARTS, *(part for part, _ in bench._OF_METHODS)}
    assert named == {field.name for field in dataclasses.fields(Parts)}
    stages = {*bench._OF_PARTS.values(), *bench._OF_METHODS.values(), *(stage for *_, stage in bench._OF_MODULES)}
    assert {*stages, "fuse", bench.READ, bench.WRITE, bench.REST} == set(bench.STAGES)


class _Counting(Pixelation):
    calls: list[tuple[int, ...]] = []  # noqa: RUF012

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        self.calls.append(image.shape)
        return super().anonymize(image, seeds)


def test_photographs_are_anonymized_once_to_warm_up_and_then_timed() -> None:
    engine = _Counting()
    photographs = {"a": images.encode(photo(24, 32), "jpeg"), "b": images.encode(photo(14, 32), "jpeg")}
    timings = bench.measure(engine, _parts(_Clock()), photographs, repeats=3)  # type: ignore[arg-type]
    assert len(engine.calls) == 2 * 4
    assert (timings.photographs, timings.faces, timings.released, timings.attempts) == (2, 3, 3, 6)
    assert set(timings.stages) == set(bench.STAGES)
    assert timings.total > 0
    assert timings.stages["detect"] == 0.0  # this engine asks nobody


def test_the_median_of_each_photograph_counts() -> None:
    assert bench._mean_of_medians([[1.0, 100.0, 2.0], [4.0, 4.0, 0.0]]) == 3.0


def test_memory_is_that_of_a_process_with_numpy() -> None:
    held = np.ones(30_000_000 // 8)
    assert 30 < bench.peak_megabytes() < 100_000
    assert held.sum()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of other processes")
def test_a_small_process_started_by_a_large_one_is_small() -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        time.sleep(0.2)  # until it is sleep, and no longer a copy of this process
        assert bench.peak_megabytes(process.pid) < 20 < bench.peak_megabytes()
        process.kill()
    assert math.isnan(bench.peak_megabytes(process.pid))
