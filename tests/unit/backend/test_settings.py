"""Settings come from the environment and from secret files, and nothing is set by mistake."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from backend.errors import ConfigError
from backend.jobs import QUEUES
from backend.settings import Settings, _known


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("G2FACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path / "data"))


def test_defaults_need_nothing_but_the_data_folder(tmp_path: Path) -> None:
    settings = Settings.load()
    data = tmp_path / "data"
    assert settings.database() == f"sqlite:///{data}/ledger.sqlite3"
    assert settings.vault() == f"sqlite:///{data}/vault.sqlite3"
    assert settings.keys() == f"sqlite:///{data}/keys.sqlite3"
    assert settings.redis() is None
    assert settings.storage() == f"file://{data}/blobs"
    assert settings.allowed_origins() == ("http://localhost:8080",)
    assert settings.master_private_key() == data / "admin" / "master.key"
    assert settings.inbox_private_key() == data / "worker" / "inbox.key"
    assert settings.worker.queues == QUEUES
    assert settings.logs.json_lines is True


def test_variables_reach_their_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G2FACE_DATABASE_URL", "postgresql://u:p@db/ledger")
    monkeypatch.setenv("G2FACE_LABELSTUDIO__URL", "https://labels.example:8443/sub/")
    monkeypatch.setenv("G2FACE_LABELSTUDIO__API_KEY", "t0ken")
    monkeypatch.setenv("G2FACE_WORKER__QUEUES", "bulk")
    monkeypatch.setenv("G2FACE_PLUGIN__ALLOWED_ORIGINS", "http://a.example, http://b.example:81")
    monkeypatch.setenv("G2FACE_LOGS__JSON", "false")
    monkeypatch.setenv("G2FACE_PLUGIN__PORT", "")
    settings = Settings.load()
    assert settings.database() == "postgresql://u:p@db/ledger"
    assert settings.labelstudio.url == "https://labels.example:8443/sub"
    assert settings.labelstudio.origin == "https://labels.example:8443"
    assert settings.labelstudio.api_key is not None
    assert settings.labelstudio.api_key.get_secret_value() == "t0ken"
    assert settings.worker.queues == ("bulk",)
    assert settings.allowed_origins() == ("http://a.example", "http://b.example:81")
    assert settings.logs.json_lines is False
    assert settings.plugin.port == 9090, "an empty variable, as docker compose passes them, is none"


def test_hosts_of_images_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().labelstudio.allowed_image_hosts == ()
    monkeypatch.setenv("G2FACE_LABELSTUDIO__ALLOWED_IMAGE_HOSTS", "Images.example.org, cdn.example")
    assert Settings.load().labelstudio.allowed_image_hosts == ("images.example.org", "cdn.example")


@pytest.mark.parametrize("hosts", ["https://images.example", "images.example:443", "a/b", "*", "user@host", "a..b"])
def test_what_is_not_the_name_of_a_host_is_refused(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    monkeypatch.setenv("G2FACE_LABELSTUDIO__ALLOWED_IMAGE_HOSTS", f"fine.example,{hosts}")
    with pytest.raises(ConfigError, match=r"ALLOWED_IMAGE_HOSTS.*a host is a name alone"):
        Settings.load()


def test_secrets_may_be_files_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "g2face_labelstudio__api_key").write_text("from the file\n")
    (folder / "g2face_plugin__path_secret").write_text("from the file")
    (folder / "other_programs_secret").write_bytes(b"\xff\xfe not ours to read")
    monkeypatch.setenv("G2FACE_PLUGIN__PATH_SECRET", "from the environment")
    settings = Settings.load(secrets_dir=folder)
    assert settings.labelstudio.api_key is not None
    assert settings.labelstudio.api_key.get_secret_value() == "from the file"
    assert settings.plugin.path_secret is not None
    assert settings.plugin.path_secret.get_secret_value() == "from the environment"
    assert "from the" not in repr(settings), "secrets do not show"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("G2FACE_LABELSTUDIO__APIKEY", "is G2FACE_LABELSTUDIO__API_KEY meant?"),
        ("G2FACE_REDIS", "not a setting"),
        ("G2FACE_MODEL__PRECISION", "not a setting"),
        ("G2FACE_PLUGIN", "not a setting"),
    ],
)
def test_a_mistyped_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    monkeypatch.setenv(name, "s3cret value")
    with pytest.raises(ConfigError, match=name) as refused:
        Settings.load()
    assert hint in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_mistyped_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g2face_redis_ulr").write_text("redis://x")
    with pytest.raises(ConfigError, match="G2FACE_REDIS_URL meant"):
        Settings.load(secrets_dir=tmp_path)


def test_the_engines_own_variable_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Settings.load()
    monkeypatch.setenv("G2FACE_MODEL__WEIGHTS_DIR", "/weights")
    assert Settings.load() == plain


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("G2FACE_PLUGIN__PORT", "99999"),
        ("G2FACE_LABELSTUDIO__URL", "ftp://labels.example"),
        ("G2FACE_LABELSTUDIO__URL", "http://user:hidden@labels.example"),
        ("G2FACE_WORKER__QUEUES", "interactive,hidden"),
        ("G2FACE_WORKER__QUEUES", ","),
        ("G2FACE_PLUGIN__LINK_KEY", "hidden"),
        ("G2FACE_INTAKE__S3_PREFIXES", "hidden/ward"),
        ("G2FACE_INTAKE__S3_PREFIXES", "s3://photos/ward,s3://key:hidden@photos"),
        ("G2FACE_LOGS__LEVEL", "hidden"),
        ("G2FACE_WORKER__LEASE_S", "0"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name) as refused:
        Settings.load()
    assert "hidden" not in str(refused.value)


def test_keys_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    first, again = Settings.load().link_key(), Settings.load().link_key()
    assert first == again
    assert len(first) == 32
    assert first != Settings.load().session_key()
    file = tmp_path / "data" / "link.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"link\.key.*chmod"):
        Settings.load().link_key()
    file.chmod(0o600)
    file.write_bytes(b"short")
    with pytest.raises(ConfigError, match="not a key"):
        Settings.load().link_key()


def test_a_given_key_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G2FACE_PLUGIN__LINK_KEY", "k" * 40)
    assert Settings.load().link_key() == b"k" * 40


def test_a_data_folder_that_cannot_be_is_a_config_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="G2FACE_DATA_DIR"):
        Settings.load().database()


def test_an_empty_secret_file_is_like_none(tmp_path: Path) -> None:
    (tmp_path / "g2face_labelstudio__api_key").write_text("\n")
    assert Settings.load(secrets_dir=tmp_path).labelstudio.api_key is None


def test_every_setting_is_in_the_example_file() -> None:
    example = (Path(__file__).parents[3] / ".env.example").read_text()
    missing = [name for name in _known() if f"{name}=" not in example]
    assert not missing


def test_an_upload_fits_into_a_small_machines_memory() -> None:
    assert Settings.load().intake.max_upload_bytes == 512 * 2**20
