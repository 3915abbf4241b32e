"""Which latents are rendered as training people: as the generator draws them, rare looks, and where the mapping leads.

A shard's draw depends on its number (and, for the last two, on the committed mapping) alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from g2face_model.identity import IdentityModel
from g2face_model.networks.generator import COARSE, WIDTH, Generator
from g2face_model.types import Floats

# shard number, people -> their coarse and fine w, (people, 512) each
Draw: TypeAlias = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]
_MEAN_SEED, _SHARD_SEED, _RARE_SEED, _MOVED_SEED = 0, 1000, 2_000_000, 3_000_000
_CROWD = 12_000  # drawn and predicted for every rare shard
_AGES = (25, 35, 48, 60)  # bounds of the bands in years
_RARE_ANCESTRY = 0.4  # probability from which a person counts as of an ancestry
_BARE = 0.92  # predicted share of the face that nothing hides; glasses and fringes are common enough
_LOOKALIKES, _MAX_PUSH = 64, 1.5


def mean_latent(generator: Generator) -> torch.Tensor:
    """(512,): the average w, which the pretrained weights do not store, from 20,000 draws with a fixed seed."""
    draws = torch.randn(20_000, WIDTH, generator=torch.Generator().manual_seed(_MEAN_SEED))
    mean: torch.Tensor = generator.mapping_forward(draws).mean(0)
    return mean


def plain(generator: Generator) -> Draw:
    """Truncation 0.6 to 1.0 for structure, 0.5 to 0.9 for the colours, which are another person's."""
    mean = mean_latent(generator)

    def draw(shard: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        source = torch.Generator().manual_seed(_SHARD_SEED + shard)
        z = torch.randn(2 * count, WIDTH, generator=source)
        truncation = torch.rand(2 * count, 1, generator=source) * 0.4
        offsets = generator.mapping_forward(z) - mean
        return mean + (0.6 + truncation[:count]) * offsets[:count], mean + (0.5 + truncation[count:]) * offsets[count:]

    return draw


def rare(generator: Generator, identities: IdentityModel) -> Draw:
    """People spread evenly over sex, age and ancestry, as far as the generator draws them at all: of a crowd those that
    the predictor places in the emptiest cells, in their own colours."""
    mean = mean_latent(generator)

    def draw(shard: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        source = torch.Generator().manual_seed(_RARE_SEED + shard)
        z = torch.randn(_CROWD, WIDTH, generator=source)
        truncation = 0.7 + 0.3 * torch.rand(_CROWD, 1, generator=source)
        crowd = mean + truncation * (generator.mapping_forward(z) - mean)
        attributes = identities.predicted_attributes(crowd.numpy())
        bare = np.flatnonzero(attributes[:, -1] > _BARE)
        chosen = crowd[bare[spread_evenly(cells(attributes[bare]), count)]]
        return chosen, chosen

    return draw


def cells(attributes: Floats) -> NDArray[np.intp]:
    """Attributes (N, 8) as in networks/mapping.py -> (N,) number of the cell of sex, age band and ancestry."""
    age = np.digitize(attributes[:, 0] * 10, _AGES)
    ancestry = np.where(attributes[:, 2:7].max(1) > _RARE_ANCESTRY, attributes[:, 2:7].argmax(1), 5)
    return np.asarray((ancestry * (len(_AGES) + 1) + age) * 2 + (attributes[:, 1] > 0.5), np.intp)


def spread_evenly(kinds: NDArray[np.intp], count: int) -> list[int]:
    """Rows of `kinds` (N,), one of each kind in turn, the rarest first; at most `count`."""
    members = sorted((np.flatnonzero(kinds == kind).tolist() for kind in np.unique(kinds)), key=len)
    chosen: list[int] = []
    for turn in range(len(kinds)):
        chosen += [rows[turn] for rows in members if turn < len(rows)]
        if len(chosen) >= count:
            break
    return chosen[:count]


def moved(identities: IdentityModel) -> Draw:
    """Where the mapping leads gallery people: into the geometry of a lookalike and away from them, more or less hard.

    Predictors that are trained on these as well are right where the mapping would otherwise profit from their errors.
    """

    def draw(shard: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        chance = np.random.default_rng(_MOVED_SEED + shard)
        donors = chance.integers(len(identities.gallery), size=count)
        others = np.array([chance.choice(identities.gallery.lookalikes(donor, _LOOKALIKES)) for donor in donors])
        styles = identities.moved(donors, others, push=chance.uniform(0, _MAX_PUSH, count).astype(np.float32))
        coarse, fine = styles[:, 0], styles[:, COARSE]
        return torch.from_numpy(coarse.copy()), torch.from_numpy(fine.copy())

    return draw
