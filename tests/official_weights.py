"""Weights for the networks of G2Face, as the golden manifest fills them: the published ones are not to be had here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
GOLDEN = Path(__file__).with_name("golden")
MANIFEST: dict[str, dict[str, dict[str, Any]]] = json.loads((GOLDEN / "g2face_official_v1.json").read_bytes())


def filled(module: str) -> dict[str, Tensor]:
    """The state dict of one module of the checkpoint."""
    return {name: _tensor(entry) for name, entry in MANIFEST[module].items()}


def loaded(network: type[Network], module: str) -> Network:
    """The network with these weights, for inference. Strict."""
    with torch.device("meta"):
        made = network()
    made.load_state_dict(filled(module), assign=True)
    return made.eval().requires_grad_(False)


def drawn(network: type[nn.Module], seed: int) -> dict[str, Tensor]:
    """A state dict for a network without a manifest: small weights, norms that change little."""
    with torch.device("meta"):
        names = network().state_dict()
    chance = np.random.default_rng(seed)
    return {name: _plausible(name, empty, chance) for name, empty in names.items()}


def _plausible(name: str, empty: Tensor, chance: np.random.Generator) -> Tensor:
    if empty.dtype == torch.int64:
        return torch.zeros(empty.shape, dtype=torch.int64)
    if empty.dim() > 1:
        spread = empty[0].numel() ** -0.5
        return torch.from_numpy(chance.standard_normal(empty.shape, np.float32) * np.float32(spread))
    if name.endswith("running_var"):
        return torch.ones(empty.shape)
    centre = 1.0 if name.endswith("weight") else 0.0
    return torch.from_numpy((centre + 0.05 * chance.standard_normal(empty.shape)).astype(np.float32))


def _tensor(entry: dict[str, Any]) -> Tensor:
    shape, fill = entry["shape"], entry.get("fill", {})
    if "normal" in fill:
        normal = fill["normal"]
        values = np.random.default_rng(normal["seed"]).standard_normal(shape) * normal["std"] + normal["mean"]
    else:
        values = np.full(shape, fill["constant"]) if fill else np.array(entry["fixed"])
    return torch.from_numpy(np.asarray(values.astype(entry["dtype"])))
