"""Make the gallery: from described people keep those whose face is bare and well found, spread over tones and ages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from g2face_model.geometry import GeometryModel
from g2face_model.training.description import read_descriptions
from g2face_model.types import FaceMesh, Floats

_MIN_SCORE, _MIN_VISIBLE = 0.99, 0.9
_MAX_YAW, _MAX_PITCH = 30.0, 25.0
_BINS = 12  # of lightness; each gets the same number of places, so that rare skin tones are not rare in the gallery


def choose_members(candidates: Floats, *, size: int, seed: int = 0) -> list[int]:
    """Rows of `candidates` (N,), lightness of the skin, so that each of the bins between the darkest and the lightest
    fills about the same number of places; what a bin cannot fill goes to the others."""
    edges = np.linspace(np.quantile(candidates, 0.005), np.quantile(candidates, 0.995), _BINS + 1)[1:-1]
    order = np.random.default_rng(seed).permutation(len(candidates))
    queues = [[int(row) for row in order if np.digitize(candidates[row], edges) == k] for k in range(_BINS)]
    members: list[int] = []
    while len(members) < min(size, len(candidates)):
        for queue in queues:
            if queue and len(members) < size:
                members.append(queue.pop())
    return sorted(members)


def make_gallery(
    folder: Path, geometry: GeometryModel, *, mean: Floats, spread: Floats, size: int
) -> dict[str, Tensor]:
    """-> tensors of the part "gallery", in half precision. `mean` and `spread` (512,) standardise latents, as the
    mapping was trained with them."""
    rows = []
    for people, _, described in read_descriptions(folder):
        for i in range(len(people)):
            face = geometry.derive(FaceMesh(people.meshes[i], 1.0), described.expressions[i])
            bare = people.scores[i] > _MIN_SCORE and described.visible[i] > _MIN_VISIBLE
            if not bare or abs(face.angles[0]) > _MAX_YAW or abs(face.angles[1]) > _MAX_PITCH:
                continue
            rows.append({
                "latents": (people.coarse[i] - mean) / spread,
                "colours": people.fine[i],
                "conditions": face.condition,
                "ages": described.ages[i],
                "masculinity": described.masculinity[i],
                "ancestry": described.ancestry[i],
                "tones": described.tones[i],
            })  # fmt: skip
    members = choose_members(np.array([row["tones"][:8, 0].mean() for row in rows]), size=size)
    return {name: torch.from_numpy(np.stack([rows[k][name] for k in members]).astype(np.float16)) for name in rows[0]}
