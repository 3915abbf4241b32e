"""A small engine for tests that need faces to be found: it covers every one of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from g2face_model import compositing
from g2face_model.detection import FaceDetector
from g2face_model.types import AnonymizedFace, AnonymizedImage, Image, Landmarks, Verdict
from g2face_model.weights import WeightStore

_NO_EXPRESSION = np.full(7, 1 / 7, np.float32)


class Covering:
    """Detects with the real detector. `verdict` is what it claims of every face."""

    def __init__(self, store: WeightStore, verdict: Verdict | None = None) -> None:
        self._detector = FaceDetector(store, threads=1)
        self._verdict = verdict or Verdict("covered", reasons=("test",))

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        result, faces = image.copy(), []
        for index, box in enumerate(self._detector.detect(image)):
            patch = compositing.cover(image, box, None, noise=np.random.default_rng(list(seeds(index))))
            patch.apply(result)
            nowhere = Landmarks(np.zeros((68, 2), np.float32))
            faces.append(
                AnonymizedFace(index, box, nowhere, _NO_EXPRESSION, patch.rectangle, patch.mask, self._verdict)
            )
        return AnonymizedImage(result, tuple(faces), "covering")
