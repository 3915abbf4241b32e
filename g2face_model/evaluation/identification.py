"""How well a recogniser finds people again, from similarities and embeddings alone.

The attacker gets the benefit of every doubt: thresholds are the lowest ones that keep their promise, and a tie for the
best match counts as a match.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

CONFIDENCE = 0.95
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `total`."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """In 0..1; NaN when there was nothing to count."""
        return self.hits / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies with 95 % confidence (Wilson, "Probable inference, the law of succession, and
        statistical inference", 1927); all of 0..1 when there was nothing to count."""
        return wilson(self.hits, self.total)


def wilson(hits: int, total: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval (low, high) of a share in 0..1; (0, 1) for a total of 0."""
    if not total:
        return 0.0, 1.0
    interval = binomtest(hits, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def threshold_at_far(impostor: ArrayLike, far: float) -> float:
    """The lowest similarity that no more than the share `far` of the impostor pairs (I,) exceed; -inf for no pairs."""
    descending = np.sort(np.asarray(impostor, np.float64))[::-1]
    # The tiny addend guards against products such as 0.29 * 100 that fall just short of the whole number they are.
    allowed = math.floor(far * len(descending) + 1e-9)
    return float(descending[allowed]) if allowed < len(descending) else -math.inf


def tar_at_far(genuine: ArrayLike, impostor: ArrayLike, far: float) -> tuple[float, float]:
    """True accept rate and threshold at a false accept rate: the share of genuine similarities (G,) above
    `threshold_at_far` of the impostors' (I,)."""
    threshold = threshold_at_far(impostor, far)
    return accepted(genuine, threshold).value, threshold


def accepted(similarities: ArrayLike, threshold: float) -> Share:
    """How many similarities (N,) lie above a threshold. One that is no number counts as above."""
    values = np.asarray(similarities, np.float64)
    return Share(int((~(values <= threshold)).sum()), len(values))


def rank_one(probes: ArrayLike, gallery: ArrayLike) -> Share:
    """How many probes (N, D) are most similar to their own row of the gallery (N, D); unit vectors, cosine."""
    return best_matches(np.asarray(probes, np.float64) @ np.asarray(gallery, np.float64).T)


def best_matches(similarities: Values, chosen: NDArray[np.bool_] | None = None) -> Share:
    """How many rows of a square matrix of similarities (N, N), probes by gallery, have their best on the diagonal;
    of all rows, or of the `chosen` (N,) ones."""
    best = similarities.max(axis=1, initial=-math.inf)
    found = ~(similarities.diagonal() < best)
    kept = found if chosen is None else found[chosen]
    return Share(int(kept.sum()), len(kept))


def different(similarities: Values) -> Values:
    """The similarities of different people, (N * (N - 1),), of a square matrix (N, N) with one person per row."""
    return similarities[~np.eye(len(similarities), dtype=bool)]
