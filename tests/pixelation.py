"""A small engine for tests of what happens around the engine: it covers fixed rectangles with colours from the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from g2face_model.types import AnonymizedFace, AnonymizedImage, Box, Image, Landmarks, Verdict

_NO_EXPRESSION = np.full(7, 1 / 7, np.float32)


@dataclass(frozen=True)
class Pixelation:
    """Takes every rectangle (left, top, width, height) that fits into the image for a face."""

    rectangles: tuple[tuple[int, int, int, int], ...] = ((2, 3, 8, 10), (14, 5, 9, 12))
    outcome: str = "anonymized"

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        pixels, faces = image.copy(), []
        for left, top, width, height in self.rectangles:
            if left + width <= image.shape[1] and top + height <= image.shape[0]:
                colours = np.frombuffer(seeds(len(faces)), np.uint8)[:27].reshape(3, 3, 3)
                rows, columns = np.mgrid[:height, :width] * 3 // np.array([height, width]).reshape(2, 1, 1)
                pixels[top : top + height, left : left + width] = colours[rows, columns]
                faces.append(self._face(len(faces), (left, top, width, height)))
        return AnonymizedImage(pixels, tuple(faces), "pixelation")

    def _face(self, index: int, rectangle: tuple[int, int, int, int]) -> AnonymizedFace:
        left, top, width, height = rectangle
        reasons = () if self.outcome == "anonymized" else ("similarity",)
        verdict = Verdict(self.outcome, {"colour": float("nan"), "shape": 0.25}, 0.0125, 0.9, 2, reasons)
        mask = np.ones((height, width), np.bool_)
        box = Box(left, top, left + width, top + height, 1.0)
        return AnonymizedFace(
            index,
            box,
            Landmarks(np.zeros((68, 2), np.float32)),
            np.full(7, 1 / 7, np.float32),
            rectangle,
            mask,
            verdict,
        )
