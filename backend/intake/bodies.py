"""Uploads without a disk: what a request carries stays in memory until it is sealed."""

from __future__ import annotations

import io
from typing import IO

from flask import Request
from werkzeug.datastructures import FileStorage

from backend.errors import IntakeError
from backend.intake.parcels import HandedIn


class InMemoryRequest(Request):
    """A request whose uploaded files are never written to a temporary file, however large they are."""

    max_form_parts = 20_000

    def _get_file_stream(
        self,
        total_content_length: int | None,  # noqa: ARG002
        content_type: str | None,  # noqa: ARG002
        filename: str | None = None,  # noqa: ARG002
        content_length: int | None = None,  # noqa: ARG002
    ) -> IO[bytes]:
        return io.BytesIO()


def handed_in(request: Request) -> list[HandedIn]:
    """The files of an upload, in order. Raises `IntakeError` when there is none."""
    files = [HandedIn(file.filename or "", _bytes(file)) for file in request.files.getlist("files") if file.filename]
    if not files:
        raise IntakeError("send photos as files in the form field named files")
    return files


def total(request: Request) -> int | None:
    """How many photos the manager hands in altogether, when this upload is a part of them."""
    text = request.form.get("total", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


def _bytes(file: FileStorage) -> bytes:
    # BytesIO hands out its buffer without copying it.
    return file.stream.getvalue() if isinstance(file.stream, io.BytesIO) else file.stream.read()
