"""Fixtures for tests that need pretrained weights or real photographs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from g2face_model.weights import WeightStore

_FACES = Path(__file__).parents[2] / "shared" / "faces"


@pytest.fixture(scope="session")
def store() -> WeightStore:
    """The weight store of `make weights`; pulls what is missing, which is quick when nothing is."""
    directory = os.environ.get("G2FACE_MODEL__WEIGHTS_DIR")
    store = WeightStore(Path(directory) if directory else None)
    store.pull()
    return store


@pytest.fixture(scope="session")
def faces_dir() -> Path:
    """Real photographs for development, which are not part of the repository."""
    if not _FACES.is_dir():
        pytest.skip("needs the development photographs in ../shared/faces")
    return _FACES
