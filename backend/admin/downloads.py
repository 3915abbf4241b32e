"""What was retrieved as a file that is handed over: a disputed photo as PNG, a person's copy as a ZIP archive."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator

from flask import Response

from backend.custody.records import RequestKind
from backend.custody.recovery import Retrieved

CONTENTS = "contents.json"
"""In an archive: what is in it, and what was left out of it and why."""


def attachment(retrieved: Retrieved) -> Response:
    """The file, named by ids alone. X-Bit-Exact says whether it is without a forensic mark, X-Left-Out how many photos
    of a subject's access are not in it."""
    name, kind = f"{retrieved.request_id[:8]}.zip", "application/zip"
    if retrieved.kind is RequestKind.RECOVERY:
        (photo,) = retrieved.photos
        name, kind = f"{retrieved.request_id[:8]}-{photo.photo_id[:8]}.png", "image/png"
    return Response(
        content(retrieved),
        mimetype=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Bit-Exact": "true" if retrieved.bit_exact else "false",
            "X-Left-Out": str(len(retrieved.left_out)),
        },
    )


def content(retrieved: Retrieved) -> Iterator[bytes]:
    """The file's bytes, photo by photo. Whoever gets no further than a photo that does not open any more has an archive
    that cannot be read: its directory comes last."""
    if retrieved.kind is RequestKind.RECOVERY:
        yield from (photo.png for photo in retrieved.photos)
        return
    written = _Written()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:  # PNG files do not get smaller
        archive.writestr(CONTENTS, json.dumps(_contents(retrieved), indent=2))
        for photo in retrieved.photos:
            archive.writestr(f"{photo.photo_id}.png", photo.png)
            yield written.taken()
    yield written.taken()


def _contents(retrieved: Retrieved) -> dict[str, object]:
    return {
        "request_id": retrieved.request_id,
        "photos": len(retrieved.photos),
        "bit_exact": retrieved.bit_exact,
        "left_out": [{"photo_id": one.photo_id, "reason": one.reason.value} for one in retrieved.left_out],
        "reasons": {
            "expired": "the time is over for which what the original looked like is kept",
            "not_published": "there is no anonymized photo any more that the face could be put back into",
        },
    }


class _Written:
    """A file that is written to and taken from, never looked back at."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes, /) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        """Everything is there at once."""

    def close(self) -> None:
        """Nothing is held open."""

    def taken(self) -> bytes:
        """What was written since."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
