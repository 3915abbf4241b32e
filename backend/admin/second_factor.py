"""One-time codes from a phone. Their secrets are derived, not kept: the database alone makes no code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime

import pyotp
import segno
from pyotp.exceptions import OTPVerificationError

ISSUER = "g2face admin"
_SECRET_BYTES = 20  # as RFC 4226 recommends; more than this many phones' apps do not take
_STEPS_OFF = 1  # of 30 s: clocks differ, and typing takes time


class SecondFactor:
    """Makes and checks the secrets that phones make codes from."""

    def __init__(self, key: bytes) -> None:
        """key: what all secrets are derived from; at least 32 bytes."""
        self._key = key

    def secret(self, account_id: str, enrolment: int) -> str:
        """The secret of an account's enrolment of this number, in base 32, for a phone to keep."""
        name = f"second factor\n{account_id}\n{enrolment}".encode()
        return base64.b32encode(hmac.digest(self._key, name, hashlib.sha256)[:_SECRET_BYTES]).decode()

    def step(self, account_id: str, enrolment: int, *, code: str, now: datetime) -> int | None:
        """The time step whose code this is, near `now`; None when it is no code."""
        digits = re.sub(r"\s", "", code[:32])
        if re.fullmatch(r"[0-9]{6}", digits) is None:
            return None
        totp = pyotp.TOTP(self.secret(account_id, enrolment))
        try:
            return totp.verify_and_get_timecode(digits, for_time=now, valid_window=_STEPS_OFF)
        except OTPVerificationError:
            return None

    def address(self, account_id: str, enrolment: int, *, email: str) -> str:
        """What a phone's app takes in, as the text of a QR code."""
        return pyotp.TOTP(self.secret(account_id, enrolment)).provisioning_uri(name=email, issuer_name=ISSUER)


def drawing(address: str) -> str:
    """A QR code as an SVG element without any style of its own: no page's policy has to allow one."""
    code = segno.make(address, error="m", micro=False)
    svg = code.svg_inline(svgclass="qr", lineclass=None, omitsize=True, border=4, light="#fff")
    return str(svg)
