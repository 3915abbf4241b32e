"""Faces' skin as the tests paint it: structure of a few px in one colour."""

from __future__ import annotations

import cv2
import numpy as np

from g2face_model.types import Floats

SIZE = 192
LIGHT_SKIN, DARK_SKIN = np.float32([0.85, 0.68, 0.60]), np.float32([0.16, 0.10, 0.075])


def skin(colour: Floats, seed: int, *, contrast: float = 0.1) -> Floats:
    """Skin (SIZE, SIZE, 3) with structure of a few px: brighter and darker by `contrast`, all channels alike."""
    structure = np.random.default_rng(seed).normal(size=(SIZE, SIZE)).astype(np.float32)
    structure = cv2.GaussianBlur(structure, (0, 0), 2)
    return np.clip(colour * (1 + contrast * structure / structure.std())[..., None], 0, 1).astype(np.float32)
