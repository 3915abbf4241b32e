"""Which generated people wear glasses: a linear probe of the latent, first from a look at 300 people, then from what a
parser finds on all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from g2face_model.training.people import People
from g2face_model.types import Floats

# Seen with the eye: who wears glasses among the people of shards 0, 1 and 2, and whose case is not clear.
WEARERS = {
    0: (2, 3, 12, 27, 33, 35, 38, 51, 56, 58, 62, 69, 76, 77, 79, 82, 94, 99),
    1: (4, 7, 13, 14, 17, 18, 21, 29, 33, 35, 40, 41, 48, 49, 84, 89),
    2: (21, 24, 27, 34, 38, 46, 47, 48, 56, 67, 71, 72, 76, 80, 99),
}
_UNCLEAR = {0: (95, 19), 1: (92, 94, 36, 96), 2: (19,)}
_BARE_BELOW = -3.0  # log-odds under which the first probe was never seen to be wrong
_FRAME_SHARE = 0.004  # of the picture: the thinnest complete frame
_SPECK_SHARE = 0.0008
_LEAN = 8.0  # thin rims are missed by the parser; better nine bare faces in a hundred left out than one wearer kept
BARE, WEARS, UNKNOWN = 0, 1, -1


@dataclass(frozen=True)
class Probe:
    """A linear score of a coarse w; positive: wears glasses."""

    weight: Floats
    bias: float

    def score(self, coarse: Floats) -> Floats:
        """(N, 512) -> (N,) log-odds."""
        return np.asarray(coarse @ self.weight + self.bias, np.float32)

    def guess(self, coarse: Floats) -> NDArray[np.int8]:
        """(N, 512) -> (N,) BARE where that is sure, UNKNOWN elsewhere."""
        return np.where(self.score(coarse) < _BARE_BELOW, BARE, UNKNOWN).astype(np.int8)


def fit_probe(coarse: Floats, wears: NDArray[np.bool_], *, decay: float, lean: float = 1.0) -> Probe:
    """Logistic regression of (N,) on (N, 512) with weight decay; a missed wearer costs `lean` times a false one."""
    x, y = torch.from_numpy(coarse).float(), torch.from_numpy(wears).float()
    mean, spread = x.mean(0), x.std()
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        logits = ((x - mean) / spread) @ weight + bias
        loss = (
            F.binary_cross_entropy_with_logits(logits, y, pos_weight=torch.tensor(lean)) + decay * weight.square().sum()
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    scaled = (weight / spread).detach()
    return Probe(scaled.numpy(), float((bias - mean @ scaled).detach()))


def probe_from_sight(people: dict[int, People]) -> Probe:
    """From the shards that were looked at; `people` maps their numbers to them."""
    rows, wears = [], []
    for shard, wearers in WEARERS.items():
        keep = [i for i in range(len(people[shard])) if i not in _UNCLEAR[shard]]
        rows.append(people[shard].coarse[keep])
        wears += [i in wearers for i in keep]
    return fit_probe(np.concatenate(rows), np.array(wears), decay=0.02)


def overrule(shard: int, shares: Floats) -> Floats:
    """Shares of glasses (N,) of a shard, corrected where its people were looked at."""
    if shard not in WEARERS:
        return shares
    corrected = np.zeros_like(shares)
    corrected[list(WEARERS[shard])] = 1.0
    corrected[list(_UNCLEAR[shard])] = (_FRAME_SHARE + _SPECK_SHARE) / 2
    return corrected


def probe_from_shares(coarse: Floats, shares: Floats) -> Probe:
    """From the share (N,) of each person's picture that a parser takes for glasses; half-seen frames are skipped."""
    clear = (shares > _FRAME_SHARE) | (shares < _SPECK_SHARE)
    return fit_probe(coarse[clear], shares[clear] > _FRAME_SHARE, decay=0.01, lean=_LEAN)


def judge(shares: Floats, scores: Floats) -> NDArray[np.int8]:
    """(N,) BARE or WEARS where parser and probe agree, UNKNOWN elsewhere."""
    wears = (shares > _FRAME_SHARE) & (scores > 0)
    bare = (shares < _SPECK_SHARE) & (scores < 0)
    return np.where(wears, WEARS, np.where(bare, BARE, UNKNOWN)).astype(np.int8)
