"""What is signed can be checked with the public half alone, and every changed bit shows."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.custody import signing
from backend.custody.signing import SigningKey
from backend.errors import MasterKeyError, SignatureError

DOCUMENT = {"kind": "receipt", "seq": 7, "who": "Jané", "nothing": None, "inner": {"b": [1, 2], "a": True}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(), json_values, max_size=5)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.ensure(tmp_path_factory.mktemp("keys") / "signing.key")


def test_the_key_is_made_where_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "admin" / "signing.key"
    key = SigningKey.ensure(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(file.name for file in path.parent.iterdir()) == ["signing.key", "signing.pub"]
    assert signing.read_public(path.parent / "signing.pub") == key.public
    assert SigningKey(path).public == SigningKey.ensure(path).public == key.public


def test_several_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: SigningKey.ensure(tmp_path / "signing.key"), range(8)))
    assert len({key.public for key in keys}) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["signing.key", "signing.pub"]


@pytest.mark.parametrize("content", [None, b"", b"something else"])
def test_a_public_file_that_is_lost_or_wrong_is_written_anew(tmp_path: Path, content: bytes | None) -> None:
    key = SigningKey.ensure(tmp_path / "signing.key")
    public_path = tmp_path / "signing.pub"
    if content is None:
        public_path.unlink()
    else:
        public_path.write_bytes(content)
    assert SigningKey.ensure(tmp_path / "signing.key").public == key.public == signing.read_public(public_path)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    SigningKey.ensure(tmp_path / "signing.key")
    (tmp_path / "signing.key").chmod(0o640)
    with pytest.raises(MasterKeyError, match="mode 0600"):
        SigningKey.ensure(tmp_path / "signing.key")


def test_what_is_no_key_is_refused_without_saying_where(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1())
    private = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for number, content in enumerate([b"", b"-----BEGIN PRIVATE KEY-----\n", private]):
        path = tmp_path / f"{number}.key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(MasterKeyError, match="no signing key"):
            SigningKey(path)
    for content in (b"", private, public):
        (tmp_path / "x.pub").write_bytes(content)
        with pytest.raises(MasterKeyError, match="no signing public key"):
            signing.read_public(tmp_path / "x.pub")
    for read in (SigningKey, signing.read_public):
        with pytest.raises(MasterKeyError) as caught:
            read(tmp_path / "none")
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(MasterKeyError, match="cannot be made"):
        SigningKey.ensure(tmp_path / "x.pub" / "signing.key")


def test_what_is_signed_comes_back(key: SigningKey) -> None:
    signed = key.sign(DOCUMENT)
    assert signing.verify(json.loads(json.dumps(signed)), key.public) == DOCUMENT
    assert signed["signed_by"] == signing.key_id(key.public)


@settings(max_examples=100, deadline=None)
@given(document=documents, other=documents)
def test_only_what_was_signed_is_verified(key: SigningKey, document: dict[str, Any], other: dict[str, Any]) -> None:
    signed = json.loads(json.dumps(key.sign(document)))
    assert signing.canonical(signing.verify(signed, key.public)) == signing.canonical(document)
    if signing.canonical(other) != signing.canonical(document):
        with pytest.raises(SignatureError):
            signing.verify(signed | {"document": other}, key.public)


def test_every_changed_bit_of_the_signature_shows(key: SigningKey) -> None:
    signed = key.sign(DOCUMENT)
    signature = base64.b64decode(signed["signature"])
    for bit in range(len(signature) * 8):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureError, match="changed"):
            signing.verify(signed | {"signature": base64.b64encode(changed).decode()}, key.public)


@pytest.mark.parametrize(
    "change",
    [
        {"signature": ""},
        {"signature": "%%%"},
        {"signature": None},
        {"signature": 7},
        {"signature": "é"},
        {"document": "x"},
        {"document": {"n": float("nan")}},
        {"signed_by": "0" * 16},
        {"more": 1},
    ],
)
def test_what_is_no_signed_document_is_refused(key: SigningKey, change: dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        signing.verify(key.sign(DOCUMENT) | change, key.public)
    for other in (None, [], "x", {}, {"document": {}}):
        with pytest.raises(SignatureError, match="no signed document"):
            signing.verify(other, key.public)


def test_another_key_is_told_from_a_change(key: SigningKey, tmp_path: Path) -> None:
    other = SigningKey.ensure(tmp_path / "signing.key")
    with pytest.raises(SignatureError, match="another key"):
        signing.verify(other.sign(DOCUMENT), key.public)


def test_other_peoples_tools_can_check_it(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    signed = SigningKey.ensure(tmp_path / "signing.key").sign(DOCUMENT)
    (tmp_path / "document").write_bytes(signing.canonical(signed["document"]))
    (tmp_path / "signature").write_bytes(base64.b64decode(signed["signature"]))
    command = f"{openssl} pkeyutl -verify -pubin -inkey signing.pub -rawin -in document -sigfile signature"
    checked = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert b"Verified Successfully" in checked.stdout
