"""bench [PHOTO|FOLDER ...]: seconds per stage, per face and per photograph, and memory; `deface` beside it."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow

from g2face_model import images
from g2face_model.commandline.console import say, usage
from g2face_model.commandline.demo import SAMPLES
from g2face_model.commandline.photos import find
from g2face_model.commandline.tables import aligned, number, percent, plain
from g2face_model.types import Image

if TYPE_CHECKING:
    from g2face_model.evaluation.bench import Timings
    from g2face_model.evaluation.deface import Blurring

_SAMPLE_PX = 1000
_QUALITY = 95
_QUANTITIES = (  # and their digits
    ("seconds per photo", 3),
    ("seconds per face", 3),
    ("faces per second", 2),
    ("seconds to start", 1),
    ("peak memory, MB", 0),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="measure speed and memory",
        description="Warm and from JPEG file to JPEG file. Without photographs it takes two public-domain portraits at "
        f"{_SAMPLE_PX}x{_SAMPLE_PX} pixels. The blurring tool deface runs on the same photographs where it is found.",
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PHOTO|FOLDER")
    parser.add_argument("--threads", type=int, default=2, help="threads, and processor cores where the system can tell")
    parser.add_argument("--repeats", type=int, default=5, help="medians are taken of so many (default: 5)")
    parser.add_argument("--deface", metavar="COMMAND", default=shutil.which("deface"), help="where deface is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the figures as one JSON line")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.threads < 1 or args.repeats < 1:
        return usage("--threads and --repeats have to be at least 1")
    missing = [path.name for path in args.paths if not os.path.exists(path)]
    if missing:
        return usage(f"no such file or folder: {', '.join(missing)}")
    try:
        photographs = _given(args.paths) if args.paths else _samples()
    except ModuleNotFoundError as error:
        return usage(f"the sample photographs come with {error.name}: install the extra called demo")
    except OSError as error:
        return usage(f"a photograph cannot be read: {error.strerror}")
    if not photographs:
        return usage("there is no picture in that folder")
    return _bench(args, photographs)


def _bench(args: argparse.Namespace, photographs: Mapping[str, bytes]) -> int:
    from g2face_model.anonymizer import Anonymizer
    from g2face_model.build import build_parts
    from g2face_model.config import ModelConfig
    from g2face_model.evaluation import bench, deface

    _stay_on(args.threads)
    config = ModelConfig(device=args.device, weights_dir=args.weights_dir, threads=args.threads)
    started = time.perf_counter()
    parts = build_parts(config)
    startup = time.perf_counter() - started
    timings = bench.measure(Anonymizer(parts, config), parts, photographs, repeats=args.repeats)
    memory = bench.peak_megabytes()
    print(_stages_table(timings))
    blurring = deface.measure(args.deface, photographs, repeats=args.repeats) if args.deface else None
    print(f"\n{_rivals_table(timings, blurring, startup=startup, megabytes=memory)}")
    if blurring is None:
        say("deface did not run" if args.deface else "deface is not installed: nothing to compare with")
    if args.json is not None:
        line = {"kind": "bench", **plain(timings), "startup": startup, "megabytes": memory, "deface": plain(blurring)}
        try:
            with args.json.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({**line, "threads": args.threads, "device": parts.generator.device}) + "\n")
        except OSError as error:
            return usage(f"the figures cannot be written: {error.strerror}")
    return 0


def _stay_on(cores: int) -> None:
    """Keep this process and those it starts on so many cores: not every library can be told a number of threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _given(paths: list[Path]) -> dict[str, bytes]:
    """The photographs under these paths as JPEG files by name. Raises OSError and UnreadableImageError."""
    found = find(paths, excluded=Path(os.devnull))
    return {photo.name: _jpeg(images.decode(photo.read())) for photo in found.photos}


def _samples() -> dict[str, bytes]:
    """The sample portraits, cut square from the top and enlarged, as JPEG files by name."""
    return {
        name: _jpeg(_square(images.decode((resources.files(package) / member).read_bytes())))
        for name, (package, member) in SAMPLES.items()
    }


def _jpeg(image: Image) -> bytes:
    return images.encode(image, "jpeg", quality=_QUALITY)


def _square(image: Image) -> Image:
    side = min(image.shape[:2])
    left = (image.shape[1] - side) // 2
    window = Pillow.fromarray(np.ascontiguousarray(image[:side, left : left + side]))
    return np.array(window.resize((_SAMPLE_PX, _SAMPLE_PX), Pillow.Resampling.LANCZOS))


def _stages_table(timings: Timings) -> str:
    photographs_per_face = timings.photographs / timings.faces if timings.faces else math.nan
    rows = [["stage", "s per photo", "s per face", "share %"]]
    for name, seconds in [*timings.stages.items(), ("total", timings.total)]:
        per_face = number(seconds * photographs_per_face, 3)
        rows.append([name, number(seconds, 3), per_face, percent(seconds / timings.total)])
    return aligned(rows)


def _rivals_table(timings: Timings, blurring: Blurring | None, *, startup: float, megabytes: float) -> str:
    """This engine and deface, and how many times as much this engine takes."""
    faces_per_photo = timings.faces / timings.photographs
    own = _quantities(timings.total, faces_per_photo, startup, megabytes)
    unknown = (math.nan,) * len(own)
    other = (
        unknown
        if blurring is None
        else _quantities(blurring.total, faces_per_photo, blurring.startup, blurring.peak_megabytes)
    )
    rows = [["", "anonymize", "deface", "ratio"]]
    for (name, digits), mine, theirs in zip(_QUANTITIES, own, other, strict=True):
        ratio = mine / theirs if theirs else math.nan
        rows.append([name, number(mine, digits), number(theirs, digits), number(ratio, 2)])
    faces = f"{timings.faces} faces, {timings.released} of them released, {timings.attempts} attempts"
    return f"{timings.photographs} photographs, {faces}\n{aligned(rows)}"


def _quantities(total: float, faces_per_photo: float, startup: float, megabytes: float) -> tuple[float, ...]:
    """In the order of _QUANTITIES."""
    per_face = total / faces_per_photo if faces_per_photo else math.nan
    return total, per_face, 1 / per_face, startup, megabytes
