"""The command `deface`, which blurs faces, run and timed on the same photographs. It is found on the machine or left
out: its OpenCV and the one of this project cannot share an environment."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from g2face_model import images
from g2face_model.errors import ModelError
from g2face_model.evaluation.bench import peak_megabytes
from g2face_model.types import Image

_PLACES = ("deface", ".venv-deface/bin/deface")  # on the PATH, or where `make bench` installs it
_PLAIN = ".bmp"  # uncompressed: what is timed is the blurring, not a compression
_ANNOUNCED = "Input:"  # what deface prints when it turns to the next file


@dataclass(frozen=True, slots=True)
class Blurring:
    """Median seconds per photograph, warm and from file to file; `startup`: until the first photograph is begun."""

    total: float
    startup: float
    peak_megabytes: float


@dataclass(frozen=True, slots=True)
class Defaced:
    """One picture as deface publishes it, the seconds it took in a process that was warm, and that process's memory."""

    image: Image
    seconds: float
    peak_megabytes: float


def find() -> str | None:
    """The command on this machine, if there is one."""
    return next((found for found in map(shutil.which, _PLACES) if found), None)


def blur(command: str, image: Image) -> Defaced:
    """Let deface blur the faces of a picture (H, W, 3). Raises ModelError when the command cannot be run or fails."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}{_PLAIN}" for number in range(3)]  # a warm-up, the picture, and what ends it
        for path, pixels in zip(paths, (image, image, np.zeros((32, 32, 3), np.uint8)), strict=True):
            path.write_bytes(cv2.imencode(_PLAIN, pixels[..., ::-1])[1].tobytes())
        _, begun, megabytes = _begun(command, paths)
        made = paths[1].with_name(f"1_anonymized{_PLAIN}")
        if len(begun) != len(paths) or not made.exists():
            raise ModelError("deface failed on it")
        return Defaced(images.decode(made.read_bytes()), begun[2] - begun[1], megabytes)


def measure(command: str, photographs: Mapping[str, bytes], *, repeats: int) -> Blurring | None:
    """Blur the photographs (JPEG files by name) `repeats` times in one process. None when the command
    cannot be run or fails."""
    with tempfile.TemporaryDirectory() as folder:
        # One before as a warm-up, and one after, because the end of the last is not announced.
        contents = list(photographs.values())
        contents = [contents[0], *contents * repeats, contents[0]]
        paths = [Path(folder) / f"{number:04d}.jpg" for number in range(len(contents))]
        for path, data in zip(paths, contents, strict=True):
            path.write_bytes(data)
        started, begun, megabytes = _begun(command, paths)
    if len(begun) != len(paths):
        return None
    seconds = np.diff(begun)[1:].reshape(repeats, len(photographs))
    return Blurring(
        total=float(np.median(seconds, axis=0).mean()),
        startup=begun[0] - started,
        peak_megabytes=megabytes,
    )


def _begun(command: str, paths: list[Path]) -> tuple[float, list[float], float]:
    """When the process was started, and when it turned to each of the files (none when it failed); its peak memory."""
    started, begun, megabytes = time.perf_counter(), [], math.nan
    try:
        process = subprocess.Popen(  # noqa: S603
            [command, *map(str, paths)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
        )
    except OSError:
        return started, [], megabytes
    with process:
        for line in process.stdout or ():
            if line.startswith(_ANNOUNCED):
                begun.append(time.perf_counter())
                megabytes = peak_megabytes(process.pid)
    return started, [] if process.returncode else begun, megabytes
