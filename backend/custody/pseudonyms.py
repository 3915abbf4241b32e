"""What stands for a subject where no name may stand: a hash under a key that the admin alone has."""

from __future__ import annotations

import hmac
import struct

from backend.custody.records import SubjectRef


def pseudonym(key: bytes, ref: SubjectRef) -> str:
    """The subject's keyed hash (HMAC-SHA256), 64 hexadecimal digits. Without `key` nobody can try names against it."""
    parts = (b"g2face pseudonym v1", ref.project_id.encode(), ref.subject_id.encode())
    message = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return hmac.digest(key, message, "sha256").hex()
