"""The inverse of `seal`, and the reading of private key files, for the two modules that may open anything: `unseal`
(the admin's master key) and `inbox_opening` (the worker's own key)."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from backend.custody import key_files, seal
from backend.custody.key_files import Purpose
from backend.custody.providers.provider import KeyProvider
from backend.errors import SealBrokenError

_MLKEM_SEED_BYTES = 64


class PrivateKey:
    """A private key that opens what was sealed to its public half. Its bytes are never shown.

    `private_key` has 96 bytes. Raises `SealBrokenError` for anything else.
    """

    __slots__ = ("_mlkem", "_x25519", "public_key")

    def __init__(self, private_key: bytes) -> None:
        if len(private_key) != seal.PRIVATE_KEY_BYTES:
            raise SealBrokenError(f"a private key has {seal.PRIVATE_KEY_BYTES} bytes")
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(private_key[:_MLKEM_SEED_BYTES])
        self._x25519 = X25519PrivateKey.from_private_bytes(private_key[_MLKEM_SEED_BYTES:])
        self.public_key = self._mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()

    def open(self, sealed: bytes, *, context: bytes) -> bytes:
        """What `seal` was given with the same context. Raises `SealBrokenError` for anything that was changed, cut,
        sealed to another key or sealed as something else."""
        head = seal.header(self.public_key)
        if len(sealed) < seal.HEADER_BYTES or sealed[: seal.ID_AT] != head[: seal.ID_AT]:
            raise SealBrokenError("not a sealed value of a version this program reads")
        if sealed[seal.ID_AT : seal.HEADER_BYTES] != head[seal.ID_AT :]:
            raise SealBrokenError("the value was sealed to another key")
        private = MLKEM768X25519PrivateKey(self._mlkem, self._x25519)
        try:
            return seal.SUITE.decrypt(sealed[seal.HEADER_BYTES :], private, head + context)
        except (InvalidTag, ValueError):
            raise SealBrokenError("the sealed value was changed, or sealed as something else") from None


def read_private_key(path: Path, purpose: Purpose, *, provider: KeyProvider = key_files.PLAIN) -> PrivateKey:
    """The private key in a file that only its owner can touch. Raises as `read_private` does."""
    return PrivateKey(read_private(path, purpose, provider=provider))


def read_private(path: Path, purpose: Purpose, *, provider: KeyProvider) -> bytes:
    """A private key's 96 bytes in a file that only its owner can touch.

    Raises `MasterKeyError` when the file cannot be read, holds anything else, was wrapped by another provider, cannot
    be unwrapped, or others may read or write it.
    """
    content = key_files.read_owned(path, f"the {purpose} private key")
    return key_files.parse_private(content, purpose, provider=provider)
