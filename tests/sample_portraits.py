"""The two public-domain portraits that ship inside the project's dependencies, for tests that need a real face."""

from __future__ import annotations

from importlib import resources

from g2face_model import images
from g2face_model.commandline.demo import SAMPLES
from g2face_model.types import Image


def portrait(number: int = 0) -> Image:
    """One of the two portraits."""
    package, member = list(SAMPLES.values())[number]
    return images.decode((resources.files(package) / member).read_bytes())
