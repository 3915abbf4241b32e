from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from g2face_model import images
from g2face_model.errors import ModelError
from g2face_model.evaluation import running
from g2face_model.evaluation.measurements import Measured, PhotoMeasurement
from g2face_model.evaluation.methods import Setup
from g2face_model.evaluation.store import Store
from g2face_model.evaluation.trials import NONE, Trial
from g2face_model.weights import WeightStore

_TRIALS = [Trial(f"{number}.png", method) for number in range(3) for method in (NONE, "pixelate")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        image = np.full((60, 80, 3), 40 * number, np.uint8)
        (tmp_path / f"{number}.png").write_bytes(images.encode(image, "png"))
    return tmp_path


def test_several_processes_measure_everything_once(folder: Path, store: WeightStore) -> None:
    kept = Store(folder / "report", {})
    setup = Setup(weights_dir=store.directory)
    steps: list[int] = []
    running.run(_TRIALS, kept, folder, setup=setup, jobs=2, progress=steps.append)
    assert all(kept.holds(trial) for trial in _TRIALS)
    assert sum(steps) == len(_TRIALS)
    steps.clear()
    running.run(_TRIALS, kept, folder, setup=setup, jobs=2, progress=steps.append)
    assert steps == [len(_TRIALS)]


def test_weights_that_are_missing_are_said_by_a_process_too(folder: Path, tmp_path: Path) -> None:
    kept = Store(folder / "report", {})
    with pytest.raises(ModelError, match="weights pull"):
        running.run(_TRIALS, kept, folder, setup=Setup(weights_dir=tmp_path / "nothing"), jobs=2, progress=_unseen)


def _unseen(_: int) -> None:
    """Progress that nobody looks at."""


def test_a_run_goes_on_where_it_was_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Trial] = []

    class Stopped:
        def __init__(self, *_: object) -> None:
            pass

        def measure(self, trials: Sequence[Trial]) -> Iterator[Measured]:
            for trial in trials:
                if len(asked) == 3:
                    raise KeyboardInterrupt
                asked.append(trial)
                yield Measured(PhotoMeasurement(trial))

    monkeypatch.setattr(running, "Laboratory", Stopped)
    kept = Store(folder / "report", {})
    with pytest.raises(KeyboardInterrupt):
        running.run(_TRIALS, kept, folder, setup=Setup(), progress=_unseen)
    assert [kept.holds(trial) for trial in _TRIALS] == [True] * 3 + [False] * 3
    first = list(asked)
    asked.clear()
    running.run(_TRIALS, Store(folder / "report", {}), folder, setup=Setup(), progress=_unseen)
    assert first + asked == _TRIALS


def test_a_process_that_dies_is_said_and_what_was_measured_is_kept(
    folder: Path, store: WeightStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_measure", _die)
    with pytest.raises(ModelError, match="fewer --jobs"):
        running.run(
            _TRIALS, Store(folder / "report", {}), folder, setup=Setup(store.directory), jobs=2, progress=_unseen
        )


def _die(_: list[Trial]) -> list[Measured]:
    os._exit(9)
