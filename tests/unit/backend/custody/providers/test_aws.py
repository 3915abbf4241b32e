"""A master key that AWS KMS keeps, with moto's KMS behind a real HTTP server."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.kms.models import kms_backends
from moto.server import ThreadedMotoServer

from backend.custody import master, seal
from backend.custody.providers.aws import AwsProvider
from backend.custody.unseal import MasterKey
from backend.errors import ConfigError, MasterKeyError

REGION = "eu-central-1"
PRIVATE_KEY = seal.generate_key_pair().private_key
GOLDEN = Path(__file__).parents[4] / "golden" / "master_key_aws_v1.key"
GOLDEN_KEY_ID = "01234567-89ab-cdef-0123-456789abcdef"


@dataclass(frozen=True)
class Kms:
    url: str
    key_id: str
    arn: str


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAMADEUP",
        "AWS_SECRET_ACCESS_KEY": "made-up-secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def kms(server: str) -> Kms:
    client = boto3.client("kms", region_name=REGION, endpoint_url=server)
    made = client.create_key()["KeyMetadata"]
    return Kms(server, made["KeyId"], made["Arn"])


def test_a_key_comes_back_and_the_file_shows_nothing_of_it(kms: Kms, tmp_path: Path) -> None:
    provider = AwsProvider(kms.key_id, url=kms.url)
    public_key = master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub", provider=provider)
    assert MasterKey(tmp_path / "master.key", AwsProvider(kms.key_id, url=kms.url)).public_key == public_key
    title, body = (tmp_path / "master.key").read_bytes().splitlines()
    assert title == b"g2face master private key v1, wrapped by aws"
    assert len(base64.b64decode(body)) > seal.PRIVATE_KEY_BYTES


def test_an_arn_says_the_region(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    provider = AwsProvider(kms.arn, url=kms.url)
    assert provider.unwrap(provider.wrap(PRIVATE_KEY)) == PRIVATE_KEY
    with pytest.raises(ConfigError, match="NoRegion"):
        AwsProvider(kms.key_id, url=kms.url)


def test_what_kms_wrapped_for_something_else_is_refused(kms: Kms) -> None:
    provider = AwsProvider(kms.key_id, url=kms.url)
    client = boto3.client("kms", region_name=REGION, endpoint_url=kms.url)
    foreign = client.encrypt(KeyId=kms.key_id, Plaintext=PRIVATE_KEY, EncryptionContext={"purpose": "other"})
    bare = client.encrypt(KeyId=kms.key_id, Plaintext=PRIVATE_KEY)
    good = provider.wrap(PRIVATE_KEY)
    for wrapped in (foreign["CiphertextBlob"], bare["CiphertextBlob"], good[:-1], good[:-1] + b"\0", b"x", b""):
        with pytest.raises(MasterKeyError, match="InvalidCiphertext"):
            provider.unwrap(wrapped)


def test_a_key_that_is_not_there_is_a_refusal_without_numbers_of_accounts(kms: Kms) -> None:
    with pytest.raises(MasterKeyError, match="NotFoundException") as caught:
        AwsProvider("00000000-0000-0000-0000-000000000000", url=kms.url).wrap(PRIVATE_KEY)
    assert "0000" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_kms_that_is_away_is_told_without_its_address(kms: Kms) -> None:
    with pytest.raises(MasterKeyError, match="EndpointConnectionError") as caught:
        AwsProvider(kms.key_id, url="http://127.0.0.1:1").wrap(PRIVATE_KEY)
    assert "127.0.0.1" not in str(caught.value)


def test_missing_credentials_are_told(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(MasterKeyError, match="NoCredentials"):
        AwsProvider(kms.key_id, url=kms.url).wrap(PRIVATE_KEY)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigError, match=r"g2face-label-studio\[aws\]"):
        AwsProvider("key")


def test_the_golden_file_still_opens(kms: Kms, tmp_path: Path) -> None:
    """Written once for the private key bytes(range(96)), as moto's KMS wraps it; not to be written anew."""
    there = kms_backends[DEFAULT_ACCOUNT_ID][REGION].keys
    there[GOLDEN_KEY_ID] = there.pop(kms.key_id)
    there[GOLDEN_KEY_ID].id, there[GOLDEN_KEY_ID].key_material = GOLDEN_KEY_ID, bytes(range(32))
    (tmp_path / "master.key").write_bytes(GOLDEN.read_bytes())
    (tmp_path / "master.key").chmod(0o600)
    key = MasterKey(tmp_path / "master.key", AwsProvider(GOLDEN_KEY_ID, url=kms.url))
    assert seal.key_id(key.public_key).hex() == "684b9508c57446a9"
