"""restore PICTURE|FOLDER: the original, bit for bit, from the published file, its payload file and the key."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from g2face_model import images, payload_file, recovery
from g2face_model.commandline.console import Line, emit, usage
from g2face_model.commandline.photos import Outbox, Photo, find
from g2face_model.errors import ModelError, RecoveryError, UnreadableImageError
from g2face_model.payload_file import Key
from g2face_model.recovery import RecoveryPayload
from g2face_model.types import Image

_FORMATS: dict[str, images.Format] = {".png": "png", ".webp": "webp"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "restore",
        help="give originals back, with their key",
        description="Restores one picture to a file, or every picture of a folder to a folder, and prints one JSON "
        "line each. Exit status 0: all restored, 1: some were not, 2: bad usage or key.",
    )
    parser.add_argument("anonymized", type=Path, metavar="PICTURE|FOLDER")
    parser.add_argument(
        "--payload",
        type=Path,
        metavar="FILE|FOLDER",
        help=f"the payload file, or the folder of payload files (default: PICTURE{payload_file.SUFFIX}, FOLDER)",
    )
    parser.add_argument("--key-file", required=True, type=Path, metavar="FILE")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE|FOLDER", help="FILE is .png or .webp")
    parser.add_argument(
        "--face", type=int, nargs="+", metavar="N", help="only these faces; everything else stays as published"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not os.path.exists(args.anonymized):
        return usage(f"no such file or folder: {args.anonymized.name}")
    key = payload_file.read_key_file(args.key_file)
    return _run_folder(args, key) if args.anonymized.is_dir() else _run_file(args, key)


def _run_file(args: argparse.Namespace, key: Key) -> int:
    format = _FORMATS.get(args.out.suffix.lower())
    if format is None or args.out.is_dir():
        return usage("--out has to be a .png or .webp file: other formats do not keep every bit")
    payload = args.payload or args.anonymized.with_name(args.anonymized.name + payload_file.SUFFIX)
    outbox = Outbox(args.out.parent, [args.anonymized, payload, args.key_file])
    pair = Photo(args.anonymized.name, args.anonymized), Photo(payload.name, payload)
    return _status([_attempt(pair, key, outbox, target=args.out.name, format=format, faces=args.face)])


def _run_folder(args: argparse.Namespace, key: Key) -> int:
    payloads_in = args.payload or args.anonymized
    if not payloads_in.is_dir() or (args.out.exists() and not args.out.is_dir()):
        return usage("for a folder of pictures, --payload and --out have to be folders")
    found = find([payloads_in], excluded=args.out, suffixes=frozenset({payload_file.SUFFIX}))
    if not found.photos and not found.troubles:
        return usage("there is no payload file in that folder")
    pairs = []
    for payload in found.photos:
        name = payload.name.removesuffix(payload_file.SUFFIX)
        pairs.append((Photo(name, args.anonymized / name), payload))
    outbox = Outbox(args.out, [args.key_file, *(photo.path for pair in pairs for photo in pair)])
    lines = [emit({"name": name, "status": "failed", "error": reason}) for name, reason in found.troubles]
    for pair in pairs:
        target = Path(pair[0].name).with_suffix(".png").as_posix()
        lines.append(_attempt(pair, key, outbox, target=target, format="png", faces=args.face))
    return _status(lines)


def _attempt(
    pair: tuple[Photo, Photo],
    key: Key,
    outbox: Outbox,
    *,
    target: str,
    format: images.Format,
    faces: Sequence[int] | None,
) -> Line:
    """Restore one picture; the line that tells what came of it, already printed."""
    picture, payload = pair
    line: Line = {"name": picture.name, "status": "failed"}
    try:
        outbox.claim(target)
        published = images.decode(picture.read())
        payloads = _chosen(key.unseal(_sealed(payload), published), faces)
        original = recovery.restore(published, payloads)
        outbox.write(target, images.encode(original, format), mode=0o600)
    except ModelError as error:
        return emit(line | {"error": str(error)})
    except OSError as error:
        return emit(line | {"error": error.strerror or type(error).__name__})
    return emit(line | _restored(target, original, payloads, whole=faces is None))


def _sealed(payload: Photo) -> bytes:
    try:
        return payload.read()
    except (OSError, UnreadableImageError) as error:
        raise RecoveryError("its payload file is not there or cannot be read") from error


def _chosen(payloads: Sequence[RecoveryPayload], faces: Sequence[int] | None) -> Sequence[RecoveryPayload]:
    """The payloads of the wanted faces; all of them, the remainder included, when none are named."""
    if faces is None:
        return payloads
    held = {payload.face_index: payload for payload in payloads if payload.face_index is not None}
    absent = sorted(set(faces) - set(held))
    if absent:
        there = ", ".join(map(str, sorted(held))) or "none"
        raise RecoveryError(f"there is no face {', '.join(map(str, absent))}; there are: {there}")
    return [held[index] for index in sorted(set(faces))]


def _restored(target: str, original: Image, payloads: Sequence[RecoveryPayload], *, whole: bool) -> Line:
    return {
        "status": "restored" if whole else "partly restored",
        "output": target,
        "faces": [payload.face_index for payload in payloads if payload.face_index is not None],
        "pixels_sha256": recovery.image_sha256(original).hex(),
    }


def _status(lines: Sequence[Line]) -> int:
    return 1 if any(line["status"] == "failed" for line in lines) else 0
