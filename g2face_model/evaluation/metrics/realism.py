"""Do the new faces look like real ones? Distances between sets of faces, and whether they can be told apart.

Spaces: each recogniser's embedding, named after it, and "spectrum": the detail by its fineness and the coarse light of
the aligned crop, which the recognisers overlook. None of these distances is one of the published ones that go by an
Inception network; compare them with each other only.

Figures, by method, faces ("all", or "replaced" where others were covered) and space: `frechet`, the Frechet distance
of two normal distributions, and `mmd`, the squared maximum mean discrepancy with a Gaussian kernel (unbiased, and so
around 0 for equal sets), between one half of the people as they are and the other half anonymized; `frechet_real` and
`mmd_real`, the same with the other half as it is: what would be reached by perfect faces. Both halves take either part,
in several divisions, and the mean is told: for `mmd` with a jackknife interval over people, none for `frechet`, which
grows with fewer faces and must not be compared between sets of different sizes. By classifier, too: `told_apart`, the
share of faces that a small classifier, which has learned from other people, takes for what they are, real or
anonymized; 0.5 is perfect. `told_apart_best` is the best of them all. By method and faces alone: `seam`, the step of
colour over the border of what was changed beyond the one that was there before, in levels of 0..255; 0 is perfect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2face_model.evaluation.findings import Figure, Findings, Layout, Note, Unit, mean, share
from g2face_model.evaluation.identification import Share
from g2face_model.evaluation.learning import Learner, Vectors, kernel_ridge, ridge, squared_distances, told_apart
from g2face_model.evaluation.measurements import Array, FaceMeasurement, Measurements, Pair, stacked
from g2face_model.evaluation.trials import Need

NAME = "realism"
NEEDS: frozenset[Need] = frozenset()
SPECTRUM = "spectrum"
CLASSIFIERS: Mapping[str, Learner] = {"linear": ridge, "gaussian": kernel_ridge}
_FEWEST, _FEW = 10, 100
_DIVISIONS, _SEED, _BANDS, _COARSE_PX, _NORMAL = 5, 7, 24, 8, 1.96
_DISTANCES = ("frechet", "frechet_real", "mmd", "mmd_real")
_LAYOUTS = (
    Layout("told_apart_best", ("method", "faces"), ("told_apart_best", "seam")),
    Layout("told_apart", ("method", "faces", "space"), ("told_apart",), across="classifier"),
    Layout("distances", ("method", "faces", "space"), _DISTANCES),
)
Distance = Callable[[Vectors, Vectors], float]


def compute(measurements: Measurements) -> Findings:
    figures: list[Figure] = []
    notes: list[Note] = []
    for method in measurements.compared:
        pairs = measurements.pairs(method)
        replaced = [pair for pair in pairs if pair.after.released]
        groups = {"all": pairs} | ({"replaced": replaced} if 0 < len(replaced) < len(pairs) else {})
        for faces, own in groups.items():
            found = list(_of_faces(measurements, own, {"method": method, "faces": faces}))
            figures += found
            if len(own) < _FEW:
                values: dict[str, str | int | float] = {"method": method, "faces": faces, "count": len(own)}
                compared = any(figure.name == "told_apart_best" for figure in found)
                notes.append(Note("few_faces" if compared else "too_few_faces", values, warning=True))
    if not figures and not notes:
        notes.append(Note("no_faces", warning=True))
    return Findings(NAME, tuple(figures), _LAYOUTS, notes=tuple(notes))


def frechet(a: Vectors, b: Vectors) -> float:
    """The squared Frechet distance of normal distributions with the means and covariances of (N, D) and (M, D)."""
    apart = a.mean(axis=0) - b.mean(axis=0)
    left, right = ((own - own.mean(axis=0)) / math.sqrt(max(len(own) - 1, 1)) for own in (a, b))
    one, two = (
        np.asarray(np.linalg.qr(own, mode="r"), np.float64) for own in (left, right)
    )  # no larger than the covariances or the sets
    product: Vectors = one @ two.T
    shared = float(np.linalg.svd(product, compute_uv=False).sum())  # trace of the root of the covariances' product
    return max(float(apart @ apart + (left**2).sum() + (right**2).sum() - 2 * shared), 0.0)


def mmd(a: Vectors, b: Vectors) -> float:
    """The unbiased squared maximum mean discrepancy of (N, D) and (N, D), of equally many."""
    terms = mmd_terms(a, b)
    return float(terms.sum() / (len(a) * (len(a) - 1)))


def mmd_terms(a: Vectors, b: Vectors) -> Vectors:
    """(N, N), the diagonal empty: what each two cases of both sets add. The median distance is the kernel's width."""
    own, other, between = squared_distances(a, a), squared_distances(b, b), squared_distances(a, b)
    width = max(float(np.median(np.concatenate([own, other, between]))), 1e-12)
    first, second, mixed = (np.exp(-distances / width) for distances in (own, other, between))
    terms = first + second - mixed - mixed.T  # symmetric, as every case of one set is beside one of the other
    np.fill_diagonal(terms, 0.0)
    return np.asarray(terms, np.float64)


def spectrum(crop: Array) -> Vectors:
    """Of a crop (S, S, 3): the logarithm of the grey picture's power in rings of growing frequency, then its light in
    coarse squares; (24 + 64,)."""
    grey: Vectors = crop.astype(np.float64).mean(axis=2)
    size = len(grey)
    window = np.outer(np.hanning(size), np.hanning(size))
    power = np.abs(np.fft.fftshift(np.fft.fft2((grey - grey.mean()) * window))) ** 2
    place = np.arange(size) - size // 2
    ring = np.minimum(np.hypot(place[:, None], place[None]) / (size / 2) * _BANDS, _BANDS - 1).astype(int).reshape(-1)
    bands = np.bincount(ring, power.reshape(-1), minlength=_BANDS) / np.maximum(np.bincount(ring, minlength=_BANDS), 1)
    block = size // _COARSE_PX
    coarse = grey[: block * _COARSE_PX, : block * _COARSE_PX].reshape(_COARSE_PX, block, _COARSE_PX, block)
    return np.concatenate([np.log(bands + 1), coarse.mean(axis=(1, 3)).reshape(-1) / 255])


def _of_faces(measurements: Measurements, pairs: Sequence[Pair], by: dict[str, str]) -> Iterator[Figure]:
    seams = [pair.after.seam for pair in pairs if pair.after.seam is not None]
    if seams:
        yield mean("seam", seams, Unit.LEVELS, by=by)
    best: Share | None = None
    for space in (*measurements.judges, SPECTRUM):
        both = [
            (_features(measurements, pair.before, space), _features(measurements, pair.after, space)) for pair in pairs
        ]
        known = [
            (one, two, pair.before.trial.photograph)
            for (one, two), pair in zip(both, pairs, strict=True)
            if one is not None and two is not None
        ]
        if len(known) < _FEWEST:
            continue
        before, after = stacked([one for one, _, _ in known]), stacked([two for _, two, _ in known])
        own = by | {"space": space}
        yield from _distances(before, after, own)
        for name, learner in CLASSIFIERS.items():
            counted = Share(told_apart(learner, before, after, [file for _, _, file in known]), 2 * len(known))
            yield share("told_apart", counted, by=own | {"classifier": name})
            best = counted if best is None or counted.value > best.value else best
    if best is not None:
        yield share("told_apart_best", best, by=by, headline=True)


def _features(measurements: Measurements, face: FaceMeasurement, space: str) -> Array | None:
    if space != SPECTRUM:
        return measurements.array(face, f"embedding.{space}")
    crop = measurements.array(face, "crop")
    return None if crop is None else spectrum(crop)


def _distances(before: Vectors, after: Vectors, by: dict[str, str]) -> Iterator[Figure]:
    scale = before.std(axis=0)
    before, after = (own / np.where(scale > 1e-9, scale, 1.0) / math.sqrt(before.shape[1]) for own in (before, after))
    divisions = _divisions(len(before))
    for kind, other in (("", after), ("_real", before)):
        values = [frechet(before[one], other[two]) for one, two in divisions]
        yield Figure(f"frechet{kind}", float(np.mean(values)), Unit.NUMBER, len(before), by)
        found = [_jackknifed(before[one], other[two]) for one, two in divisions]
        value, error = np.mean(found, axis=0)
        yield Figure(
            f"mmd{kind}", float(value), Unit.NUMBER, len(before), by, value - _NORMAL * error, value + _NORMAL * error
        )


def _divisions(count: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Halves of so many, each half once on either side."""
    random = np.random.default_rng(_SEED)
    orders = [random.permutation(count) for _ in range(_DIVISIONS)]
    halves = [(order[: count // 2], order[count // 2 : count // 2 * 2]) for order in orders]
    return [*halves, *((two, one) for one, two in halves)]


def _jackknifed(a: Vectors, b: Vectors) -> tuple[float, float]:
    """The discrepancy and its standard error, from leaving out one case of both sets at a time."""
    terms, count = mmd_terms(a, b), len(a)
    total = terms.sum()
    without = (total - 2 * terms.sum(axis=1)) / ((count - 1) * (count - 2))
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    return float(total / (count * (count - 1))), error
