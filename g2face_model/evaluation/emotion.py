"""Seven expressions by a network that took no part in the gate: "emotion" of the package human-models.

The gate holds back faces on which its own two networks see another expression, so these two agree more often than
chance with the original; this one is asked afterwards.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from g2face_model.alignment import warp
from g2face_model.networks.graph import GraphNetwork
from g2face_model.recognition import Align, align_square
from g2face_model.types import FaceMesh, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

_SIZE = 64
_align: Align = partial(
    align_square, margin=1.1, raised=0.0
)  # 78 of 100 neutral and smiling faces told right; the gate: 76


class EmotionEstimator:
    """Reads "emotion" from the store and raises its WeightsError."""

    def __init__(self, store: WeightStore) -> None:
        self._network = GraphNetwork(store.metadata("emotion")["graph"], store.tensors("emotion")).eval()

    def probabilities(self, image: Image, mesh: FaceMesh) -> Floats:
        """(7,) float32 in the order of expression.EXPRESSIONS, sum 1."""
        pixels = warp(image, _align(mesh, _SIZE), (_SIZE, _SIZE))
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(127.5) - np.float32(1)
        with torch.inference_mode():
            probabilities = self._network(torch.from_numpy(grey)[None, None])["probabilities"][0]
        return np.asarray(probabilities.numpy(), np.float32)
