"""read-payload PICTURE ...: what is hidden in the faces of published pictures, for whoever has the key."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from g2face_model import images, payload_file
from g2face_model.commandline.console import Line, emit, usage
from g2face_model.commandline.photos import Photo
from g2face_model.errors import ModelError

if TYPE_CHECKING:
    from g2face_model.in_image import Found, InImage


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "read-payload",
        help="read the payloads that anonymize --in-image hid in faces",
        description="Prints one JSON line per picture: per face its rectangle and the id of its record, or null where "
        "no payload of this key could be read. Exit status 0: a payload was read in every picture, 1: not in all, "
        "2: bad usage or key.",
    )
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="PNG, JPEG or WebP, also a copy")
    parser.add_argument("--key-file", required=True, type=Path, metavar="FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    missing = [path.name for path in args.pictures if not path.is_file()]
    if missing:
        return usage(f"no such file: {', '.join(missing)}")
    key = payload_file.read_key_file(args.key_file)
    from g2face_model import in_image  # only now: bad usage should not wait for torch

    reader = in_image.load(args.weights_dir, key.hidden)
    lines = [emit(_attempt(reader, Photo(path.name, path))) for path in args.pictures]
    return 0 if all(line["status"] == "read" for line in lines) else 1


def _attempt(reader: InImage, photo: Photo) -> Line:
    try:
        found = reader.read(images.decode(photo.read()))
    except ModelError as error:
        return {"name": photo.name, "status": "failed", "error": str(error)}
    except OSError as error:
        return {"name": photo.name, "status": "failed", "error": error.strerror or type(error).__name__}
    return {"name": photo.name, "status": _status(found), "faces": [_describe(face) for face in found]}


def _status(found: Sequence[Found]) -> str:
    if not found:
        return "no face"
    return "read" if any(face.payload is not None for face in found) else "nothing read"


def _describe(face: Found) -> Line:
    return {
        "box": [round(side, 1) for side in (face.box.left, face.box.top, face.box.right, face.box.bottom)],
        "record_id": face.payload.record_id.hex() if face.payload is not None else None,
    }
