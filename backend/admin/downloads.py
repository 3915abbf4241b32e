"""What was retrieved as a file that is handed over: one photo as PNG, several as a ZIP archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection

from flask import Response

from backend.custody.recovery import Retrieved, RetrievedPhoto


def attachment(retrieved: Retrieved) -> Response:
    """The file, named by ids alone. X-Bit-Exact says whether it is without a forensic mark, X-Left-Out how many photos
    of a subject's access are not in it."""
    name, photos = retrieved.request_id[:8], retrieved.photos
    if len(photos) == 1:
        kind, name = "image/png", f"{name}-{photos[0].photo_id[:8]}.png"
    else:
        kind, name = "application/zip", f"{name}.zip"
    return Response(
        content(retrieved),
        mimetype=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Bit-Exact": "true" if retrieved.bit_exact else "false",
            "X-Left-Out": str(retrieved.left_out),
        },
    )


def content(retrieved: Retrieved) -> bytes:
    """The file's bytes."""
    photos = retrieved.photos
    return photos[0].png if len(photos) == 1 else _archive(photos)


def _archive(photos: Collection[RetrievedPhoto]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # PNG files do not get smaller
        for photo in photos:
            archive.writestr(f"{photo.photo_id}.png", photo.png)
    return buffer.getvalue()
