"""Weights for the networks of G2Face, as the golden manifest fills them: the published ones are not to be had here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from g2face_model.__main__ import main
from g2face_model.networks.official.arcface import ArcFace
from g2face_model.networks.official.coefficients import Coefficients
from g2face_model.weights import WeightStore

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


def write_files(folder: Path) -> list[str]:
    """The three files of the authors, as arguments of `weights import-official`."""
    checkpoint: dict[str, Any] = {module: filled(module) for module in MANIFEST}
    torch.save({**checkpoint, "epoch": 1, "optimizer": {"state": {}}}, folder / "G2Face.pth")
    torch.save(drawn(ArcFace, 1), folder / "ms1mv3_arcface_r50.pth")
    torch.save({"net_recon": drawn(Coefficients, 2)}, folder / "epoch_20.pth")
    arcface, recon = folder / "ms1mv3_arcface_r50.pth", folder / "epoch_20.pth"
    return [str(folder / "G2Face.pth"), "--arcface", str(arcface), "--recon", str(recon)]


def imported(store: WeightStore, folder: Path) -> WeightStore:
    """The pulled weights, and beside them these, handed in as a user would."""
    (folder / "weights").mkdir()
    (folder / "weights" / "sources").symlink_to(store.directory / "sources")
    shutil.copy(store.directory / "index.json", folder / "weights")
    (folder / "weights" / "converted").mkdir()
    for file in (store.directory / "converted").iterdir():
        (folder / "weights" / "converted" / file.name).symlink_to(file)
    assert main(["--weights-dir", str(folder / "weights"), "weights", "import-official", *write_files(folder)]) == 0
    for file in folder.glob("*.pth"):
        file.unlink()
    return WeightStore(folder / "weights")


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
