"""Symbols <-> the pixels of a face: hides what a `hidden_payload.HiddenKey` sealed, and reads it from any copy.

A face's crop is cut by its whole mesh, which moves a little when pixels change. So the reader looks for the crop in
which the bits are clearest: they are blurred by every pixel of misplacement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2face_model.alignment import (
    Matrix,
    Points,
    compose,
    ffhq_matrix,
    invert,
    scale_of,
    square_matrix,
    transform,
    warp,
)
from g2face_model.compositing import Patch
from g2face_model.geometry import SURFACE, GeometryModel
from g2face_model.landmarks import MeshLandmarker, sixty_eight
from g2face_model.networks.hiding import BITS, GRID, SIZE, Extractor, Hider
from g2face_model.recognition import fit_similarity
from g2face_model.types import FaceMesh, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

MIN_CROP_PX = 208.0
"""The smallest crop, in px of the photograph, that the networks were trained for: eyes about 52 px apart."""
_SETTLE = 2  # looks at the landmarks, until they do not depend on where the face was first found
_EDGE_PX, _FEATHER_PX = 5, 2  # of the crop, inside the mask
# The reader's steps beside the landmarks' crop: px along both axes, radians, share of the size; and how often halved.
_STEPS = np.array([0.8, 0.8, 0.008, 0.008])
_HALVINGS, _MAX_ROUNDS = 3, 24
_CLEAR = 6.0  # logits above this say no more
_STRONGER_DB = (0.0, 1.5, 3.0)  # where the first strength says too little, in rough or half hidden faces
_READABLE = 88  # symbols wrong in the crop itself from which a reader, whose crop is worse, cannot be sure


@dataclass(frozen=True, slots=True)
class Reading:
    """What a face seems to carry: a symbol per cell, and how doubtful each is, in 0..1."""

    symbols: bytes
    doubts: Floats


class FaceHiding:
    """The pair trained by `training/hiding.py`. Reads "hiding" from the store and raises its `WeightsError`."""

    def __init__(self, store: WeightStore, landmarker: MeshLandmarker, *, psnr_db: float) -> None:
        tensors = {name: tensor for name, tensor in store.tensors("hiding").items() if name != "cells"}
        self._cells = store.tensors("hiding")["cells"].long().numpy()
        self._hider, self._extractor = Hider(), Extractor()
        for name, network in (("hider.", self._hider), ("extractor.", self._extractor)):
            network.load_state_dict({k.removeprefix(name): v.float() for k, v in tensors.items() if k.startswith(name)})
            network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._landmarker, self._psnr_db = landmarker, psnr_db
        self._template = _template(GeometryModel.load(store).mean)

    @torch.inference_mode()
    def hide(self, image: Image, patch: Patch, mesh: FaceMesh, symbols: bytes) -> Patch:
        """The patch for the photograph `image` with the symbols in its pixels; `mesh` is the face's, about.

        Nothing changes outside the patch's mask. A face whose crop is smaller than `MIN_CROP_PX` stays as it is.
        """
        changed = image.copy()
        patch.apply(changed)
        matrix = self._matrix(changed, mesh)
        if SIZE / scale_of(matrix) < MIN_CROP_PX:
            return patch
        left, top = patch.rectangle[:2]
        to_crop = compose(matrix, np.array([[1.0, 0.0, left], [0.0, 1.0, top]]))
        mask = _soft(warp(patch.mask.astype(np.float32), to_crop, (SIZE, SIZE), border=cv2.BORDER_CONSTANT))
        crop, bits = _planes(warp(changed, matrix, (SIZE, SIZE))), self._bits(symbols)
        written = np.frombuffer(symbols, np.uint8)
        for stronger_db in _STRONGER_DB:
            psnr_db = self._psnr_db - stronger_db
            residual = self._hider(crop, bits, torch.from_numpy(mask)[None, None], psnr_db=psnr_db)
            hidden = _add(patch, residual, to_crop)
            hidden.apply(changed)
            (_, reading), *_ = self._look(changed, matrix, np.zeros((1, 4)))
            if (np.frombuffer(reading.symbols, np.uint8) != written).sum() <= _READABLE:
                break
        return hidden

    def read(self, image: Image, mesh: FaceMesh) -> Iterator[Reading]:
        """What the face under `mesh` seems to carry, ever more clearly: take the first reading that can be opened."""
        matrix = self._matrix(image, mesh)
        here = np.zeros(4)
        clarity, reading = self._look(image, matrix, here[None])[0]
        yield reading
        steps = _STEPS.copy()
        for _ in range(_MAX_ROUNDS):
            places = here + np.concatenate([np.diag(steps), -np.diag(steps)])
            looks = self._look(image, matrix, places)
            best = int(np.argmax([look[0] for look in looks]))
            if looks[best][0] > clarity:
                here, (clarity, reading) = places[best], looks[best]
                yield reading
            elif steps[0] < _STEPS[0] / 2**_HALVINGS:
                return
            else:
                steps /= 2

    @torch.inference_mode()
    def _look(self, image: Image, matrix: Matrix, places: NDArray[np.float64]) -> list[tuple[float, Reading]]:
        """Readings at places (N, 4) beside the mesh's crop, with how clear each is."""
        crops = [_planes(warp(image, _beside(matrix, place), (SIZE, SIZE))) for place in places]
        logits = self._extractor(torch.cat(crops))
        cells = logits.flatten(2)[:, :, torch.from_numpy(self._cells)].transpose(1, 2)  # (N, 255, 8)
        clarity = cells.abs().clamp(max=_CLEAR).mean((1, 2))
        doubts = 1 - torch.sigmoid(cells.abs()).prod(2)
        symbols = np.packbits((cells > 0).numpy(), axis=2)[..., 0]
        return [(float(c), Reading(s.tobytes(), d)) for c, s, d in zip(clarity, symbols, doubts.numpy(), strict=True)]

    def _matrix(self, image: Image, mesh: FaceMesh) -> Matrix:
        """Photograph px -> crop px, from all of the mesh: it is calmer than any few of its points, and keeps the cells
        on a face that is turned away."""
        for _ in range(_SETTLE):
            mesh = self._landmarker.refine(image, mesh)
        return fit_similarity(mesh.points[:SURFACE, :2], self._template)

    def _bits(self, symbols: bytes) -> Tensor:
        """(1, 8, 32, 32) of -1 and 1, 0 outside the cells."""
        bits = np.zeros((BITS, GRID * GRID), np.float32)
        bits[:, self._cells] = np.unpackbits(np.frombuffer(symbols, np.uint8)[:, None], axis=1).T * 2.0 - 1
        return torch.from_numpy(bits.reshape(1, BITS, GRID, GRID))


def _add(patch: Patch, residual: Tensor, to_crop: Matrix) -> Patch:
    """The patch with the crop's residual (1, 3, S, S) of 0..1 added to its pixels."""
    height, width = patch.mask.shape
    levels = np.ascontiguousarray(residual[0].permute(1, 2, 0).numpy()) * np.float32(255)
    added = warp(levels, invert(to_crop), (height, width), border=cv2.BORDER_CONSTANT)
    pixels = np.clip(np.rint(patch.pixels + added), 0, 255).astype(np.uint8)
    return Patch(patch.rectangle, pixels, patch.mask)


def _template(mean: NDArray[np.float64]) -> Points:
    """(468, 2) px of the crop: where the mean face lies in the crop that FFHQ would cut."""
    mesh = FaceMesh(np.concatenate([mean, np.zeros((10, 3))]).astype(np.float32), 1.0)
    return transform(mean[:, :2], ffhq_matrix(sixty_eight(mesh).points, SIZE))


def _beside(matrix: Matrix, place: NDArray[np.float64]) -> Matrix:
    """The crop's matrix moved by px along both axes, radians, and a share of the size, around the crop's middle."""
    middle = (SIZE - 1) / 2
    turned = square_matrix((middle, middle), SIZE * (1 + place[3]), place[2], size=SIZE)
    turned[:, 2] += place[:2]
    return compose(turned, matrix)


def _soft(mask: Floats) -> Floats:
    """Nothing is added at the very edge of the mask, where the new face meets the photograph."""
    eroded = cv2.erode(mask, np.ones((_EDGE_PX, _EDGE_PX)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.minimum(np.asarray(cv2.GaussianBlur(eroded, (0, 0), _FEATHER_PX), np.float32), mask)


def _planes(crop: Image) -> Tensor:
    """(S, S, 3) uint8 -> (1, 3, S, S) in 0..1."""
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float().div_(255).contiguous(memory_format=torch.channels_last)
