"""One installation for all end-to-end tests: starting its processes takes longer than most tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import whole_site
from label_studio_server import LabelStudioServer
from whole_site import Site


@pytest.fixture(scope="session")
def site(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with whole_site.running(label_studio, tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: the folder that SCREENSHOTS_DIR names, otherwise the test's own."""
    folder = Path(os.environ.get("SCREENSHOTS_DIR") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
