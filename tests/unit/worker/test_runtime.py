from __future__ import annotations

from pathlib import Path

import pytest

from backend.custody import master
from backend.errors import ConfigError, LabelStudioRefusedError, MasterKeyError
from backend.settings import Settings
from worker.runtime import _master_public_key, connect_labelstudio


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


def test_a_changed_master_key_is_noticed_and_a_missing_one_at_once(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="cannot be read"):
        _master_public_key(settings(tmp_path))
    made = master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub")
    of_the_moment = _master_public_key(settings(tmp_path))
    assert of_the_moment() == made
    (tmp_path / "master.pub").unlink()
    changed = master.create_master_key(tmp_path / "other.key", tmp_path / "master.pub")
    assert of_the_moment() == changed
