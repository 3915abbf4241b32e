"""Photographs that give themselves away: EXIF with a name and a place, file names of people, and their own bytes."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterable
from importlib import resources

import numpy as np
from PIL import Image as Pillow

from g2face_model import images
from g2face_model.types import Image
from worker.demo.photos import PORTRAITS, Original

_FACES = {"astronaut.png": (128, 0, 352, 224), "grace_hopper.jpg": (96, 0, 432, 336)}
_WINDOW_BYTES = 48


def portrait(number: int, *, side_px: int = 160, whose: str = "Tamara Telltale") -> Original:
    """One of two real people, another picture for every number: moved, mirrored, brighter or darker. `whose`: the
    name that stands in the file and on it."""
    name, box = list(_FACES.items())[number % 2]
    moved = tuple(edge + 3 * (number // 4) for edge in box)
    picture = _sample(name).crop(moved).resize((side_px, side_px), Pillow.Resampling.LANCZOS)
    if number // 2 % 2:
        picture = picture.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.point([min(255, round(level * (0.85 + 0.015 * number))) for level in range(256)] * 3)
    exif = Pillow.Exif()
    exif[0x013B], exif[0x010E] = whose, f"visit {number} of {whose}"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92, exif=exif)
    return Original(f"{whose.replace(' ', '_')}_{number:02}.jpg", buffer.getvalue())


def pixels(original: Original) -> Image:
    """As the worker sees it."""
    return images.decode(original.data)


class Traces:
    """Recognises originals in whatever they may have leaked into."""

    def __init__(self, originals: Iterable[Original]) -> None:
        self._originals = list(originals)
        windows = [one.data[len(one.data) // 2 :][:_WINDOW_BYTES] for one in self._originals]
        people = {one.name.rpartition("_")[0].encode() for one in self._originals}
        # From the middle of each file, where no two JPEGs are alike; and people's names, as files and EXIF have them.
        words = [*windows, *people, *(name.replace(b"_", b" ") for name in people)]
        self._pattern = re.compile(b"|".join(map(re.escape, words)))

    def in_bytes(self, data: bytes) -> list[bytes]:
        """Pieces of originals that stand there."""
        return self._pattern.findall(data)

    def is_original(self, image: bytes) -> bool:
        """Whether these are the bytes or the pixels of one of them."""
        seen = images.decode(image)
        return any(image == one.data or np.array_equal(seen, pixels(one)) for one in self._originals)


@functools.cache
def _sample(name: str) -> Pillow.Image:
    package, member = PORTRAITS[name]
    with (resources.files(package) / member).open("rb") as file:
        return Pillow.open(file).convert("RGB")
