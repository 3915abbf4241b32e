"""What a photo costs beyond the engine: PYTHONPATH=tests:. python tests/benchmarks/worker_overhead.py

Photos go the whole way up to "ready" (queue, claim, sealed inbox, keys, vault and audit log, image store, ledger) in a
worker process with a real Redis, SQLite databases and files, and an engine that only paints noise. Reading, writing and
proving picture files is told apart: it grows with the picture, the rest does not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import own_redis
from stand_in import StandIn
from workshop import Workshop

from g2face_model import images
from g2face_model.types import AnonymizedImage, Image
from worker import jobs
from worker.listening import listen

AIM_MS = 30.0
_PICTURES = frozenset({"decoded", "encoded", "proved"})
_OWN = ("claimed", "fetched", "keys", "sealed", "locked", "stored", "ready", "announced")
_WHAT = {
    "claimed": "queue and claim",
    "fetched": "open the sealed original",
    "keys": "subjects' keys and seeds",
    "sealed": "seal",
    "locked": "vault and audit log",
    "stored": "store the image",
    "ready": "ledger",
    "announced": "queue the publication",
}


class _Engine(StandIn):
    """Asks for all seeds first, so that what they cost is not taken for the engine's time."""

    def __init__(self, faces: int, reached: Callable[[str], None]) -> None:
        super().__init__(faces, largest_px=400)
        self._reached = reached

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        drawn = [seeds(index) for index in range(self._faces)]
        self._reached("keys")
        return super().anonymize(image, lambda index: drawn[index])


def measure(photos: int, side_px: int, faces: int) -> list[dict[str, float]]:
    """Milliseconds per step, a photo each; the first one, which warms everything up, is left out."""
    with tempfile.TemporaryDirectory() as folder, own_redis.running(Path(folder)) as redis:
        workshop = Workshop(Path(folder) / "workshop", redis_url=redis.url)
        project = workshop.project()
        for number in range(photos + 1):
            photo = workshop.hand_in(project, _picture(number, side_px))
            workshop.enqueue(photo)
        workshop.close()
        process = get_context("spawn").Process(target=_work, args=(workshop.folder, redis.url, faces))
        process.start()
        process.join()
        if process.exitcode != 0:
            raise SystemExit("the worker failed")
        return _per_photo((workshop.folder / "steps.jsonl").read_text().splitlines())[1:]


def _picture(number: int, side_px: int) -> bytes:
    """A JPEG about as heavy as a photograph's: smooth shapes and some grain."""
    rows, columns = np.mgrid[:side_px, :side_px] / side_px
    smooth = np.stack([np.sin(9 * rows + number), np.cos(7 * columns), np.sin(5 * (rows + columns))], -1) * 90 + 128
    grain = np.random.default_rng(number).normal(0, 6, smooth.shape)
    return images.encode(np.clip(smooth + grain, 0, 255).astype(np.uint8), "jpeg", quality=90)


def _work(folder: Path, redis_url: str, faces: int) -> None:
    workshop = Workshop(folder, redis_url=redis_url)
    steps: list[tuple[str, float]] = []

    def reached(name: str) -> None:
        steps.append((name, time.perf_counter()))

    jobs.bind(workshop.runtime(_Engine(faces, reached), checkpoint=reached))
    started = time.perf_counter()
    listen(redis_url, ("interactive", "bulk"), burst=True)
    lines = [json.dumps(step) for step in [("started", started), *steps]]
    (folder / "steps.jsonl").write_text("\n".join(lines))


def _per_photo(lines: Sequence[str]) -> list[dict[str, float]]:
    steps = [tuple(json.loads(line)) for line in lines]
    photos: list[dict[str, float]] = []
    for (_, before), (name, at) in itertools.pairwise(steps):
        if name == "claimed":
            photos.append({})
        if name in _OWN or name in _PICTURES:
            photos[-1][name] = (at - before) * 1000
    return [photo for photo in photos if "announced" in photo]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table. Exit status 1 when the median is above the aim."""
    parser = argparse.ArgumentParser(description="Times the worker without the engine.")
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--side", type=int, default=1000, metavar="PX")
    parser.add_argument("--faces", type=int, default=1)
    options = parser.parse_args(arguments)
    photos = measure(options.photos, options.side, options.faces)
    own = statistics.median(sum(photo[name] for name in _OWN) for photo in photos)
    pictures = statistics.median(sum(photo[name] for name in _PICTURES) for photo in photos)
    print(f"per photo, median of {len(photos)} ({options.side}x{options.side} px, {options.faces} face(s)):")
    for name in _OWN:
        print(f"  {_WHAT[name]:<28}{statistics.median(photo[name] for photo in photos):7.1f} ms")
    print(f"  {'all of these':<28}{own:7.1f} ms  (aim: {AIM_MS:.0f} ms)")
    print(f"  {'decode, encode and prove':<28}{pictures:7.1f} ms")
    return int(own > AIM_MS)


if __name__ == "__main__":
    sys.exit(main())
