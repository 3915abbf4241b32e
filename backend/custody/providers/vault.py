"""The master private key under a key that never leaves HashiCorp Vault (its transit engine)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from backend.errors import ConfigError, MasterKeyError

_PATIENCE_S = 10
_BOUND_TO = base64.b64encode(b"g2face master private key").decode()


class VaultProvider:
    """Asks the Vault at `url`, whose `token` may encrypt and decrypt with the transit key `key`.

    Raises `ConfigError` when the library for it is not installed.
    """

    __slots__ = ("_client", "_key", "_refusals")

    name = "vault"

    def __init__(self, url: str, token: str, *, key: str) -> None:
        try:
            import hvac  # type: ignore[import-untyped]
        except ModuleNotFoundError:
            raise ConfigError("the key provider vault needs g2face-label-studio[vault]") from None
        # a redirect would take the token along, wherever it leads
        self._client = hvac.Client(url, token, timeout=_PATIENCE_S, allow_redirects=False)
        self._key = key
        self._refusals: type[Exception] = hvac.exceptions.VaultError

    def wrap(self, private_key: bytes) -> bytes:
        """What Vault made of the private key. Raises `MasterKeyError` when it would or could not."""
        plaintext = base64.b64encode(private_key).decode()
        return self._ask("encrypt_data", "ciphertext", plaintext=plaintext).encode()

    def unwrap(self, wrapped: bytes) -> bytes:
        """The private key. Raises `MasterKeyError` when Vault would or could not."""
        answer = self._ask("decrypt_data", "plaintext", ciphertext=wrapped.decode("ascii", "replace"))
        try:
            return base64.b64decode(answer, validate=True)
        except binascii.Error:
            raise MasterKeyError("Vault gave no key") from None

    def _ask(self, what: str, wanted: str, **arguments: str) -> str:
        ask = getattr(self._client.secrets.transit, what)
        try:
            answer = ask(self._key, **arguments, associated_data=_BOUND_TO)
        except self._refusals as error:  # whose words hold the address
            raise MasterKeyError(f"Vault does not do this for us ({type(error).__name__})") from None
        except OSError as error:
            raise MasterKeyError(f"Vault cannot be reached ({type(error).__name__})") from None
        return _said(answer, wanted)


def _said(answer: Any, wanted: str) -> str:
    data = answer.get("data") if isinstance(answer, Mapping) else None
    said = data.get(wanted) if isinstance(data, Mapping) else None
    if not isinstance(said, str):
        raise MasterKeyError("Vault's answer is not understood")
    return said
