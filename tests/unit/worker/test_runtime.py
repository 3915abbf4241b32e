from __future__ import annotations

from pathlib import Path

import pytest

from backend.errors import ConfigError, LabelStudioRefusedError
from backend.settings import Settings
from worker.runtime import connect_labelstudio


def settings(folder: Path, **labelstudio: object) -> Settings:
    return Settings(data_dir=folder, labelstudio=labelstudio)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hosts", "told"), [((), "on a host that is not allowed"), (("localhost",), "in a private network")]
)
def test_images_are_fetched_from_allowed_hosts_alone(tmp_path: Path, hosts: tuple[str, ...], told: str) -> None:
    client = connect_labelstudio(settings(tmp_path, api_key="0" * 40, allowed_image_hosts=hosts))
    with pytest.raises(LabelStudioRefusedError, match=told):
        client.download("https://localhost/a.png")


def test_without_a_key_nothing_can_be_published(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="G2FACE_LABELSTUDIO__API_KEY is not set"):
        connect_labelstudio(settings(tmp_path))
