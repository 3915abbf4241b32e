"""Photograph and mesh -> probabilities of seven expressions.

The mean of two networks of different families. Measured on 50 people who were asked to look neutral and to smile: all
neutral pictures are called neutral; 26 of the smiles are called happy, 91 % of those that widen the mouth by more
than 15 %; the others are so faint that both networks call them neutral, though "happy" rises in every pair with a
wider mouth.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]

from g2face_model.alignment import warp
from g2face_model.networks.graph import GraphNetwork
from g2face_model.recognition import Align, align_square
from g2face_model.types import FaceMesh, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

EXPRESSIONS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
# face-api's classes in its own order
_FACEAPI = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
_FACEAPI_ORDER = [_FACEAPI.index(name) for name in EXPRESSIONS]
_FER_SIZE, _FACEAPI_SIZE = 64, 112
# The crops that told neutral from smiling faces best.
_fer_align: Align = partial(align_square, margin=1.3, raised=0.0)
_faceapi_align: Align = partial(align_square, margin=1.15, raised=0.05)


class ExpressionEstimator:
    """fer's mini-Xception on grey 64 px and face-api's network on 112 px.

    Reads "expression.tflite" and "face_expression" from the store and raises its WeightsError. Calls from several
    threads wait for each other.
    """

    def __init__(self, store: WeightStore, *, threads: int = 1) -> None:
        self._fer: Any = Interpreter(model_content=store.file("expression.tflite"), num_threads=threads)
        self._fer.allocate_tensors()
        self._lock = threading.Lock()  # an interpreter holds one set of tensors
        graph = store.metadata("face_expression")["graph"]
        self._faceapi = GraphNetwork(graph, store.tensors("face_expression")).eval()

    def probabilities(self, image: Image, mesh: FaceMesh) -> Floats:
        """(7,) float32 in the order of EXPRESSIONS, sum 1."""
        both = np.stack([self._by_fer(image, mesh), self._by_faceapi(image, mesh)])
        return np.asarray(both.mean(axis=0), np.float32)

    def _by_fer(self, image: Image, mesh: FaceMesh) -> Floats:
        pixels = warp(image, _fer_align(mesh, _FER_SIZE), (_FER_SIZE, _FER_SIZE))
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(127.5) - np.float32(1)
        with self._lock:
            self._fer.set_tensor(self._fer.get_input_details()[0]["index"], grey[None, :, :, None])
            self._fer.invoke()
            return np.array(self._fer.get_tensor(self._fer.get_output_details()[0]["index"])[0], np.float32)

    def _by_faceapi(self, image: Image, mesh: FaceMesh) -> Floats:
        pixels = warp(image, _faceapi_align(mesh, _FACEAPI_SIZE), (_FACEAPI_SIZE, _FACEAPI_SIZE))
        with torch.inference_mode():
            face = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(torch.float32)
            probabilities: Floats = self._faceapi(face)["probabilities"][0].numpy()
        return probabilities[_FACEAPI_ORDER]
