"""What belongs to the face in a generated picture, read off the generator's own features without any hand labels.

Features of a generator know what they are about to draw (Zhang et al., "DatasetGAN", 2021). Clustered over many people
they fall apart into forehead, cheeks, eye-nose-mouth, hair, neck, ears, background; which clusters are face is decided
by the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from g2face_model.networks.generator import SLOTS, Generator
from g2face_model.types import Floats, Image

GRID = 64  # side of the label grid
_LEVEL = 3  # the features of 16, 32 and 64 px; they hang on the styles of the slots 0 to 8 only
_COMPONENTS, _CLUSTERS = 48, 16
# Mesh vertices around the face: from the top down its right side in the picture, and up the left.
_RIGHT = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
_LEFT = (148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
OVAL = np.array((*_RIGHT, *_LEFT))


def pixel_features(generator: Generator, w: Tensor) -> Tensor:
    """Style (512,) -> (GRID * GRID, 1536) float32, rows of unit length per level."""
    styles = w.to(next(generator.parameters()).dtype).expand(1, SLOTS, -1)
    levels = generator.synthesis.features(styles, level=_LEVEL)[1:]
    grids = [F.interpolate(F.normalize(x.float(), dim=1), size=GRID, mode="bilinear") for x in levels]
    return torch.cat(grids, 1)[0].flatten(1).T


@dataclass(frozen=True)
class Clusters:
    """Principal components (C, 1536) about `mean` (1536,), centres (K, C); per centre whether it is face, or hair."""

    mean: Tensor
    components: Tensor
    centres: Tensor
    face: Tensor
    hair: Tensor
    softness: float  # squared distance over which membership fades

    def label(self, features: Tensor) -> NDArray[np.uint8]:
        """(GRID * GRID, 1536) -> (2, GRID, GRID) uint8: how much each point is face, and hair, in 1/255."""
        distances = torch.cdist((features - self.mean) @ self.components.T, self.centres).square()
        member = torch.softmax(-distances / self.softness, 1)
        parts = torch.stack([member[:, self.face].sum(1), member[:, self.hair].sum(1)])
        return (parts.reshape(2, GRID, GRID) * 255).round().byte().numpy()


def fit_clusters(features: Tensor, meshes: Floats) -> Clusters:
    """Features (N, GRID * GRID, 1536) float16 and meshes (N, 478, 3) in grid px -> named clusters.

    A cluster is face when most of it lies inside the ovals of the meshes, and hair when, not being face, a good part of
    it lies in the band above them.
    """
    chance = torch.Generator().manual_seed(0)
    some = features.flatten(0, 1)[torch.randperm(features.shape[0] * features.shape[1], generator=chance)[:40_000]]
    some = some.float()
    mean = some.mean(0)
    components = torch.linalg.eigh((some - mean).T @ (some - mean)).eigenvectors[:, -_COMPONENTS:].T.contiguous()
    centres, spread = _k_means((some - mean) @ components.T, chance)
    masks = [_oval_and_band(mesh) for mesh in meshes]
    oval, band = (torch.from_numpy(np.stack(m)).flatten() for m in zip(*masks, strict=True))
    nearest = torch.cat([torch.cdist((x.float() - mean) @ components.T, centres).argmin(1) for x in features])
    size = torch.bincount(nearest, minlength=_CLUSTERS).clamp(min=1)
    face = torch.bincount(nearest[oval], minlength=_CLUSTERS) / size > 0.5
    hair = (torch.bincount(nearest[band], minlength=_CLUSTERS) / size > 0.2) & ~face
    return Clusters(mean, components, centres, face, hair, spread * 0.15)


def _k_means(points: Tensor, chance: torch.Generator) -> tuple[Tensor, float]:
    """(N, C) -> centres (K, C) and the mean squared distance to them; the best of three k-means++ starts."""
    best: tuple[Tensor, float] | None = None
    for _ in range(3):
        centres = points[:1]
        for _ in range(_CLUSTERS - 1):
            gap = torch.cdist(points, centres).amin(1).square()
            centres = torch.cat([centres, points[torch.multinomial(gap, 1, generator=chance)]])
        for _ in range(40):
            nearest = torch.cdist(points, centres).argmin(1)
            total = torch.zeros_like(centres).index_add_(0, nearest, points)
            centres = total / torch.bincount(nearest, minlength=_CLUSTERS).clamp(min=1)[:, None]
        spread = float(torch.cdist(points, centres).amin(1).square().mean())
        if best is None or spread < best[1]:
            best = centres, spread
    assert best is not None  # noqa: S101
    return best


def _oval_and_band(mesh: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks (GRID, GRID) of the inside of the face oval, and of a band of half its height above it."""
    outline = mesh[OVAL, :2]
    low, high = outline.min(0), outline.max(0)
    oval, band = np.zeros((2, GRID, GRID), np.uint8)
    cv2.fillPoly(oval, [np.round(outline).astype(np.int32)], 1)
    top = max(int(low[1]), 0)
    band[max(top - int((high[1] - low[1]) / 2), 0) : top, max(int(low[0]), 0) : int(high[0])] = 1
    return oval.astype(bool), band.astype(bool)


def sharpen(label: NDArray[np.uint8], image: Image) -> Floats:
    """Coarse label (GRID, GRID) uint8 -> (S, S) float32 in 0..1 whose edges follow those of the image (S, S, 3).

    Colour-guided filter (He, Sun and Tang, "Guided image filtering", 2013, section 3.5) on the enlarged label.
    """
    size = image.shape[0]
    coarse = cv2.resize(label, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    guide = image.astype(np.float32) / 255
    radius = max(2, round(size / GRID * 1.4))
    window = (2 * radius + 1, 2 * radius + 1)
    mean, mean_label = cv2.blur(guide, window), cv2.blur(coarse, window)
    pairs = guide[..., :, None] * guide[..., None, :]
    covariance = cv2.blur(pairs.reshape(size, size, 9), window).reshape(size, size, 3, 3)
    covariance = covariance - mean[..., :, None] * mean[..., None, :] + np.eye(3, dtype=np.float32) * 4e-4
    cross = cv2.blur(guide * coarse[..., None], window) - mean * mean_label[..., None]
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = mean_label - (slope * mean).sum(-1)
    soft = (cv2.blur(slope, window) * guide).sum(-1) + cv2.blur(offset, window)
    sharp: Floats = np.clip((soft - 0.5) * 2.0 + 0.5, 0, 1).astype(np.float32)
    return sharp
