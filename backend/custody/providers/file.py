"""The private key as it is: its file's mode is all that protects it."""

from __future__ import annotations

import hashlib

from backend.errors import MasterKeyError

_KEY_BYTES = 96
_CHECK_BYTES = 12


class FileProvider:
    """Wraps nothing, and adds a check: a third of a key's bits open as well when they are wrong, and a key that came
    back damaged from a backup should be known by its file, not by what fails later."""

    name = "file"

    def wrap(self, private_key: bytes) -> bytes:
        """The private key and its check."""
        return private_key + _check(private_key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The private key; of a file that was written before there was a check, as it is.

        Raises `MasterKeyError` when anything was changed.
        """
        private_key, check = wrapped[:_KEY_BYTES], wrapped[_KEY_BYTES:]
        if check and check != _check(private_key):
            raise MasterKeyError("the private key's file was changed or damaged")
        return private_key


def _check(private_key: bytes) -> bytes:
    return hashlib.sha256(b"g2face private key check v1" + private_key).digest()[:_CHECK_BYTES]
