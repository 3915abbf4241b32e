"""How visible the border of a changed region is."""

from __future__ import annotations

import cv2
import numpy as np

from g2face_model.types import Floats, Image

_BAND_PX = 2


def seam(original: Image, published: Image, rectangle: tuple[int, int, int, int]) -> float | None:
    """Mean step of colour across the border of what was changed within `rectangle`, less the step that the original has
    there, in levels of 0..255; None where nothing was changed. A mosaic in a smooth face has 10 and more."""
    left, top, width, height = rectangle
    rows = slice(max(top - 1 - _BAND_PX, 0), top + height + 1 + _BAND_PX)
    columns = slice(max(left - 1 - _BAND_PX, 0), left + width + 1 + _BAND_PX)
    before, after = original[rows, columns], published[rows, columns]
    changed = np.asarray((before != after).any(axis=2), np.uint8)
    if not changed.any():
        return None
    kernel = np.ones((2 * _BAND_PX + 1, 2 * _BAND_PX + 1), np.uint8)
    filled = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, kernel)
    band = cv2.morphologyEx(filled, cv2.MORPH_GRADIENT, kernel) > 0
    return float(_steps(after)[band].mean() - _steps(before)[band].mean())


def _steps(pixels: Image) -> Floats:
    """(H, W): the larger of the differences to the right and downwards, averaged over the colours."""
    values = pixels.astype(np.float32)
    across, down = np.zeros_like(values), np.zeros_like(values)
    across[:, :-1] = np.abs(np.diff(values, axis=1))
    down[:-1] = np.abs(np.diff(values, axis=0))
    return np.asarray(np.maximum(across, down).mean(axis=2), np.float32)
