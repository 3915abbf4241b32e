"""What the demonstration hands in: two public-domain portraits and a group of people who do not exist, or a folder."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from worker.demo.processes import DemoError

PORTRAITS = {
    "astronaut.png": ("skimage", "data/astronaut.png"),
    "grace_hopper.jpg": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
"""Eileen Collins and Grace Hopper, both by the United States government, as scikit-image and matplotlib ship them."""
GROUP = "group.png"
_SUFFIXES = frozenset({".avif", ".bmp", ".csv", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", ".zip"})


@dataclass(frozen=True, slots=True)
class Original:
    """A file as a project manager hands it in."""

    name: str
    data: bytes


def portraits() -> list[Original]:
    """The photographs that ship with other packages. Raises `DemoError` when those are not installed."""
    try:
        return [Original(name, (resources.files(at) / member).read_bytes()) for name, (at, member) in PORTRAITS.items()]
    except ModuleNotFoundError as error:
        raise DemoError(f"the sample photographs come with {error.name}: install the extra called demo") from None


def manifest(names: Sequence[str]) -> Original:
    """A list of who is on which photo and what they signed, as a study would have it."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["file", "subject_id", "consent"])
    rows.writerows([name, f"S-{number:03}", f"C-2026-{number:04}"] for number, name in enumerate(names, start=1))
    return Original("subjects.csv", text.getvalue().encode())


def of_folder(folder: Path) -> list[Original]:
    """The pictures, archives and lists in a folder and all below it. Raises `DemoError` when there are none."""
    if not folder.is_dir():
        raise DemoError(f"{folder} is not a folder")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise DemoError(f"there is no picture in {folder}")
    return [Original(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]


def group_command(out: Path) -> list[str]:
    """A program that writes the generated group's photo to `out`: it takes a while, and torch."""
    return [sys.executable, "-m", "worker.demo.photos", str(out)]


def main(out: Path) -> None:
    """Generate the group. Raises WeightsError when the generator is not there."""
    from g2face_model import atomic_file, images
    from g2face_model.group_photo import group_photo
    from g2face_model.weights import WeightStore

    directory = os.environ.get("G2FACE_MODEL__WEIGHTS_DIR")  # the engine's own variable
    store = WeightStore(Path(directory) if directory else None)
    atomic_file.write(out, images.encode(group_photo(store), "png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
