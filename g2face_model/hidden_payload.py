"""The code of a payload that is hidden in a face: encrypted, then protected against errors, then made to look random.

A payload is the id of a record and an identity code. AES-SIV (RFC 5297) encrypts and authenticates it: it needs no
nonce, since no two payloads are alike, and the room for one goes into redundancy. A Reed-Solomon code over bytes makes
255 symbols of it, as many as a face has cells, so that a cell that is lost costs one symbol however many of its bits
are wrong. At last every symbol is masked, and all are shuffled, by a keystream: without the key not even the code's
own structure is seen in the symbols of a face. The keystream is the same for every face, so between two faces of one
key that structure shows: that both carry a payload of one key, not what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray
from reedsolo import ReedSolomonError, RSCodec  # type: ignore[import-untyped]

from g2face_model.errors import RecoveryError

ID_BYTES, CODE_BYTES = 16, 64
SYMBOLS = 255  # bytes, one for each cell
KEY_BYTES = 32
_TAG_BYTES = 16
_PARITY = SYMBOLS - _TAG_BYTES - ID_BYTES - CODE_BYTES
MOST_WRONG = _PARITY // 2
"""So many symbols may be wrong, whichever: 79, or all bits of 31 % of the face. Spread at random, that is every
thirtieth bit. Of symbols that are known to be doubtful twice as many may be lost."""
_GIVEN_UP = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)  # shares of the parity spent on the most doubtful symbols


@dataclass(frozen=True, slots=True)
class HiddenPayload:
    """What a face carries: the id of its record (16 random bytes) and its identity code (64 bytes)."""

    record_id: bytes
    code: bytes

    def __post_init__(self) -> None:
        if len(self.record_id) != ID_BYTES or len(self.code) != CODE_BYTES:
            raise RecoveryError("a hidden payload has an id of 16 bytes and a code of 64")


class HiddenKey:
    """Seals hidden payloads and opens them. Its bytes are never shown."""

    __slots__ = ("_cipher", "_codec", "_order", "_whitening")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise RecoveryError(f"a key has {KEY_BYTES} bytes")
        self._cipher = AESSIV(_derive(secret, b"g2face hidden cipher v1", 64))
        self._whitening = np.frombuffer(_derive(secret, b"g2face hidden whitening v1", SYMBOLS), np.uint8)
        draws = np.frombuffer(_derive(secret, b"g2face hidden order v1", 8 * SYMBOLS), ">u8")
        self._order = np.argsort(draws, kind="stable")
        self._codec = RSCodec(_PARITY, nsize=SYMBOLS)

    def seal(self, payload: HiddenPayload) -> bytes:
        """The 255 symbols, in the order of the cells. The same payload gives the same symbols."""
        sealed = self._cipher.encrypt(payload.record_id + payload.code, None)
        coded = np.frombuffer(bytes(self._codec.encode(sealed)), np.uint8)
        return (coded ^ self._whitening)[self._order].tobytes()

    def open(self, symbols: bytes, doubts: Sequence[float] | None = None) -> HiddenPayload:
        """The payload in 255 symbols, of which some are wrong; `doubts` (255,): the higher, the less a symbol is worth.

        Raises `RecoveryError` when no payload of this key can be read: there is none, it is another key's, it was
        tampered with, or too little of it is left. These look alike without a header, and there is none on purpose.
        """
        if len(symbols) != SYMBOLS or (doubts is not None and len(doubts) != SYMBOLS):
            raise RecoveryError(f"a face carries {SYMBOLS} symbols")
        coded = np.empty(SYMBOLS, np.uint8)
        coded[self._order] = np.frombuffer(symbols, np.uint8)
        coded ^= self._whitening
        suspects = self._order[np.argsort(-np.asarray(doubts), kind="stable")] if doubts is not None else self._order
        for share in _GIVEN_UP if doubts is not None else _GIVEN_UP[:1]:
            sealed = self._corrected(coded, suspects[: int(share * _PARITY)])
            if sealed is not None:
                return HiddenPayload(sealed[:ID_BYTES], sealed[ID_BYTES:])
        raise RecoveryError("no hidden payload that this key opens can be read from this face")

    def _corrected(self, coded: NDArray[np.uint8], lost: NDArray[np.intp]) -> bytes | None:
        """The authentic plaintext, or None."""
        try:
            sealed = bytes(self._codec.decode(coded.tobytes(), erase_pos=lost.tolist() or None)[0])
            return self._cipher.decrypt(sealed, None)
        except (ReedSolomonError, ZeroDivisionError, InvalidTag):  # reedsolo divides by nought in hopeless words
            return None


def _derive(secret: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose).derive(secret)
