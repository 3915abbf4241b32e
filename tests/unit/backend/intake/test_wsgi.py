from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.intake import wsgi
from backend.intake.collecting import Collecting
from backend.settings import Settings

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("public_url", "host"),
    [
        ("http://localhost:9090", "localhost:9090"),
        ("https://images.example.org", "images.example.org"),
        ("https://example.org/g2face/", "example.org"),
    ],
)
def test_the_settings_say_where_images_come_from(tmp_path: Path, public_url: str, host: str) -> None:
    settings = Settings(
        data_dir=tmp_path,
        redis_url="redis://127.0.0.1:1",  # type: ignore[arg-type]
        plugin={"public_url": public_url},  # type: ignore[arg-type]
    )
    with ExitStack() as stack:
        desk, accounts = wsgi.open_desk(settings, stack)
        app = wsgi.build_app(settings, desk, accounts, collecting=Collecting(desk, lambda: NOW))

        assert desk.image_host == host
        assert desk.labelstudio is None
        assert app.config["MAX_CONTENT_LENGTH"] == settings.intake.max_upload_bytes


@pytest.mark.parametrize(
    ("plugin", "host"),
    [
        ({"public_url": "https://example.org/g2face"}, "example.org"),
        ({"public_url": "https://example.org", "backend_url": "http://plugin:9090/"}, "plugin:9090"),
    ],
)
def test_the_settings_say_where_label_studio_reaches_the_plugin(
    tmp_path: Path, plugin: dict[str, str], host: str
) -> None:
    settings = Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1", plugin=plugin)  # type: ignore[arg-type]
    with ExitStack() as stack:
        assert wsgi.open_desk(settings, stack)[0].backend_host == host


def test_a_key_opens_label_studio(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        redis_url="redis://127.0.0.1:1",  # type: ignore[arg-type]
        labelstudio={"api_key": "0" * 40},  # type: ignore[arg-type]
    )
    with ExitStack() as stack:
        assert wsgi.open_desk(settings, stack)[0].labelstudio is not None


def test_the_settings_say_what_may_be_collected(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        redis_url="redis://127.0.0.1:1",  # type: ignore[arg-type]
        intake={"s3_prefixes": "s3://photos/ward/, s3://other"},  # type: ignore[arg-type]
    )
    with ExitStack() as stack:
        assert wsgi.open_desk(settings, stack)[0].s3_prefixes == ("s3://photos/ward", "s3://other")
