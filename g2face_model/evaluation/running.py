"""Run the trials that are not yet in the store, over several processes; one process writes."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from g2face_model.errors import ModelError
from g2face_model.evaluation.measurements import Measured
from g2face_model.evaluation.measuring import Laboratory
from g2face_model.evaluation.methods import Setup
from g2face_model.evaluation.store import Store
from g2face_model.evaluation.trials import Trial

Progress = Callable[[int], None]
_of_worker: dict[str, Any] = {}  # in a process of the pool


def run(
    trials: Sequence[Trial], store: Store, folder: Path, *, setup: Setup, jobs: int = 1, progress: Progress
) -> None:
    """Measure what the store does not hold; `progress` is told how many trials are done, those that were there too.

    Raises ModelError when a judge cannot be built or a process dies, OSError when the store cannot be written.
    """
    missing = [trial for trial in trials if not store.holds(trial)]
    progress(len(trials) - len(missing))
    batches = [list(own) for _, own in itertools.groupby(missing, lambda trial: (trial.photograph, trial.condition))]
    done = _alone(batches, folder, setup) if jobs == 1 else _together(batches, folder, setup, jobs=jobs)
    for results in done:
        for measured in results:
            store.add(measured)
            progress(1)


def _alone(batches: Sequence[list[Trial]], folder: Path, setup: Setup) -> Iterator[Iterator[Measured]]:
    if batches:
        laboratory = _built(folder, setup)
        yield from (laboratory.measure(batch) for batch in batches)


def _together(batches: Sequence[list[Trial]], folder: Path, setup: Setup, *, jobs: int) -> Iterator[list[Measured]]:
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch may hang
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(folder, setup)) as pool:
        pending: set[Future[list[Measured]]] = {pool.submit(_measure, batch) for batch in batches}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise ModelError("a process died, perhaps for want of memory; go on with fewer --jobs") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _built(folder: Path, setup: Setup) -> Laboratory:
    import torch

    torch.set_num_threads(setup.threads)
    return Laboratory(folder, setup)


def _begin(folder: Path, setup: Setup) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    _of_worker.update(folder=folder, setup=setup)


def _measure(batch: list[Trial]) -> list[Measured]:
    # Built here and not in _begin: what is wrong with the weights is then told instead of breaking the pool.
    if "laboratory" not in _of_worker:
        _of_worker["laboratory"] = _built(_of_worker["folder"], _of_worker["setup"])
    return list(_of_worker["laboratory"].measure(batch))
