"""What the admin vouches for in the vault's database, where workers write as well: requests for recovery.

Whoever takes a worker over could write themselves an approval, another photo into an approved request, or more time. A
request counts only with a voucher: a keyed hash of all that it says, whose key the admin's processes alone have.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from backend.custody.records import RecoveryRequest

_NAMES = tuple(field.name for field in fields(RecoveryRequest) if field.name != "vouched")


def voucher(key: bytes, request: RecoveryRequest) -> str:
    """The keyed hash (HMAC-SHA256, 64 hexadecimal digits) of a request, with its state and who approved it."""
    said = {name: _plain(getattr(request, name)) for name in _NAMES}
    said["approved_by"] = sorted(request.approved_by)
    return hmac.digest(key, json.dumps(["recovery request", said], sort_keys=True).encode(), "sha256").hex()


def is_right(made: str | None, key: bytes, request: RecoveryRequest) -> bool:
    """Whether `made` is the request's voucher."""
    return made is not None and hmac.compare_digest(made.encode(), voucher(key, request).encode())


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
