"""What of an original was kept where: the masks of learned fusion, as pictures beside the results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from g2face_model import images
from g2face_model.types import Image


@dataclass(slots=True)
class Explanations:
    """Collects masks while a photograph is worked on. They trace the original's features, so whoever writes them keeps
    them as private as the original."""

    _masks: list[tuple[int, int, Image]] = field(init=False, default_factory=list)

    def __call__(self, face: int, attempt: int, masks: Image) -> None:
        """Masks (256, W) of the levels side by side, coarse first; white where the virtual identity was taken."""
        self._masks.append((face, attempt, masks))

    def forget(self) -> None:
        """Drop what a photograph left that was given up."""
        self._masks.clear()

    def take(self, picture: str) -> Iterator[tuple[str, bytes]]:
        """Names, after the picture's, and PNG files of all masks since the last time."""
        masks, self._masks = self._masks, []
        for face, attempt, levels in masks:
            rgb = np.repeat(levels[..., None], 3, 2)
            yield f"{picture}.face-{face}.attempt-{attempt}.masks.png", images.encode(rgb, "png")
