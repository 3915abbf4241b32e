"""A stand-in for the engine that is quick and always the same: it finds faces where it is told to and paints noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from g2face_model.types import AnonymizedFace, AnonymizedImage, Box, Image, Landmarks, Verdict

MODEL_VERSION = "stand-in-1"


class StandIn:
    """Finds `faces` round faces side by side, the largest first. `covered` are the indices of those that fail its
    gate; `untouched` those that it forgets to paint; no face is wider or higher than `largest_px`."""

    def __init__(
        self,
        faces: int = 2,
        *,
        covered: tuple[int, ...] = (),
        untouched: tuple[int, ...] = (),
        largest_px: int = 10_000,
    ) -> None:
        self._faces, self._covered, self._untouched = faces, covered, untouched
        self._largest_px = largest_px
        self.calls = 0

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        self.calls += 1
        result, faces = image.copy(), []
        for index in range(self._faces):
            face = self._face(image, index)
            noise = np.random.default_rng(list(seeds(index)))
            left, top, width, height = face.rectangle
            region = result[top : top + height, left : left + width]
            if index not in self._untouched:
                region[face.mask] = noise.integers(0, 256, (int(face.mask.sum()), 3), np.uint8)
            faces.append(face)
        return AnonymizedImage(result, tuple(faces), MODEL_VERSION)

    def _face(self, image: Image, index: int) -> AnonymizedFace:
        height_px, width_px = image.shape[:2]
        slot = width_px // self._faces
        width = min(max(slot - 2 - index, 1), self._largest_px)
        height = min(max(height_px - 2 - 2 * index, 1), self._largest_px)
        left, top = slot * index + 1, 1 + index
        rows, columns = np.mgrid[:height, :width]
        mask = ((rows + 0.5) / height - 0.5) ** 2 + ((columns + 0.5) / width - 0.5) ** 2 <= 0.25
        angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
        radius = 0.4 * min(width, height)
        points = np.stack([left + width / 2 + radius * np.cos(angle), top + height / 2 + radius * np.sin(angle)], 1)
        return AnonymizedFace(
            index=index,
            box=Box(float(left), float(top), float(left + width), float(top + height), 0.9),
            landmarks=Landmarks(points.astype(np.float32)),
            expression=np.array([0.0, 0.0, 0.0, 0.75, 0.0, 0.0, 0.25], np.float32),
            rectangle=(left, top, width, height),
            mask=mask,
            verdict=self._verdict(index),
        )

    def _verdict(self, index: int) -> Verdict:
        if index in self._covered:
            return Verdict("covered", reasons=("too small",))
        return Verdict("anonymized", {"first": 0.125}, landmark_nme=0.0125, expression_agreement=0.75, attempts=1)
