"""From the settings to whoever keeps the master key."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from sealed_photos import NOW

from backend.admin import keys
from backend.custody import master
from backend.custody.providers import shares
from backend.custody.providers.aws import AwsProvider
from backend.custody.providers.file import FileProvider
from backend.custody.providers.shares import SharesProvider
from backend.custody.providers.vault import VaultProvider
from backend.custody.records import SubjectRef
from backend.errors import ConfigError, MasterKeyError
from backend.settings import Settings

SPLIT = shares.split(threshold=2, shares=3)


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return tmp_path


def custody(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"G2FACE_CUSTODY__{name.upper()}", value)
    return Settings.load()


def written_down(folder: Path) -> list[Path]:
    paths = [folder / f"share{number}" for number in range(len(SPLIT))]
    for path, share in zip(paths, SPLIT, strict=True):
        path.touch(mode=0o600)
        path.write_text(share + "\n")
    return paths


def test_the_settings_say_who_keeps_the_master_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(keys.provider(Settings.load()), FileProvider)
    assert isinstance(keys.provider(custody(monkeypatch, key_provider="shares")), SharesProvider)
    vault = custody(monkeypatch, key_provider="vault", transit_url="http://localhost:8200", transit_token="t")
    assert isinstance(keys.provider(vault), VaultProvider)
    aws = custody(monkeypatch, key_provider="aws", kms_key_id="key")
    assert isinstance(keys.provider(aws), AwsProvider)
    assert isinstance(keys.provider(aws, "vault"), VaultProvider)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"key_provider": "vault"}, "TRANSIT_URL"),
        ({"key_provider": "vault", "transit_url": "http://localhost:8200"}, "TRANSIT_TOKEN"),
        ({"key_provider": "aws"}, "KMS_KEY_ID"),
    ],
)
def test_a_setting_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
) -> None:
    with pytest.raises(ConfigError, match=f"G2FACE_CUSTODY__{missing} is not set"):
        keys.provider(custody(monkeypatch, **given))


def test_shares_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = written_down(tmp_path)
    settings = custody(monkeypatch, key_provider="shares", share_files=f"{paths[2]}, {paths[0]}")
    made = master.create_master_key(
        settings.master_private_key(), settings.master_public_key(), provider=keys.provider(settings)
    )
    assert keys.master_key(settings).public_key == made


@pytest.mark.parametrize("given", [[0], [1, 1]])
def test_too_few_files_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: list[int]) -> None:
    paths = written_down(tmp_path)
    named = ",".join(str(paths[number]) for number in given)
    with pytest.raises(MasterKeyError, match="1 shares of the master key are there, 2 are needed"):
        keys.provider(custody(monkeypatch, key_provider="shares", share_files=named)).wrap(b"x")


def test_a_share_that_others_can_read_is_none(tmp_path: Path) -> None:
    path = written_down(tmp_path)[0]
    path.chmod(0o644)
    with pytest.raises(MasterKeyError, match="others can read a share of the master key"):
        keys.share_files((path,))(0, None)
    with pytest.raises(MasterKeyError, match="share of the master key cannot be read: No such file") as caught:
        keys.share_files((tmp_path / "none",))(0, None)
    assert str(tmp_path) not in str(caught.value)


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(SPLIT[0]))
    with pytest.raises(ConfigError, match="G2FACE_CUSTODY__SHARE_FILES"):
        keys.provider(custody(monkeypatch, key_provider="shares")).wrap(b"x")


def test_the_keyring_knows_the_master_key_of_the_moment() -> None:
    settings = Settings.load()
    keyring = keys.keyring(settings)
    with pytest.raises(MasterKeyError, match="cannot be read"):
        keyring.ensure(SubjectRef("a" * 32, "x"), now=NOW)
    master.create_master_key(settings.master_private_key(), settings.master_public_key())
    assert keys.master_key(settings).subject_key(keyring.ensure(SubjectRef("a" * 32, "x"), now=NOW)).public_key
    keyring.close()
