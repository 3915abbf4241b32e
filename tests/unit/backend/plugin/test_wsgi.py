from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ready_photos import NOW, ready

from backend.errors import ConfigError
from backend.jobs import Jobs
from backend.labelstudio import labels
from backend.ledger.ledger import Ledger
from backend.plugin.links import Links
from backend.plugin.wsgi import composed, composed_for_label_studio_ml
from backend.settings import PluginSettings, Settings
from backend.storage import BlobStore

CONFIG = labels.plain_config()


def _settings(folder: Path, redis_url: str, **plugin: Any) -> Settings:
    values: dict[str, Any] = {
        "data_dir": folder,
        "redis_url": redis_url,
        "plugin": PluginSettings(public_url="http://images.example", **plugin),
    }
    return Settings(**values)


def _predict(image: str) -> dict[str, Any]:
    return {"tasks": [{"id": 5, "project": 7, "data": {"image": image}}], "label_config": CONFIG}


def test_what_the_settings_name_is_what_is_served(tmp_path: Path, redis_url: str) -> None:
    settings = _settings(tmp_path, redis_url, path_secret="s3cret", link_key="k" * 32)
    with composed(settings) as app:
        ledger = Ledger.open(settings.database())
        done = ready(ledger, ledger.add_project("Faces", 7, now=NOW), image=b"png", blobs=BlobStore(settings.storage()))
        browser = app.test_client()
        address = Links("http://images.example", b"k" * 32).address(done.image_key or "", NOW)
        assert browser.get(address.removeprefix("http://images.example")).data == b"png"
        assert len(browser.post("/s3cret/predict", json=_predict(address)).json["results"][0]["result"]) == 69
        assert browser.post("/predict", json=_predict(address)).status_code == 404
        ledger.close()


@pytest.mark.parametrize("host", [composed, composed_for_label_studio_ml], ids=["own", "label_studio_ml"])
def test_a_foreign_task_is_noted_and_queued(tmp_path: Path, redis_url: str, host: Any) -> None:
    settings = _settings(tmp_path, redis_url)
    ledger = Ledger.open(settings.database())
    ledger.add_project("Faces", 7, now=NOW, adopts=True)
    with host(settings) as app:
        for _ in range(2):
            answer = app.test_client().post("/predict", json=_predict("/data/upload/7/a.png"))
            assert answer.json["results"] == [[]]
    (photo,) = ledger.photos_of_tasks(7, [5]).values()
    assert (photo.origin, photo.source_address) == ("adoption", "/data/upload/7/a.png")
    assert Jobs(redis_url).depth() == {"interactive": 0, "bulk": 1}
    ledger.close()


def test_without_a_redis_of_ones_own_one_is_started_and_ended(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with composed(settings) as app:
        assert app.test_client().get("/health").json == {"status": "UP"}
        assert (tmp_path / "redis" / "running.json").exists()
    assert not (tmp_path / "redis" / "running.json").exists()


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        ({"user": "ls"}, "go together"),
        ({"password": "pw-long-enough"}, "go together"),
        ({"path_secret": "a/b" * 8}, "PATH_SECRET"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    tmp_path: Path, redis_url: str, plugin: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said), composed(_settings(tmp_path, redis_url, **plugin)):
        pass


def test_the_program_says_in_one_line_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend.plugin"],
        env={"PATH": "/usr/bin", "G2FACE_PLUGIN__PROT": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("plugin: ")
    assert "G2FACE_PLUGIN__PROT" in line
