"""A master key that a Vault keeps: nothing of it lies in the file, and every refusal is told without secrets."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import transit_server
from transit_server import KEY, TOKEN, Transit

from backend.custody import master, seal
from backend.custody.providers.vault import VaultProvider
from backend.custody.unseal import MasterKey
from backend.errors import ConfigError, MasterKeyError

PRIVATE_KEY = seal.generate_key_pair().private_key
GOLDEN = Path(__file__).parents[4] / "golden" / "master_key_vault_v1.key"


@pytest.fixture
def transit() -> Iterator[Transit]:
    with transit_server.running() as server:
        yield server


@pytest.fixture
def provider(transit: Transit) -> VaultProvider:
    return VaultProvider(transit.url, TOKEN, key=KEY)


def test_a_key_comes_back_and_the_file_shows_nothing_of_it(provider: VaultProvider, tmp_path: Path) -> None:
    public_key = master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub", provider=provider)
    assert MasterKey(tmp_path / "master.key", provider).public_key == public_key
    title, body = (tmp_path / "master.key").read_bytes().splitlines()
    assert title == b"g2face master private key v1, wrapped by vault"
    assert base64.b64decode(body).startswith(b"vault:v1:")


def test_vault_sees_what_it_needs_alone(provider: VaultProvider, transit: Transit) -> None:
    assert provider.unwrap(provider.wrap(PRIVATE_KEY)) == PRIVATE_KEY
    assert transit.asked == [f"/v1/transit/encrypt/{KEY}", f"/v1/transit/decrypt/{KEY}"]


def test_a_key_that_vault_has_rotated_since_still_comes_back(provider: VaultProvider, transit: Transit) -> None:
    wrapped = provider.wrap(PRIVATE_KEY)
    transit.keys[KEY].append(bytes(32))
    assert provider.unwrap(wrapped) == PRIVATE_KEY
    assert provider.wrap(PRIVATE_KEY).startswith(b"vault:v2:")


def test_what_vault_did_not_wrap_for_this_is_refused(provider: VaultProvider, transit: Transit) -> None:
    good = provider.wrap(PRIVATE_KEY)
    _, foreign = transit.do("encrypt", KEY, {"plaintext": base64.b64encode(PRIVATE_KEY).decode()})
    wrong = (good[:-8], good.replace(b":v1:", b":v9:"), b"", b"\xff" * 90, foreign["data"]["ciphertext"].encode())
    for wrapped in wrong:
        with pytest.raises(MasterKeyError, match="InvalidRequest"):
            provider.unwrap(wrapped)


@pytest.mark.parametrize(
    ("status", "match"),
    [(403, "Forbidden"), (404, "InvalidPath"), (429, "RateLimit"), (500, "Internal"), (503, "VaultDown")],
)
def test_a_refusal_names_neither_address_nor_token(
    provider: VaultProvider, transit: Transit, status: int, match: str
) -> None:
    transit.status = status
    for ask in (provider.wrap, provider.unwrap):
        with pytest.raises(MasterKeyError, match=match) as caught:
            ask(PRIVATE_KEY)
        assert transit.url.removeprefix("http://") not in str(caught.value)
        assert TOKEN not in str(caught.value)
        assert caught.value.__suppress_context__


def test_another_token_is_refused(transit: Transit) -> None:
    with pytest.raises(MasterKeyError, match="Forbidden"):
        VaultProvider(transit.url, "hvs.other", key=KEY).wrap(PRIVATE_KEY)


def test_a_key_that_is_not_there_is_a_refusal(transit: Transit) -> None:
    with pytest.raises(MasterKeyError, match="InvalidRequest"):
        VaultProvider(transit.url, TOKEN, key="none").wrap(PRIVATE_KEY)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"data": 1}', b'{"data": {"plaintext": 1}}', b"<html>"])
def test_an_answer_that_is_none_is_told(provider: VaultProvider, transit: Transit, answer: bytes) -> None:
    transit.answer = answer
    with pytest.raises(MasterKeyError, match="not understood"):
        provider.unwrap(b"vault:v1:")


def test_a_plaintext_that_is_no_base64_is_told(provider: VaultProvider, transit: Transit) -> None:
    transit.answer = b'{"data": {"plaintext": "%%%"}}'
    with pytest.raises(MasterKeyError, match="no key"):
        provider.unwrap(b"vault:v1:")


def test_the_token_does_not_follow_a_redirect(provider: VaultProvider, transit: Transit) -> None:
    with transit_server.running() as elsewhere:
        transit.status, transit.redirect = 307, f"{elsewhere.url}/v1/transit/decrypt/{KEY}"
        with pytest.raises(MasterKeyError, match="not understood"):
            provider.unwrap(b"vault:v1:")
        assert elsewhere.asked == []


def test_a_vault_that_is_away_is_told_without_its_address() -> None:
    with pytest.raises(MasterKeyError, match="cannot be reached") as caught:
        VaultProvider("http://127.0.0.1:1", TOKEN, key=KEY).wrap(PRIVATE_KEY)
    assert "127.0.0.1" not in str(caught.value)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hvac", None)
    with pytest.raises(ConfigError, match=r"g2face-label-studio\[vault\]"):
        VaultProvider("http://127.0.0.1:1", TOKEN, key=KEY)


def test_the_token_is_not_shown(provider: VaultProvider) -> None:
    assert not hasattr(provider, "__dict__")
    assert TOKEN not in repr(provider)


def test_the_golden_file_still_opens(provider: VaultProvider, tmp_path: Path) -> None:
    """Written once for the private key bytes(range(96)) by the transit key bytes(range(32)). Not to be written anew."""
    (tmp_path / "master.key").write_bytes(GOLDEN.read_bytes())
    (tmp_path / "master.key").chmod(0o600)
    assert seal.key_id(MasterKey(tmp_path / "master.key", provider).public_key).hex() == "684b9508c57446a9"
