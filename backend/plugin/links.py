"""Addresses of anonymized images: an unguessable key, signed, so that nobody can try keys and an address can lapse."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from enum import Enum
from urllib.parse import parse_qs, urlencode, urlsplit

_KEY = re.compile(r"[A-Za-z0-9_-]{32,128}")
_FOREVER = "0"


class Standing(Enum):
    """What an address is worth."""

    GOOD = "good"
    LAPSED = "lapsed"
    FORGED = "forged"


class Links:
    """Makes and checks addresses below `public_url`, the address that Label Studio's users reach the plugin under.

    secret: at least 16 bytes; with another secret every address handed out before is worthless. lifetime_s: how long an
    address is good, 0 for ever.
    """

    def __init__(self, public_url: str, secret: bytes, *, lifetime_s: int = 0) -> None:
        if len(secret) < 16:
            raise ValueError("the secret that signs addresses needs at least 16 bytes")
        self._base = public_url.rstrip("/") + "/images/"
        self._secret, self._lifetime_s = secret, lifetime_s

    @property
    def host(self) -> str:
        """Host and port of the addresses, as they stand there."""
        return urlsplit(self._base).netloc

    def address(self, image_key: str, now: datetime) -> str:
        """The address of the image with this key, good from `now` on."""
        expiry = str(int(now.timestamp()) + self._lifetime_s) if self._lifetime_s else _FOREVER
        return f"{self._base}{image_key}?{urlencode({'e': expiry, 's': self._signature(image_key, expiry)})}"

    def check(self, image_key: str, *, expiry: str, signature: str, now: datetime) -> Standing:
        """Whether we made the address with these parts, and whether it is still good."""
        expected = self._signature(image_key, expiry)
        if not _KEY.fullmatch(image_key) or not hmac.compare_digest(expected.encode(), signature.encode()):
            return Standing.FORGED
        if expiry != _FOREVER and now >= datetime.fromtimestamp(int(expiry), UTC):
            return Standing.LAPSED
        return Standing.GOOD

    def image_key(self, address: str) -> str | None:
        """The key in an address that we made, lapsed or not; None for any other address."""
        if not address.startswith(self._base):
            return None
        key, _, query = address.removeprefix(self._base).partition("?")
        fields = parse_qs(query)
        expiry, signature = (fields.get(name, [""])[0] for name in ("e", "s"))
        if not _KEY.fullmatch(key) or not hmac.compare_digest(
            self._signature(key, expiry).encode(), signature.encode()
        ):
            return None
        return key

    def _signature(self, image_key: str, expiry: str) -> str:
        # The key's alphabet has no dot, so that the two parts cannot be told apart in two ways.
        return hmac.new(self._secret, f"image.{image_key}.{expiry}".encode(), hashlib.sha256).hexdigest()[:40]
