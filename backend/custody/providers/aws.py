"""The master private key under a key that never leaves AWS KMS. Credentials come the way of AWS's own library."""

from __future__ import annotations

from typing import Any

from backend.errors import ConfigError, MasterKeyError

_CONNECT_S, _ANSWER_S, _ATTEMPTS = 5, 10, 3
_CONTEXT = {"purpose": "g2face master private key"}  # stands in AWS's own log, and has to be said again to unwrap


class AwsProvider:
    """Asks KMS for the key `key_id` (an id or an ARN, which also says the region); `url` is another address than AWS's.

    Raises `ConfigError` when the library for it is not installed, or does not know the region.
    """

    __slots__ = ("_client", "_failures", "_key_id", "_refusals")

    name = "aws"

    def __init__(self, key_id: str, *, url: str | None = None) -> None:
        try:
            import boto3  # type: ignore[import-untyped]
            from botocore.config import Config  # type: ignore[import-untyped]
            from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
        except ModuleNotFoundError:
            raise ConfigError("the key provider aws needs g2face-label-studio[aws]") from None
        patience = Config(connect_timeout=_CONNECT_S, read_timeout=_ANSWER_S, retries={"total_max_attempts": _ATTEMPTS})
        self._refusals: type[Exception] = ClientError
        self._failures: type[Exception] = BotoCoreError
        self._key_id = key_id
        try:
            session = boto3.Session(region_name=_region(key_id))
            self._client = session.client("kms", endpoint_url=url, config=patience)
        except BotoCoreError as error:
            raise ConfigError(f"AWS's library cannot be used as it is set up ({type(error).__name__})") from None

    def wrap(self, private_key: bytes) -> bytes:
        """What KMS made of the private key. Raises `MasterKeyError` when it would or could not."""
        return self._ask("encrypt", "CiphertextBlob", Plaintext=private_key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The private key. Raises `MasterKeyError` when KMS would or could not."""
        return self._ask("decrypt", "Plaintext", CiphertextBlob=wrapped)

    def _ask(self, what: str, wanted: str, **arguments: bytes) -> bytes:
        ask: Any = getattr(self._client, what)
        try:
            answer: bytes = ask(KeyId=self._key_id, EncryptionContext=_CONTEXT, **arguments)[wanted]
        except self._refusals as error:  # whose words hold account numbers
            code = getattr(error, "response", {}).get("Error", {}).get("Code", "unknown")
            raise MasterKeyError(f"AWS KMS does not do this for us ({code})") from None
        except self._failures as error:
            raise MasterKeyError(f"AWS KMS cannot be asked ({type(error).__name__})") from None
        return answer


def _region(key_id: str) -> str | None:
    """An ARN's fourth part; otherwise AWS's library finds it where it finds the credentials."""
    parts = key_id.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 4 else None  # arn:aws:kms:REGION:ACCOUNT:key/...
