"""The private key as it is: its file's mode is all that protects it."""

from __future__ import annotations


class FileProvider:
    """Wraps nothing."""

    name = "file"

    def wrap(self, private_key: bytes) -> bytes:
        """The private key."""
        return private_key

    def unwrap(self, wrapped: bytes) -> bytes:
        """The private key."""
        return wrapped
