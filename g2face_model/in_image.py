"""The recovery grade "in-image": what leads back to a person lies in the pixels of the new face, under a key.

It is there beside the payload files of the exact grade, or without them, and survives what those do not: another file
name, another file format, JPEG. It holds no pixel of the original: the id of a record, and who it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from g2face_model.anonymizer import Finish, Seeds
from g2face_model.compositing import Patch
from g2face_model.detection import FaceDetector
from g2face_model.errors import RecoveryError
from g2face_model.hidden_payload import CODE_BYTES, HiddenKey, HiddenPayload
from g2face_model.hiding import FaceHiding
from g2face_model.identity import IdentityCodes
from g2face_model.landmarks import MeshLandmarker
from g2face_model.recovery import image_sha256
from g2face_model.types import AnonymizedImage, Box, Face, Floats, Image
from g2face_model.weights import WeightStore

PSNR_DB = 37.0
"""Of the hidden residual over the middle of the new face, where it is at full strength; over all of the replaced face
it comes to about 39."""
CODED = {"dlib": 64}
"""Recognisers whose embeddings make the identity code, and how many leading components of each, a byte for each. These
64 keep a cosine of 0.98 to dlib's whole embedding; 32 of dlib and 32 of faceres would keep 0.84 and 0.64. The others
take no part, so that they can judge what is made of the code."""
_SCALE = 127.0


class Anonymizes(Protocol):
    """What is needed of an `Anonymizer`."""

    def anonymize(self, image: Image, seeds: Seeds, *, finish: Finish) -> AnonymizedImage: ...


RecordIds = Callable[[bytes, int], bytes]
"""Digest of the original's pixels and number of the face -> 16 bytes."""


@dataclass(frozen=True, slots=True)
class Found:
    """One face of a picture that is read: where it is, and its payload, None when none could be opened."""

    box: Box
    payload: HiddenPayload | None


class InImage:
    """Hides a payload in every new face, and reads it from a picture."""

    def __init__(
        self, store: WeightStore, key: HiddenKey, *, codes: IdentityCodes, threads: int, psnr_db: float = PSNR_DB
    ) -> None:
        self._key, self._codes = key, codes
        self._detector, self._landmarker = FaceDetector(store, threads=threads), MeshLandmarker(store, threads=threads)
        self._hiding = FaceHiding(store, self._landmarker, psnr_db=psnr_db)

    def anonymize(self, anonymizer: Anonymizes, image: Image, seeds: Seeds, record_ids: RecordIds) -> AnonymizedImage:
        """`Anonymizer.anonymize`, with a payload in every face before the gate judges it."""
        digest = image_sha256(image)
        return anonymizer.anonymize(image, seeds, finish=partial(self._finish, partial(record_ids, digest)))

    def _finish(
        self,
        record_id: Callable[[int], bytes],
        image: Image,
        patch: Patch,
        face: Face,
        embeddings: Mapping[str, Floats],
    ) -> Patch:
        payload = HiddenPayload(record_id(face.index), encode(self._codes, embeddings))
        return self._hiding.hide(image, patch, face.mesh, self._key.seal(payload))

    def read(self, image: Image) -> list[Found]:
        """All faces of a picture, the largest first."""
        return [Found(box, self._read(image, box)) for box in self._detector.detect(image)]

    def _read(self, image: Image, box: Box) -> HiddenPayload | None:
        for reading in self._hiding.read(image, self._landmarker.mesh(image, box)):
            try:
                return self._key.open(reading.symbols, reading.doubts.tolist())
            except RecoveryError:
                continue
        return None


def load(weights_dir: Path | None, key: HiddenKey, *, threads: int = 2) -> InImage:
    """Raises `WeightsError` when a part is missing."""
    store = WeightStore(weights_dir)
    return InImage(store, key, codes=identity_codes(store), threads=threads)


def identity_codes(store: WeightStore) -> IdentityCodes:
    """The leading components of `CODED`. Reads "mapping" from the store and raises its `WeightsError`."""
    tensors = store.tensors("mapping")
    return IdentityCodes(
        {
            name: (
                tensors[f"codes.{name}.mean"].float().numpy(),
                tensors[f"codes.{name}.basis"][:size].float().numpy(),
            )
            for name, size in CODED.items()
        }
    )


def encode(codes: IdentityCodes, embeddings: Mapping[str, Floats]) -> bytes:
    """Embeddings -> 64 bytes: each recogniser's leading components, of unit length, as signed bytes."""
    levels = np.rint(codes.encode(embeddings) * _SCALE).astype(np.int8)
    return bytes(levels.tobytes())


def decode(codes: IdentityCodes, code: bytes) -> dict[str, Floats]:
    """64 bytes -> recogniser -> embedding (D,) of unit length, as near as the code has it."""
    if len(code) != CODE_BYTES:
        raise RecoveryError(f"an identity code has {CODE_BYTES} bytes")
    levels, found = np.frombuffer(code, np.int8).astype(np.float32), {}
    for name, part in zip(codes.bases, np.split(levels, np.cumsum(codes.sizes)[:-1]), strict=True):
        components = codes.bases[name][1]
        found[name] = _unit(part @ components)
    return found


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
