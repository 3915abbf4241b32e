"""What a fused face is to be: someone else, in the original's geometry and surroundings, and like a photograph.

After G2Face (arXiv 2408.09458, section III-D), with the networks that this project has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2face_model.alignment import Matrix, invert
from g2face_model.importers.tflite import graph
from g2face_model.landmarks import mesh_matrix
from g2face_model.networks.graph import GraphNetwork
from g2face_model.recognition import TorchRecogniser, caffe_levels
from g2face_model.types import FaceMesh
from g2face_model.weights import WeightStore

JUDGE = "dlib"  # takes no part in training
_FACE_WEIGHT = 3.0
_STAGES, _KEPT = (3, 7, 11), 12  # nodes of faceres: the features of 112, 56 and 28 px
_FEATURES_PX, _MESH_PX = 224, 192
_OUTER_CORNERS = (33, 263)  # of the eyes


class FeatureDistance(nn.Module):
    """Mean L1 distance of the unit-length features of faceres' first layers: (N, 3, 256, 256) twice, in [-1, 1] -> ().

    A perceptual loss (Johnson, Alahi and Fei-Fei, 2016; Zhang et al., 2018, eq. 1) on another network than theirs, so
    it is not called by their names.
    """

    def __init__(self, store: WeightStore) -> None:
        super().__init__()
        nodes = json.loads(store.metadata("faceres")["graph"])["nodes"]
        first = {"nodes": nodes[:_KEPT], "outputs": {str(index): index for index in _STAGES}}
        tensors = {k: v for k, v in store.tensors("faceres").items() if int(k.split(".")[1]) < _KEPT}
        self.network = GraphNetwork(json.dumps(first), tensors).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor, wanted: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self._features(wanted)
        pairs = zip(self._features(pictures), targets, strict=True)
        return torch.stack([(a - b).abs().sum(1).mean() for a, b in pairs]).mean()

    def _features(self, pictures: Tensor) -> list[Tensor]:
        small = F.interpolate(pictures, size=_FEATURES_PX, mode="bilinear", antialias=True)
        levels = caffe_levels((small + 1) / 2)
        return [F.normalize(x, dim=1) for x in self.network(levels).values()]


class MeshDistance(nn.Module):
    """Mean distance of the face meshes of pictures (N, 3, 256, 256) and of their answers, over the distance between
    the outer corners of the eyes: () (the paper's landmark loss, with 468 points for 68). `meshes` say where to look.

    The mesh network is the engine's own, as torch.
    """

    def __init__(self, store: WeightStore) -> None:
        super().__init__()
        arrays, description = graph(store.file("face_mesh.tflite"), {"points": 0})
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self.network = GraphNetwork(description, tensors).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor, wanted: Tensor, meshes: Sequence[FaceMesh]) -> Tensor:
        matrices = [mesh_matrix(mesh.points) for mesh in meshes]
        with torch.no_grad():
            targets = self._points(wanted, matrices)
        unit = (targets[:, _OUTER_CORNERS[0]] - targets[:, _OUTER_CORNERS[1]]).norm(dim=1)
        distances = (self._points(pictures, matrices) - targets).norm(dim=2).mean(1)
        distance: Tensor = (distances / unit.clamp_min(1.0)).mean()
        return distance

    def _points(self, pictures: Tensor, matrices: Sequence[Matrix]) -> Tensor:
        """(N, 468, 2) in px of the crops."""
        faces = crops((pictures + 1) / 2, matrices, size=_MESH_PX)
        points: Tensor = self.network(faces)["points"].reshape(len(pictures), -1, 3)[..., :2]
        return points


def crops(pictures: Tensor, matrices: Sequence[Matrix], *, size: int) -> Tensor:
    """Differentiable crops of pictures (N, C, S, S) by N matrices picture px -> crop px: (N, C, size, size)."""
    side = pictures.shape[-1]
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    pixels = torch.stack([columns, rows, torch.ones_like(rows)], -1).float()  # (size, size, 3): x, y, 1
    back = torch.from_numpy(np.stack([invert(matrix) for matrix in matrices])).float()
    places = torch.einsum("hwk,njk->nhwj", pixels, back)
    return F.grid_sample(pictures, (2 * places + 1) / side - 1, padding_mode="reflection", align_corners=False)


def embed(recogniser: TorchRecogniser, pictures: Tensor, meshes: Sequence[FaceMesh]) -> Tensor:
    """Pictures (N, 3, S, S) in [-1, 1] with their meshes -> unit vectors (N, D), differentiable."""
    matrices = [recogniser.matrix(mesh) for mesh in meshes]
    faces = crops((pictures + 1) / 2, matrices, size=recogniser.size)
    return recogniser.embed_crops(faces.clamp(0, 1))


def identity_loss(found: Tensor, original: Tensor, virtual: Tensor, *, aim: float, same: Tensor) -> Tensor:
    """Towards the virtual identity and away from the original (section III-D, identity losses), per face (N, D):
    1 - cos(found, virtual) + max(0, cos(found, original) - aim), the latter not where both are the `same` (N,)."""
    towards = 1 - (found * virtual).sum(1)
    alike = F.relu((found * original).sum(1) - aim) * (1 - same)
    return (towards + alike).mean()


def pixel_loss(pictures: Tensor, wanted: Tensor, face: Tensor) -> Tensor:
    """Mean L1 distance of pictures (N, 3, S, S), where `face` (N, 1, S, S) four times as heavy."""
    return ((pictures - wanted).abs() * (1 + _FACE_WEIGHT * face)).mean()


def mask_loss(masks: Sequence[Tensor], face: Tensor, *, same: Tensor) -> Tensor:
    """How far masks (N, G, R, R) are, on average over their groups, from what of the face is seen (N, 1, S, S): whoever
    is someone else gets nothing of the original's fine features. () over those that are not the `same` (N,)."""
    gaps = []
    for mask in masks:
        seen = F.interpolate(face, size=mask.shape[-1], mode="area")
        gaps.append((mask.float().mean(1, keepdim=True) - seen).abs().mean((1, 2, 3)))
    others = 1 - same
    loss: Tensor = (torch.stack(gaps).mean(0) * others).sum() / others.sum().clamp_min(1.0)
    return loss


def generator_loss(logits: Tensor) -> Tensor:
    """Non-saturating (Goodfellow et al., 2014, section 3)."""
    return F.softplus(-logits).mean()


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(made).mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """R1: half the mean squared gradient at photographs (Mescheder, Geiger and Nowozin, 2018, eq. 9)."""
    real = real.detach().requires_grad_()
    score = discriminator(real).mean((1, 2, 3)).sum()
    (slope,) = torch.autograd.grad(score, real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum of all terms, each times its weight."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
