"""What stands between the master private key's file and the key itself."""

from __future__ import annotations

from typing import Protocol


class KeyProvider(Protocol):
    """Wraps a private key for its file, and unwraps it again. Its errors hold no key, token or address."""

    @property
    def name(self) -> str:
        """What the file's title says about who can unwrap it."""
        ...

    def wrap(self, private_key: bytes) -> bytes:
        """The bytes for the file. Raises `MasterKeyError`."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """The private key that was wrapped. Raises `MasterKeyError`."""
        ...
