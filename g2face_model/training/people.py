"""Generated people, the training data: latents, the picture, its mesh. Unlimited, labelled exactly, nobody's likeness.

A person takes one w for the coarse slots (pose, shape, expression, hair) and another for the fine slots (colours);
a draw (draws.py) says which. Shards are files of 100 people, and making them is resumable.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from g2face_model.landmarks import MeshLandmarker
from g2face_model.networks.generator import COARSE, SLOTS, Generator
from g2face_model.training.draws import Draw
from g2face_model.types import Box, Floats, Image

SHARD = 100
RENDER_PX, STORED_PX = 512, 384
_FACE = Box(110, 110, 400, 440, 1.0)  # where an FFHQ-aligned face lies in RENDER_PX


@dataclass(frozen=True)
class People:
    """N generated people. `coarse`, `fine` (N, 512): the two w; `meshes` (N, 478, 3) in px of the 512 px render;
    `scores` (N,): is it a face; `pictures`: N JPEG files of the 384 px picture."""

    coarse: Floats
    fine: Floats
    meshes: Floats
    scores: Floats
    pictures: list[bytes]

    def __len__(self) -> int:
        return len(self.coarse)

    def picture(self, index: int) -> Image:
        """(384, 384, 3) RGB."""
        decoded = cv2.imdecode(np.frombuffer(self.pictures[index], np.uint8), cv2.IMREAD_COLOR_RGB)
        return np.asarray(decoded, np.uint8)

    def mesh_points(self, index: int) -> Floats:
        """(478, 3) in px of `picture`."""
        ratio = STORED_PX / RENDER_PX
        points: Floats = self.meshes[index] * np.float32(ratio)
        points[:, :2] += 0.5 * ratio - 0.5
        return points


def stack_styles(coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    """Two w (N, 512) -> the 16 slots (N, 16, 512)."""
    return torch.cat(
        [coarse[:, None].expand(-1, COARSE, -1), fine[:, None].expand(-1, SLOTS - COARSE, -1)], 1
    ).contiguous()


def to_pixels(image: torch.Tensor) -> Image:
    """(3, S, S) in [-1, 1] -> (S, S, 3) uint8."""
    scaled = (image.float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().byte().permute(1, 2, 0).contiguous().numpy()


@torch.inference_mode()
def make_shard(
    generator: Generator, landmarker: MeshLandmarker, draw: Draw, shard: int, *, size: int = SHARD
) -> People:
    """Render and measure the people of one shard in bfloat16 (48 dB from float32, half the time).

    The generator's synthesis stays in bfloat16 afterwards.
    """
    coarse, fine = draw(shard, size)
    renderer = generator.synthesis.to(torch.bfloat16)
    meshes, scores, pictures = [], [], []
    for styles in stack_styles(coarse, fine).to(torch.bfloat16):
        pixels = to_pixels(renderer(styles[None], size=RENDER_PX)[0])
        mesh = landmarker.mesh(pixels, _FACE)
        small = cv2.resize(pixels, (STORED_PX, STORED_PX), interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 93])[1]
        meshes.append(mesh.points)
        scores.append(mesh.score)
        pictures.append(encoded.tobytes())
    return People(coarse.numpy(), fine.numpy(), np.stack(meshes), np.array(scores, np.float32), pictures)


def make_people(
    generator: Generator,
    landmarker: MeshLandmarker,
    draw: Draw,
    folder: Path,
    *,
    count: int,
    part: int = 0,
    parts: int = 1,
    size: int = SHARD,
) -> None:
    """Write shards of `size` people until `count` exist; `part` of `parts` lets several processes share the work."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in tqdm(range(part, count // size, parts), desc="people", unit="shard"):
        path = folder / f"{shard:04d}.npz"
        if not path.exists():
            write_shard(path, make_shard(generator, landmarker, draw, shard, size=size))


def write_shard(path: Path, people: People) -> None:
    """Put one shard where `read_people` finds it: whole or not at all."""
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as file:
        np.savez(
            file,
            w1=people.coarse,
            w2=people.fine,
            mesh=people.meshes,
            score=people.scores,
            jpg=np.frombuffer(b"".join(people.pictures), np.uint8),
            off=np.cumsum([0, *map(len, people.pictures)]),
        )
    partial.rename(path)


def _read_shard(path: Path) -> People:
    with np.load(path) as data:
        joined, ends = data["jpg"].tobytes(), data["off"].tolist()
        pictures = [joined[a:b] for a, b in itertools.pairwise(ends)]
        return People(data["w1"], data["w2"], data["mesh"], data["score"].astype(np.float32), pictures)


def read_people(folder: Path, *, only: Path | None = None) -> Iterator[People]:
    """The shards of a folder in order, or only one of them."""
    for path in [only] if only else sorted(folder.glob("[0-9][0-9][0-9][0-9].npz")):
        yield _read_shard(path)
