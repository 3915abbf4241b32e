"""Measure the recognisers' thresholds: python -m g2face_model.evaluation.calibration FACES [--weights-dir FOLDER].

FACES holds manifest.csv with the columns file, person, label; people with a "neutral" and a "smiling" picture are the
genuine pairs. Impostors are all pairs of different people among the folders official, headshots and the neutral
pictures; the folder headshots_small shows some of the same people again under other names, so it stays out.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from g2face_model.detection import FaceDetector
from g2face_model.errors import ModelError
from g2face_model.images import decode
from g2face_model.landmarks import MeshLandmarker
from g2face_model.recognition import RECOGNISERS, TorchRecogniser, load_recognisers
from g2face_model.types import Image
from g2face_model.weights import WeightStore

_IMPOSTORS = ("official", "headshots", "pairs")
_SURE_MESH = 0.9
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well similarities tell people apart. Rates in 0..1; TAR is the share of genuine pairs at or above the
    threshold that the named share of impostor pairs exceeds."""

    threshold: float
    threshold_far_1: float
    tar: float
    tar_far_1: float
    equal_error_rate: float


def measure(genuine: Values, impostors: Values) -> Accuracy:
    """Thresholds at a false accept rate of 0.1 % and 1 %, and what they let through. Similarities (G,) and (I,)."""
    strict, loose = (float(np.quantile(impostors, 1 - rate)) for rate in (0.001, 0.01))
    candidates = np.unique(np.concatenate([genuine, np.quantile(impostors, np.linspace(0, 1, 2001))]))
    missed = np.searchsorted(np.sort(genuine), candidates) / len(genuine)
    accepted = 1 - np.searchsorted(np.sort(impostors), candidates) / len(impostors)
    return Accuracy(
        threshold=strict,
        threshold_far_1=loose,
        tar=float((genuine >= strict).mean()),
        tar_far_1=float((genuine >= loose).mean()),
        equal_error_rate=float(np.maximum(missed, accepted).min()),
    )


def rank_1(probes: Values, gallery: Values, wanted: Sequence[int]) -> float:
    """Share of probes (P, D) whose most similar entry of the gallery (G, D) is the wanted one; unit vectors."""
    return float((np.argmax(probes @ gallery.T, axis=1) == np.asarray(wanted)).mean())


@dataclass(frozen=True, slots=True)
class _Picture:
    person: str
    folder: str
    label: str
    crops: dict[str, Image]  # by recogniser


def _pictures(faces: Path, store: WeightStore, recognisers: Sequence[TorchRecogniser]) -> list[_Picture]:
    """The largest face of every picture that is called for, cropped for each recogniser."""
    detector, landmarker = FaceDetector(store, threads=1), MeshLandmarker(store)
    found = []
    with (faces / "manifest.csv").open(newline="", encoding="utf-8") as manifest:
        rows = [row for row in csv.DictReader(manifest) if row["file"].split("/")[0] in _IMPOSTORS]
    for row in rows:
        image = decode((faces / row["file"]).read_bytes())
        boxes = detector.detect(image)
        mesh = landmarker.mesh(image, boxes[0]) if boxes else None
        if mesh is not None and mesh.score >= _SURE_MESH:
            crops = {recogniser.name: recogniser.crop(image, mesh) for recogniser in recognisers}
            found.append(_Picture(row["person"], row["file"].split("/")[0], row["label"], crops))
    return found


def _evaluate(recogniser: TorchRecogniser, pictures: Sequence[_Picture]) -> str:
    crops = [picture.crops[recogniser.name] for picture in pictures]
    vectors = np.concatenate([recogniser.embed_many(crops[i : i + 16]) for i in range(0, len(crops), 16)])
    vectors = vectors.astype(np.float64)
    smiling = {picture.person: i for i, picture in enumerate(pictures) if picture.label == "smiling"}
    gallery = [i for i, picture in enumerate(pictures) if picture.label != "smiling"]
    places = {pictures[i].person: place for place, i in enumerate(gallery)}
    people = [person for person in smiling if person in places]
    probes = vectors[[smiling[person] for person in people]]
    genuine = (probes * vectors[[gallery[places[person]] for person in people]]).sum(axis=1)
    between = vectors[gallery] @ vectors[gallery].T
    accuracy = measure(genuine, between[np.triu_indices(len(gallery), 1)])
    found = rank_1(probes, vectors[gallery], [places[person] for person in people])
    cells = (
        recogniser.name,
        recogniser.family,
        str(vectors.shape[1]),
        f"{accuracy.equal_error_rate:.2%}",
        f"{accuracy.tar:.1%}",
        f"{accuracy.tar_far_1:.1%}",
        f"{found:.1%} of {len(gallery)}",
        f"{accuracy.threshold:.3f}",
        f"{accuracy.threshold_far_1:.3f}",
        *(f"{_milliseconds(recogniser, crops[0], threads=threads):.1f}" for threads in (1, 2)),
    )
    return f"| {' | '.join(cells)} |"


def _milliseconds(recogniser: TorchRecogniser, crop: Image, *, threads: int, repeats: int = 15) -> float:
    """Median time of one embedding."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        recogniser.embed_many([crop])
        times.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return float(np.median(times)) * 1000


def calibrate(faces: Path, store: WeightStore, names: Iterable[str] = RECOGNISERS) -> list[str]:
    """One line of a Markdown table per recogniser, head first. Raises ModelError."""
    recognisers = load_recognisers(store, names)
    pictures = _pictures(faces, store, recognisers)
    head = (
        "recogniser", "family", "numbers", "EER", "TAR at FAR 0.1 %", "TAR at FAR 1 %", "rank-1",
        "threshold 0.1 %", "threshold 1 %", "ms, 1 thread", "ms, 2 threads",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return lines + [_evaluate(recogniser, pictures) for recogniser in recognisers]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the thresholds of the recognisers.")
    parser.add_argument("faces", type=Path, help="folder with manifest.csv and the pictures it names")
    parser.add_argument("--weights-dir", type=Path, default=os.environ.get("G2FACE_MODEL__WEIGHTS_DIR") or None)
    args = parser.parse_args(arguments)
    try:
        for line in calibrate(args.faces, WeightStore(args.weights_dir)):
            print(line)
    except ModelError as error:
        print(f"calibration: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
