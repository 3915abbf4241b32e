"""Photograph -> boxes of all faces. Tuned for recall: a missed face is a breach of privacy, a false box costs little.

Inside this module a candidate is a row (left, top, right, bottom, score) whose edges are counted from the picture's
corner; only `FaceDetector.detect` moves them to the convention that pixel centres lie on whole numbers.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]
from numpy.typing import NDArray

from g2face_model.alignment import warp
from g2face_model.importers.onnx import free_sizes
from g2face_model.types import Box, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

Candidates = NDArray[np.float64]  # (N, 5)

_OVERVIEW_PX = 640  # longest side of the first look
_DETAIL_BELOW, _DETAIL_SCALE = 0.6, 0.75  # a second look, at this scale, where the first shrinks more than that
_TILE_PX, _TILE_OVERLAP_PX = 1024, 160
_STRIDE = 32  # CenterFace halves the picture five times

# CenterFace scores faces by how many px they have: of 109 faces all pass 0.35 at a height of 24 px, but 39 % at 14 px,
# where 94 % still pass 0.1. So small doubtful boxes get a last look at full size, and only the places where they are.
_DOUBTFUL, _CLEAR = 0.1, 0.5
_SMALL_PX = 40
_WINDOW_PX, _WINDOW_OVERLAP_PX = 320, 80
_NEARLY_FULL = 0.85

_THRESHOLD = 0.35
_CLOSE_UP_THRESHOLD = 0.6
_CERTAIN = 0.5  # with no box above this score the picture may lie on its side
_SAME_OVERLAP, _SAME_CONTAINED = 0.35, 0.75


class FaceDetector:
    """CenterFace over the whole photograph, over tiles of a large one, and once more where small faces are suspected;
    MediaPipe's short-range detector for faces that fill it. Photographs may lie on their side or upside down.

    Reads "centerface.onnx" and "detector_short.tflite" from the store and raises its `WeightsError`.
    """

    def __init__(self, store: WeightStore, *, threads: int = 2) -> None:
        self._center = _CenterFace(store.file("centerface.onnx"), threads)
        self._close_up = _CloseUp(store.file("detector_short.tflite"))

    def detect(self, image: Image) -> tuple[Box, ...]:
        """All faces, largest first; empty when there is none. Boxes span hairline to chin and may leave the picture."""
        found = self._look(image)
        if not (found[:, 4] >= _CERTAIN).any():
            found = _merge([found, *(self._look_turned(image, quarters) for quarters in (1, 2, 3))])
        boxes = [Box(*(row - [0.5, 0.5, 0.5, 0.5, 0.0]).tolist()) for row in found]
        return tuple(sorted(boxes, key=lambda box: -box.width * box.height))

    def _look(self, image: Image) -> Candidates:
        scale = min(1.0, _OVERVIEW_PX / max(image.shape[:2]))
        found = [self._close_up(image), self._center_at(image, scale)]
        if scale < _DETAIL_BELOW:
            scale = _DETAIL_SCALE
            found.append(self._center_at(image, scale))
        if scale < _NEARLY_FULL:
            found.append(self._look_closer(image, found[-1], _SMALL_PX / scale))
        return _merge([rows[rows[:, 4] >= _THRESHOLD] for rows in found])

    def _look_closer(self, image: Image, found: Candidates, small_px: float) -> Candidates:
        """CenterFace at full size in the windows that hold doubtful boxes lower than `small_px`."""
        doubtful = found[(found[:, 4] < _CLEAR) & (found[:, 3] - found[:, 1] < small_px)]
        centres = (doubtful[:, :2] + doubtful[:, 2:4]) / 2
        windows = {(_nearest(y, image.shape[0]), _nearest(x, image.shape[1])) for x, y in centres}
        tiles = [self._center_tile(image, left, top, _WINDOW_PX) for top, left in sorted(windows)]
        return np.concatenate([np.empty((0, 5)), *tiles])

    def _look_turned(self, image: Image, quarters: int) -> Candidates:
        """Look at the picture turned anticlockwise by a number of quarters; boxes are turned back."""
        found = self._look(np.ascontiguousarray(np.rot90(image, quarters)))
        for turned in range(quarters, 0, -1):
            width = image.shape[turned % 2]  # before this quarter
            left, top, right, bottom, score = found.T.copy()
            found = np.column_stack([width - bottom, left, width - top, right, score])
        return found

    def _center_at(self, image: Image, scale: float) -> Candidates:
        """CenterFace over the photograph resized by `scale`, tile by tile."""
        height, width = image.shape[:2]
        small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(image, (small_width, small_height), interpolation=cv2.INTER_AREA)
        corners = [(left, top) for top in _starts(small_height) for left in _starts(small_width)]
        found = np.concatenate([self._center_tile(small, left, top, _TILE_PX) for left, top in corners])
        found[:, :4] *= np.tile([width / small_width, height / small_height], 2)
        return found

    def _center_tile(self, image: Any, left: int, top: int, side: int) -> Candidates:
        """Faces of one tile, without those that an inner edge cuts: a neighbour or an earlier look sees them whole."""
        tile = image[top : top + side, left : left + side]
        found = self._center(tile)
        found[:, :4] += np.tile([left, top], 2)
        right, bottom = left + tile.shape[1], top + tile.shape[0]
        cut = (left > 0) & (found[:, 0] < left + 1) | (top > 0) & (found[:, 1] < top + 1)
        cut |= (right < image.shape[1]) & (found[:, 2] > right - 1)
        cut |= (bottom < image.shape[0]) & (found[:, 3] > bottom - 1)
        return found[~cut]


class _CenterFace:
    """CenterFace (Xu, Yan, Sun, Hu and Xie, "CenterFace: joint face detection and alignment using face as point",
    2019): a heat map of face centres at a quarter of the resolution, with log sizes and offsets."""

    def __init__(self, model: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # the exporter left unused batch counters behind, one warning each
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores are shared
        self._session = onnxruntime.InferenceSession(free_sizes(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()][:3]

    def __call__(self, pixels: Image) -> Candidates:
        """RGB (H, W, 3) uint8 -> candidates in its px."""
        height, width = pixels.shape[:2]
        padded = np.zeros((1, 3, -(-height // _STRIDE) * _STRIDE, -(-width // _STRIDE) * _STRIDE), np.float32)
        padded[0, :, :height, :width] = pixels.transpose(2, 0, 1)
        heat, log_size, offset = self._session.run(self._outputs, {self._input: padded})
        row, column = np.nonzero(heat[0, 0] > _DOUBTFUL)
        half_height, half_width = np.exp(log_size[0][:, row, column].astype(np.float64)) * 2
        y = (row + offset[0, 0, row, column] + 0.5) * 4.0
        x = (column + offset[0, 1, row, column] + 0.5) * 4.0
        score = heat[0, 0, row, column]
        return np.column_stack([x - half_width, y - half_height, x + half_width, y + half_height, score])


class _CloseUp:
    """BlazeFace, short range (Bazarevsky et al., "BlazeFace: sub-millisecond neural face detection on mobile GPUs",
    2019): 128 px, 896 anchors, for faces of at least a tenth of the picture."""

    _SIZE = 128
    # Its squares run from brows to chin. Median edges of CenterFace's boxes around their centre, in sides (58 faces).
    _REACH = np.array([-0.47, -0.71, 0.47, 0.49])

    def __init__(self, content: bytes) -> None:
        self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._lock = threading.Lock()  # an interpreter holds one set of tensors
        self._anchors = np.concatenate([_anchors(16, 2), _anchors(8, 6)])

    def __call__(self, image: Image) -> Candidates:
        """RGB (H, W, 3) uint8 -> candidates in its px."""
        scale = self._SIZE / max(image.shape[:2])
        matrix = np.array([[scale, 0.0, scale / 2 - 0.5], [0.0, scale, scale / 2 - 0.5]])
        pixels = warp(image, matrix, (self._SIZE, self._SIZE), border=cv2.BORDER_CONSTANT)
        raw, logits = self._run(pixels)
        score = 1 / (1 + np.exp(-np.clip(logits[:, 0].astype(np.float64), -80, 80)))
        keep = score > _CLOSE_UP_THRESHOLD
        centre = (raw[keep, :2] / self._SIZE + self._anchors[keep]) * (self._SIZE / scale)
        reach = raw[keep, 2:3] / scale * self._REACH
        return np.column_stack([np.tile(centre, 2) + reach, score[keep]])

    def _run(self, pixels: Image) -> tuple[Floats, Floats]:
        with self._lock:
            details = self._interpreter.get_output_details()
            index = self._interpreter.get_input_details()[0]["index"]
            self._interpreter.set_tensor(index, pixels[None].astype(np.float32) / np.float32(127.5) - np.float32(1))
            self._interpreter.invoke()
            raw, logits = (self._interpreter.get_tensor(detail["index"])[0] for detail in details)
            return raw, logits


def _anchors(cells: int, repeats: int) -> Floats:
    """Anchor centres (cells * cells * repeats, 2) in units of the picture, row by row."""
    middle = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    return np.stack([np.tile(middle, cells), np.repeat(middle, cells)], axis=1).repeat(repeats, axis=0)


def _starts(length: int, side: int = _TILE_PX, overlap: int = _TILE_OVERLAP_PX) -> list[int]:
    """Where tiles begin along an axis so that neighbours overlap and the last one ends with it."""
    if length <= side:
        return [0]
    steps = -(-(length - overlap) // (side - overlap))
    return [round(start) for start in np.linspace(0, length - side, steps)]


def _nearest(position: float, length: int) -> int:
    """Start of the window along an axis whose middle is nearest to a position."""
    starts = _starts(length, _WINDOW_PX, _WINDOW_OVERLAP_PX)
    return min(starts, key=lambda start: abs(start + _WINDOW_PX / 2 - position))


def _merge(found: list[Candidates]) -> Candidates:
    """Non-maximum suppression: of boxes that overlap much, or lie one in the other, the best score stays."""
    rest = np.concatenate(found)
    rest = rest[np.argsort(-rest[:, 4], kind="stable")]
    kept: list[NDArray[np.float64]] = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        rest = rest[~_same(best, rest)]
    return np.array(kept).reshape(-1, 5)


def _same(box: NDArray[np.float64], others: Candidates) -> NDArray[np.bool_]:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    area, areas = np.prod(box[2:4] - box[:2]), np.prod(others[:, 2:4] - others[:, :2], axis=1)
    overlap, contained = common / (area + areas - common), common / np.minimum(area, areas)
    result: NDArray[np.bool_] = (overlap > _SAME_OVERLAP) | (contained > _SAME_CONTAINED)
    return result
