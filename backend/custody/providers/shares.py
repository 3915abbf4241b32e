"""The master private key under a random secret that is split among n people, any k of whom can join it (SLIP-39).

The file holds AES-256-GCM's nonce and ciphertext. The secret is nowhere: each person keeps a share of 33 words, and k-1
shares say nothing about it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from shamir_mnemonic import MnemonicError, Share, generate_mnemonics  # type: ignore[import-untyped]
from shamir_mnemonic.recovery import RecoveryState  # type: ignore[import-untyped]

from backend.errors import MasterKeyError

Ask = Callable[[int, "int | None"], str]
"""Gives one more share, when told how many there are and how many are needed (None: not known before the first)."""

MOST_SHARES = 16
_SECRET_BYTES = 32
_NONCE_BYTES = 12
_LABEL = b"g2face master private key, wrapped by shares v1"


class SharesProvider:
    """Joins the secret when it is first needed, with as many shares as it takes, and keeps it in memory."""

    __slots__ = ("_ask", "_secret")

    name = "shares"

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._secret: bytes | None = None

    def wrap(self, private_key: bytes) -> bytes:
        """The private key under the secret. Raises `MasterKeyError` when the shares give none."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher().encrypt(nonce, private_key, _LABEL)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The private key. Raises `MasterKeyError` when the shares give no secret, or another one."""
        try:
            return self._cipher().decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _LABEL)
        except (InvalidTag, ValueError):
            self._secret = None
            raise MasterKeyError("these shares do not open the master key's file") from None

    def _cipher(self) -> AESGCM:
        if self._secret is None:
            self._secret = _join(self._ask)
        return AESGCM(self._secret)


def split(*, threshold: int, shares: int) -> tuple[str, ...]:
    """The shares of a new random secret, 33 words each: any `threshold` of them join it.

    Raises `MasterKeyError` for numbers that make no sense: two people at least, and no more than 16 shares.
    """
    if not 2 <= threshold <= shares <= MOST_SHARES:
        raise MasterKeyError(f"a key is split into at most {MOST_SHARES} shares, at least 2 of which are needed")
    groups = generate_mnemonics(1, [(threshold, shares)], secrets.token_bytes(_SECRET_BYTES))
    return tuple(groups[0])


def check(share: str) -> None:
    """Raises `MasterKeyError` for words that are no share: one was mistyped, left out or swapped."""
    _parse(share)


def _parse(share: str) -> Share:
    try:
        return Share.from_mnemonic(" ".join(share.lower().split()))
    except MnemonicError:  # which repeats words
        raise MasterKeyError("this is no share of a key: look for a word that is mistyped or left out") from None


def _join(ask: Ask) -> bytes:
    state, given, needed = RecoveryState(), 0, None
    try:
        while not state.is_complete():
            share = _parse(ask(given, needed))
            state.add_share(share)
            given, needed = state.group_status(share.group_index)
        secret: bytes = state.recover(b"")
    except MnemonicError:
        raise MasterKeyError("these shares do not belong together") from None
    if len(secret) != _SECRET_BYTES:
        raise MasterKeyError("these shares are not of a master key")
    return secret
