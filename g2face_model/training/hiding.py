"""Train the networks that hide bits in a face and read them back, on generated people and what files do to pictures.

A sample is a person in a photograph of some size and angle. The crop is taken from it as the engine takes it, the
residual goes back into the photograph under a mask, the photograph is rounded or becomes a JPEG, and the crop that the
extractor sees is cut a little beside the first, as a landmarker would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from g2face_model import masks
from g2face_model.networks.hiding import BITS, CELL, GRID, SIZE, Extractor, Hider
from g2face_model.training.jpeg import jpeg, rounded
from g2face_model.training.people import STORED_PX, People, read_people
from g2face_model.training.runs import Average, Chance, Run
from g2face_model.types import FaceMesh, Image
from g2face_model.weights import TRAINED, save_trained

CELLS = 255  # that carry something: the length of a code word over bytes
_FOREHEAD = 0.25  # as the engine replaces a face
_CHECKPOINT_EVERY = 50  # steps
_SURELY_A_FACE = 0.9
_COVERED, _FULLY = 0.3, 0.7  # share of a cell under the mask from which it counts, and fully


@dataclass(frozen=True, slots=True)
class HidingConfig:
    """`native_px`: range of the side that the face's crop has in the photograph; `psnr_db`: of the residual over the
    mask; `shift_px`, `turn_degrees`, `stretch`: standard deviations of how far the second crop is beside the first, in
    px of the crop; `quality`: range of JPEG's; `files`: how often a sample becomes a JPEG."""

    steps: int
    batch: int
    learning_rate: float = 5e-4
    average: float = 0.99  # of the weights that are kept
    native_px: tuple[int, int] = (208, 400)
    psnr_db: tuple[float, float] = (36.5, 38.5)
    shift_px: float = 0.3
    turn_degrees: float = 0.15
    stretch: float = 0.0025
    quality: tuple[int, int] = (75, 97)
    files: float = 0.7
    seed: int = 0


CONFIGS: Mapping[str, HidingConfig] = {
    "smoke": HidingConfig(
        steps=40, batch=2, learning_rate=4e-3, average=0.8, psnr_db=(37.0, 37.0), native_px=(256, 288)
    ),
    "cpu": HidingConfig(steps=2000, batch=4),
}


@dataclass(frozen=True)
class Hosts:
    """Faces to hide in: N pictures (384, 384, 3) as FFHQ aligns them, and per picture what of it an engine would
    replace, (256, 256) uint8; `cells` (255,): which of the 32 x 32 cells carry something."""

    pictures: list[Image]
    masks: list[Image]
    cells: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def template(self) -> Tensor:
        """(1, 1, GRID, GRID): 1 for the cells that carry something."""
        grid = torch.zeros(GRID * GRID)
        grid[torch.from_numpy(self.cells)] = 1
        return grid.view(1, 1, GRID, GRID)


def gather(folder: Path) -> tuple[Hosts, Hosts]:
    """Every generated person who is a face, the last shard apart, and the cells that most of their masks cover."""
    shards = []
    for people in read_people(folder):
        faces = [int(index) for index in np.flatnonzero(people.scores > _SURELY_A_FACE)]
        shards.append(([people.picture(index) for index in faces], [replaced(people, index) for index in faces]))
    if len(shards) == 1:
        shards = shards * 2  # too few to hold any out
    covers = [mask for _, masks in shards[:-1] for mask in masks]
    coverage = np.mean([cv2.resize(mask, (GRID, GRID), interpolation=cv2.INTER_AREA) for mask in covers], axis=0)
    cells = np.sort(np.argsort(-coverage.ravel(), kind="stable")[:CELLS])
    seen = Hosts([picture for pictures, _ in shards[:-1] for picture in pictures], covers, cells)
    return seen, Hosts(*shards[-1], cells)


def replaced(people: People, index: int) -> Image:
    """(256, 256) uint8: a soft mask of what of this person the engine would replace."""
    ratio = SIZE / STORED_PX
    points = people.mesh_points(index) * np.float32(ratio)
    points[:, :2] += 0.5 * ratio - 0.5
    outline = masks.outline_mask(FaceMesh(points, 1.0), SIZE, forehead=_FOREHEAD)
    return np.asarray(cv2.GaussianBlur(cv2.erode(outline, np.ones((5, 5))), (0, 0), 2) * 255, np.uint8)


class Pair(nn.Module):
    """The two networks that belong together."""

    def __init__(self) -> None:
        super().__init__()
        self.hider, self.extractor = Hider(), Extractor()


@dataclass(frozen=True, slots=True)
class Sample:
    """A batch before it is published: photographs (N, 3, P, P) in 0..1, where the crop's pixels lie in them and where
    theirs lie in the crop (N, 2, 3 each, in the units of `affine_grid`), masks (N, 1, 256, 256), bits
    (N, 8, 32, 32) of -1, 1, and 0 where there are none."""

    photographs: Tensor
    to_crop: Tensor
    to_photograph: Tensor
    masks: Tensor
    bits: Tensor

    def crops(self) -> Tensor:
        return resample(self.photographs, self.to_crop, SIZE)

    def published(self, residual: Tensor) -> Tensor:
        """The photographs with a residual (N, 3, 256, 256) added, not yet rounded."""
        side = self.photographs.shape[-1]
        return (self.photographs + resample(residual, self.to_photograph, side, padding="zeros")).clamp(0, 1)

    def weights(self) -> Tensor:
        """(N, 1, 32, 32): how much each cell counts."""
        share = (F.avg_pool2d(self.masks, CELL) - _COVERED) / (_FULLY - _COVERED)
        return share.clamp(0, 1) * self.bits[:, :1].abs()


def resample(pictures: Tensor, matrix: Tensor, side: int, *, padding: str = "reflection") -> Tensor:
    grid = F.affine_grid(matrix, [len(pictures), 3, side, side], align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def similarity(angle: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(N, 3, 3) from angles (N,) in radians, scales (N,) and shifts (N, 2)."""
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
    last = torch.tensor([0.0, 0.0, 1.0]).expand(len(angle), 3)
    return torch.stack([*rows, last], 1)


def draw(hosts: Hosts, config: HidingConfig, chance: Generator) -> Sample:
    """A batch of one photograph size."""
    count, side = config.batch, 16 * int(chance.integers(config.native_px[0] // 16, config.native_px[1] // 16 + 1))
    rows = chance.integers(len(hosts), size=count)
    stored = torch.from_numpy(np.stack([_as_photographed(hosts.pictures[row], chance) for row in rows]))
    covers = torch.from_numpy(np.stack([_occluded(hosts.masks[row], chance) for row in rows]))[:, None].float() / 255
    if chance.random() < 0.5:
        stored, covers = stored.flip(2), covers.flip(3)
    angle = torch.from_numpy(chance.normal(0, math.radians(8), count)).float()
    shift = torch.from_numpy(chance.uniform(-1 / side, 1 / side, (count, 2))).float()  # a half pixel
    pose = similarity(angle, torch.ones(count), shift)  # of the crop in the photograph
    back = torch.linalg.inv(pose)
    photographs = rounded(resample(stored.permute(0, 3, 1, 2).float(), back[:, :2], side).clamp(0, 255)) / 255
    bits = torch.from_numpy(chance.integers(0, 2, (count, BITS, GRID, GRID))).float() * 2 - 1
    return Sample(photographs, pose[:, :2], back[:, :2], covers, bits * hosts.template)


def _as_photographed(picture: Image, chance: Generator) -> Image:
    """Another light, another camera."""
    levels = picture.astype(np.float32) / 255
    if chance.random() < 0.1:
        levels = np.repeat(levels.mean(2, keepdims=True), 3, 2)
    sharpness = chance.uniform(-1, 2)  # real skin has more texture than the generator's
    blurred = np.asarray(cv2.GaussianBlur(levels, (0, 0), chance.uniform(0.7, 2.0)), np.float32)
    levels = levels + np.float32(max(sharpness, -0.7)) * (levels - blurred)
    levels = np.clip(levels, 0, 1) ** chance.uniform(0.7, 1.6) * chance.uniform(0.6, 1.1)
    if chance.random() < 0.5:
        levels = levels + chance.normal(0, chance.uniform(0, 0.02), levels.shape)
    return np.clip(levels * 255, 0, 255).astype(np.uint8)


def _occluded(mask: Image, chance: Generator) -> Image:
    """Something in front of the face, in a third of the cases."""
    if chance.random() < 0.67:
        return mask
    mask = mask.copy()
    centre = tuple(int(place) for place in chance.integers(60, 200, 2))
    axes = tuple(int(length) for length in chance.integers(10, 50, 2))
    cv2.ellipse(mask, centre, axes, float(chance.uniform(0, 180)), 0, 360, 0, -1)
    return mask


def misplaced(sample: Sample, config: HidingConfig, chance: Generator) -> Tensor:
    """(N, 2, 3): a crop a little beside the sample's."""
    count = len(sample.photographs)
    error = similarity(
        torch.from_numpy(chance.normal(0, math.radians(config.turn_degrees), count)).float(),
        torch.from_numpy(1 + chance.normal(0, config.stretch, count)).float(),
        torch.from_numpy(chance.normal(0, config.shift_px * 2 / SIZE, (count, 2))).float(),
    )
    whole = torch.cat([sample.to_crop, torch.tensor([[[0.0, 0.0, 1.0]]]).expand(count, 1, 3)], 1)
    return (whole @ error)[:, :2]


def filed(photographs: Tensor, config: HidingConfig, chance: Generator) -> Tensor:
    """What a reader finds in the file."""
    if chance.random() >= config.files:
        return rounded(photographs * 255) / 255
    low, high = config.quality
    return jpeg(photographs, quality=int(chance.integers(low, high + 1)), subsampled=bool(chance.random() < 0.5))


def read_back(pair: Pair, sample: Sample, config: HidingConfig, chance: Generator) -> tuple[Tensor, Tensor]:
    """Logits (N, 8, 32, 32) of the bits after the whole way, and the residuals (N, 3, 256, 256)."""
    crops = sample.crops()
    wanted = torch.from_numpy(chance.uniform(*config.psnr_db, (len(crops), 1, 1, 1))).float()
    channels_last = {"memory_format": torch.channels_last}
    with torch.autocast("cpu", torch.bfloat16):
        residual = pair.hider(crops.contiguous(**channels_last), sample.bits, sample.masks, psnr_db=wanted)
    found = filed(sample.published(residual), config, chance)
    seen = resample(found, misplaced(sample, config, chance), SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        logits = pair.extractor(seen.contiguous(**channels_last))
    return logits.float(), residual


def loss_of(logits: Tensor, sample: Sample) -> Tensor:
    """Cross-entropy of the bits in cells that are under the mask."""
    weights = sample.weights()
    entropy = F.binary_cross_entropy_with_logits(logits, (sample.bits > 0).float(), reduction="none")
    return (entropy * weights).sum() / (weights.sum() * BITS).clamp(min=1)


def accuracy_of(logits: Tensor, sample: Sample) -> tuple[float, float]:
    """Share of bits, and of cells with all their bits, that are read right where the mask covers the cell."""
    right = (logits > 0) == (sample.bits > 0)
    counted = (sample.weights() == 1)[:, 0]
    return float(right.float().mean(1)[counted].mean()), float(right.all(1)[counted].float().mean())


def fit(hosts: Hosts, config: HidingConfig, folder: Path, *, start: Pair | None = None) -> Pair:
    """A trained pair, the running average of its weights. Goes on from the checkpoint in the folder if there is one,
    else from `start`."""
    chance = Chance(config.seed)
    pair = (start or Pair()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(dict(pair.named_parameters()), keep=config.average)
    optimizer = torch.optim.Adam(pair.parameters(), lr=config.learning_rate, betas=(0.9, 0.98))
    run = Run(folder, {"pair": pair, "average": average, "optimizer": optimizer, "chance": chance})
    for step in tqdm(range(run.resume(), config.steps), desc="hiding", mininterval=20):
        rate = min(1, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / config.steps)) + 0.01
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate
        sample = draw(hosts, config, chance.numpy)
        logits, _ = read_back(pair, sample, config, chance.numpy)
        loss = loss_of(logits, sample)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        optimizer.step()
        average.update(dict(pair.named_parameters()))
        if (step + 1) % _CHECKPOINT_EVERY == 0 or step + 1 == config.steps:
            bits, cells = accuracy_of(logits, sample)
            run.log(step + 1, {"loss": loss.item(), "bits": bits, "cells": cells})
            run.save(step + 1)
    trained = Pair()
    trained.load_state_dict(average.values)
    return trained.eval()


@torch.inference_mode()
def measure(pair: Pair, hosts: Hosts, config: HidingConfig, *, batches: int = 12) -> dict[str, float]:
    """Mean share of bits and of cells read right, after files of all kinds."""
    chance = np.random.default_rng(config.seed + 1)
    found = []
    for _ in range(batches):
        sample = draw(hosts, config, chance)
        found.append(accuracy_of(read_back(pair, sample, config, chance)[0], sample))
    bits, cells = np.mean(found, axis=0)
    return {"bits": float(bits), "cells": float(cells)}


def train(people: Path, *, config: HidingConfig, keep: bool) -> dict[str, float]:
    """Train on a folder of people, the last shard held out, measure, and with `keep` save as "hiding"."""
    hosts, held_out = gather(people)
    pair = fit(hosts, config, people / "hiding")
    figures = measure(pair, held_out, config)
    if keep:
        save(pair, hosts, metadata={"steps": str(config.steps), **{k: f"{v:.4f}" for k, v in figures.items()}})
    return figures


def save(pair: Pair, hosts: Hosts, *, metadata: Mapping[str, str], folder: Path = TRAINED) -> None:
    """Both networks in half precision, and the cells."""
    tensors = {name: tensor.half() for name, tensor in pair.state_dict().items()}
    tensors["cells"] = torch.from_numpy(hosts.cells.astype(np.int16))
    save_trained("hiding", tensors, metadata={"people": str(len(hosts)), **metadata}, folder=folder)
