"""read-payload PICTURE ...: what is hidden in the faces of published pictures, and whom it describes, with the key."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from g2face_model import images, payload_file
from g2face_model.commandline.console import Line, emit, usage
from g2face_model.commandline.photos import Outbox, Photo
from g2face_model.errors import ModelError
from g2face_model.types import Image

if TYPE_CHECKING:
    from g2face_model.in_image import Found, InImage
    from g2face_model.likeness import Likeness


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
    parser.add_argument(
        "--likeness",
        type=Path,
        metavar="FOLDER",
        help="also write NAME.png with an approximation of who was there in place of every face that could be read",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    missing = [path.name for path in args.pictures if not path.is_file()]
    if missing:
        return usage(f"no such file: {', '.join(missing)}")
    key = payload_file.read_key_file(args.key_file)
    from g2face_model import in_image  # only now: bad usage should not wait for torch

    reader = in_image.load(args.weights_dir, key.hidden)
    artist = _artist(args)
    lines = [emit(_attempt(reader, Photo(path.name, path), artist)) for path in args.pictures]
    return 0 if all(line["status"] == "read" for line in lines) else 1


@dataclass(frozen=True, slots=True)
class _Artist:
    """Draws likenesses into copies of the pictures, for their owner's eyes alone."""

    likeness: Likeness
    outbox: Outbox

    def draw(self, name: str, picture: Image, found: Sequence[Found]) -> Line:
        target = f"{name}.png"
        self.outbox.claim(target)
        drawn, faces = picture.copy(), []
        for index, face in enumerate(found):
            patch = self.likeness.draw(picture, face.box, face.payload.code) if face.payload is not None else None
            if patch is not None:
                patch.apply(drawn)
                faces.append(index)
        self.outbox.write(target, images.encode(drawn, "png"), mode=0o600)
        return {"likeness": target, "drawn": faces}


def _artist(args: argparse.Namespace) -> _Artist | None:
    if args.likeness is None:
        return None
    from g2face_model import likeness

    return _Artist(likeness.load(args.weights_dir), Outbox(args.likeness, [*args.pictures, args.key_file]))


def _attempt(reader: InImage, photo: Photo, artist: _Artist | None) -> Line:
    line: Line = {"name": photo.name, "status": "failed"}
    try:
        picture = images.decode(photo.read())
        found = reader.read(picture)
        line |= {"status": _status(found), "faces": [_describe(face) for face in found]}
        return line | (artist.draw(photo.name, picture, found) if artist is not None else {})
    except ModelError as error:
        return line | {"error": str(error)}
    except OSError as error:
        return line | {"status": "failed", "error": error.strerror or type(error).__name__}


def _status(found: Sequence[Found]) -> str:
    if not found:
        return "no face"
    return "read" if any(face.payload is not None for face in found) else "nothing read"


def _describe(face: Found) -> Line:
    return {
        "box": [round(side, 1) for side in (face.box.left, face.box.top, face.box.right, face.box.bottom)],
        "record_id": face.payload.record_id.hex() if face.payload is not None else None,
    }
