"""What can be learned from a few hundred vectors, tested on people that were not learned from.

Seeded and small: ridge regression in its dual form, so that more numbers than cases are no obstacle, the same with a
Gaussian kernel, and a network with one hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

FOLDS = 5
_SEED = 7
_PENALTIES = np.logspace(-4, 2, 13)  # over the mean of the kernel's diagonal
_HIDDEN, _STEPS, _RATE, _DECAY, _DROPPED = 256, 150, 2e-3, 1e-2, 0.2
Vectors = NDArray[np.float64]
Learner = Callable[[Vectors, Vectors, Vectors], Vectors]  # inputs (N, D), targets (N, E), new inputs (M, D) -> (M, E)


def ridge(inputs: Vectors, targets: Vectors, new: Vectors) -> Vectors:
    """Linear; the penalty is the one with the smallest leave-one-out error."""
    middle, aim = inputs.mean(axis=0), targets.mean(axis=0)
    centred = inputs - middle
    return np.asarray(_dual(centred @ centred.T, targets - aim, (new - middle) @ centred.T) + aim)


def kernel_ridge(inputs: Vectors, targets: Vectors, new: Vectors) -> Vectors:
    """With a Gaussian kernel as wide as the inputs' median distance."""
    within, across = squared_distances(inputs, inputs), squared_distances(new, inputs)
    apart = within[np.triu_indices(len(inputs), 1)]
    width = max(float(np.median(apart)) if len(apart) else 1.0, 1e-12)
    aim = targets.mean(axis=0)
    return np.asarray(_dual(np.exp(-within / width), targets - aim, np.exp(-across / width)) + aim)


def network(inputs: Vectors, targets: Vectors, new: Vectors) -> Vectors:
    """One hidden layer, trained until it points where the targets point (cosine)."""
    middle, scale = inputs.mean(axis=0), max(float(inputs.std()), 1e-9)
    x, y, z = (
        torch.from_numpy(np.float32(own)) for own in ((inputs - middle) / scale, targets, (new - middle) / scale)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], _HIDDEN),
            torch.nn.ReLU(),
            torch.nn.Dropout(_DROPPED),
            torch.nn.Linear(_HIDDEN, y.shape[1]),
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=_DECAY)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            loss = 1 - torch.nn.functional.cosine_similarity(model(x), y).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.inference_mode():
        return np.asarray(model.eval()(z).numpy(), np.float64)


def folds(groups: Sequence[str], count: int = FOLDS) -> NDArray[np.int64]:
    """(N,) the fold of each case: those of one group are never on both sides."""
    names = list(dict.fromkeys(groups))
    order = np.random.default_rng(_SEED).permutation(len(names))
    places = {names[name]: position % count for position, name in enumerate(order)}
    return np.array([places[group] for group in groups], np.int64)


def predicted(learner: Learner, inputs: Vectors, targets: Vectors, groups: Sequence[str]) -> Vectors:
    """(N, E) what is predicted for each case by a learner that has seen nothing of its group. Fewer than two groups:
    NaN."""
    fold = folds(groups)
    result = np.full(targets.shape, np.nan)
    for number in np.unique(fold):
        test = fold == number
        if not test.all():
            result[test] = learner(inputs[~test], targets[~test], inputs[test])
    return result


def told_apart(learner: Learner, first: Vectors, second: Vectors, groups: Sequence[str]) -> int:
    """How many of the 2 N vectors, N of each kind, are taken for what they are; `groups` (N,) are who is on both. One
    that lies on the fence counts as the first kind."""
    scale = np.concatenate([first, second]).std(axis=0)
    inputs = np.concatenate([first, second]) / np.where(scale > 1e-9, scale, 1.0)
    kinds = np.repeat([-1.0, 1.0], len(first))
    found = predicted(learner, inputs, kinds[:, None], [*groups, *groups])[:, 0]
    return int(((found > 1e-9) == (kinds > 0)).sum())


def squared_distances(a: Vectors, b: Vectors) -> Vectors:
    """(N, M)."""
    between = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.maximum(between, 0.0), np.float64)


def _dual(kernel: Vectors, targets: Vectors, across: Vectors) -> Vectors:
    """Predictions (M, E) from kernels (N, N) and (M, N)."""
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ targets
    unit = max(float(values.mean()), 1e-12)

    def left_out(penalty: float) -> float:
        shrink = 1 / (values + penalty * unit)
        errors = (vectors * shrink) @ turned / ((vectors**2) @ shrink)[:, None]
        return float((errors**2).mean())

    penalty = min(_PENALTIES, key=left_out)
    return np.asarray(across @ ((vectors / (values + penalty * unit)) @ turned), np.float64)
