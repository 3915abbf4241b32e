"""Make the gallery: of described people those whose face is bare and well found, spread evenly over their looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2face_model.geometry import GeometryModel
from g2face_model.training.description import read_descriptions
from g2face_model.training.draws import cells, spread_evenly
from g2face_model.types import FaceMesh, Floats

_MIN_SCORE, _MIN_VISIBLE = 0.99, 0.9
_MAX_YAW, _MAX_PITCH = 30.0, 25.0
_TONES = (40.0, 50.0, 60.0, 70.0)  # bounds of the bands of lightness


def choose_members(kinds: NDArray[np.intp], *, size: int, seed: int = 0) -> list[int]:
    """Rows of `kinds` (N,), so that each kind of looks fills about the same number of places; what a kind cannot fill
    goes to the others. Rare looks are so not rare in the gallery."""
    order = np.random.default_rng(seed).permutation(len(kinds))
    return sorted(order[spread_evenly(kinds[order], size)].tolist())


def make_gallery(*folders: Path, geometry: GeometryModel, mean: Floats, spread: Floats, size: int) -> dict[str, Tensor]:
    """-> tensors of the part "gallery", in half precision. `mean` and `spread` (512,) standardise latents, as the
    mapping was trained with them."""
    rows = []
    for people, _, described in read_descriptions(*folders):
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
    members = choose_members(_kinds(rows), size=size)
    return {name: torch.from_numpy(np.stack([rows[k][name] for k in members]).astype(np.float16)) for name in rows[0]}


def _kinds(rows: list[dict[str, Floats]]) -> NDArray[np.intp]:
    """(N,): sex, age band, ancestry and band of lightness in one number."""
    looks = np.array([[row["ages"] / 10, row["masculinity"], *row["ancestry"], 1.0] for row in rows], np.float32)
    lightness = [row["tones"][:8, 0].mean() for row in rows]
    return np.asarray(cells(looks) * (len(_TONES) + 1) + np.digitize(lightness, _TONES), np.intp)
