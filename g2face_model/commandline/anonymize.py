"""anonymize PHOTO|FOLDER ... --out FOLDER: new faces for old ones, one JSON line per picture."""

from __future__ import annotations

import argparse
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np

from g2face_model import images, payload_file, recovery
from g2face_model.commandline.console import Line, emit, progress_bar, say, usage
from g2face_model.commandline.explanations import Explanations
from g2face_model.commandline.photos import Findings, Outbox, Photo, find
from g2face_model.contact_sheet import ContactSheet
from g2face_model.errors import ModelError, RecoveryError, VerificationError
from g2face_model.types import AnonymizedFace, AnonymizedImage, Engine, Image

if TYPE_CHECKING:
    from g2face_model.anonymizer import Finish
    from g2face_model.in_image import InImage

SHEET_NAME = "contact-sheet.png"
_SUFFIXES: Mapping[images.Format, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
_LOG = logging.getLogger(__name__)


class Anonymizes(Protocol):
    """What the command needs of an `Anonymizer`."""

    def anonymize(self, image: Image, seeds: Callable[[int], bytes], *, finish: Finish = ...) -> AnonymizedImage: ...


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "anonymize",
        help="give every face in photographs a new identity",
        description="Writes NAME.png (or .jpg, .webp) for every NAME and prints one JSON line per picture. "
        "Exit status 0: all fine, 1: some pictures failed, 2: bad usage.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PHOTO|FOLDER")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the results go")
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="keep the way back: sealed payloads beside the pictures, the same new faces every time; without it the "
        "new faces are random and nothing leads back",
    )
    parser.add_argument("--new-key", action="store_true", help="make the key file when there is none")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--engine",
        choices=get_args(Engine),
        default="gallery",
        help="who makes the new faces (default: gallery); g2face is experimental, g2face-official needs "
        "`weights import-official`",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="with --engine g2face: also write the fusion masks of every attempt; they show the original's features",
    )
    parser.add_argument(
        "--in-image",
        action="store_true",
        help="also hide a payload in the pixels of every new face, sealed with the key: see read-payload",
    )
    parser.add_argument("--format", choices=images.FORMATS, default="png", help="png and webp are lossless")
    parser.add_argument("--sheet", action="store_true", help=f"also write {SHEET_NAME}; it shows the original faces")
    parser.add_argument(
        "--on-failure",
        choices=("cover", "refuse"),
        default="cover",
        help="a face that cannot be shown to be anonymous is covered, or its picture is refused (default: cover)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    missing = [path.name for path in args.paths if not os.path.exists(path)]
    if missing:
        return usage(f"no such file or folder: {', '.join(missing)}")
    if os.path.exists(args.out) and (
        not args.out.is_dir() or any(os.path.isdir(path) and path.samefile(args.out) for path in args.paths)
    ):
        return usage("--out has to be a folder, and not the one that is read")
    if args.explain and args.engine != "g2face":
        return usage("--explain needs --engine g2face: no other engine has fusion masks")
    if args.in_image and args.key_file is None:
        return usage("--in-image needs --key-file: a payload without a key would be anybody's")
    found = find(args.paths, excluded=args.out)
    if not found.photos and not found.troubles:
        return usage("there is no picture in that folder")
    key = _key(args.key_file, new=args.new_key)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return usage(f"--out cannot be made: {error.strerror}")
    explanations = Explanations() if args.explain else None
    batch = Batch(
        build(args, on_failure=args.on_failure, engine=args.engine, explain=explanations),
        key,
        args.out,
        format=args.format,
        refuse=args.on_failure == "refuse",
        explanations=explanations,
        in_image=_in_image(args, key) if args.in_image and key is not None else None,
    )
    return batch.run(found, sheet=args.sheet)


def build(
    args: argparse.Namespace,
    *,
    on_failure: Literal["cover", "refuse"],
    engine: Engine = "gallery",
    explain: Explanations | None = None,
) -> Anonymizes:
    """The engine for the options that the commands share. Raises `WeightsError` when its weights are not there."""
    # Here and not above: --help and bad usage should not wait for torch.
    from g2face_model.build import build_anonymizer
    from g2face_model.config import ModelConfig

    config = ModelConfig(engine=engine, device=args.device, weights_dir=args.weights_dir, on_failure=on_failure)
    return build_anonymizer(config, explain=explain)


def _in_image(args: argparse.Namespace, key: payload_file.Key) -> InImage:
    from g2face_model import in_image

    return in_image.load(args.weights_dir, key.hidden)


def _key(path: Path | None, *, new: bool) -> payload_file.Key | None:
    if path is None:
        say("no --key-file: the new faces are random, and nothing will lead back to the originals")
        return None
    if new and not os.path.exists(path):
        key = payload_file.create_key_file(path)
        say("a new key was made: without that file no original can be restored")
        return key
    try:
        return payload_file.read_key_file(path)
    except RecoveryError as error:
        hint = "" if os.path.exists(path) else " (--new-key makes one)"
        raise RecoveryError(f"{error}{hint}") from error


@dataclass(slots=True)
class Batch:
    """One run over many pictures. A picture that fails costs one line and an exit status of 1, never the others."""

    anonymizer: Anonymizes
    key: payload_file.Key | None
    out: Path
    format: images.Format = field(kw_only=True, default="png")
    refuse: bool = field(kw_only=True, default=False)
    explanations: Explanations | None = field(kw_only=True, default=None)
    in_image: InImage | None = field(kw_only=True, default=None)
    sheet: ContactSheet = field(init=False, default_factory=ContactSheet)

    def run(self, found: Findings, *, sheet: bool) -> int:
        outbox = Outbox(self.out, [photo.path for photo in found.photos])
        lines: list[Line] = []
        with progress_bar(len(found.photos)) as progress:
            for name, reason in found.troubles:
                lines.append(emit({"name": name, "status": "failed", "error": reason}))
            for photo in found.photos:
                lines.append(emit(self.attempt(photo, outbox)))
                progress.update()
        if sheet:
            lines.append(self.write_sheet(outbox))
        say(_summary(lines, found.passed_over))
        return 1 if any(line["status"] in ("failed", "refused") for line in lines) else 0

    def attempt(self, photo: Photo, outbox: Outbox) -> Line:
        """Anonymize one picture; the line that tells what came of it."""
        started = time.perf_counter()
        line: Line = {"name": photo.name, "status": "failed", "faces": []}
        try:
            line |= self._anonymize(photo, outbox)
        except VerificationError as error:
            line |= {"status": "refused", "error": str(error)}
        except ModelError as error:
            line["error"] = str(error)
        except OSError as error:
            line["error"] = error.strerror or type(error).__name__
        except Exception as error:  # The edge of the process: one broken picture must not cost the other thousand.
            _LOG.debug("unexpected", exc_info=True)
            line["error"] = f"unexpected {type(error).__name__}"
        return line | {"seconds": round(time.perf_counter() - started, 3)}

    def _anonymize(self, photo: Photo, outbox: Outbox) -> Line:
        target = photo.name + _SUFFIXES[self.format]
        outbox.claim(target)
        outbox.claim(target + payload_file.SUFFIX)
        if self.key is None and outbox.holds(target + payload_file.SUFFIX):
            raise FileExistsError(None, "the payloads of an earlier run lie there; choose another folder")
        if self.explanations is not None:
            self.explanations.forget()
        original = images.decode(photo.read())
        result = self._replace(original)
        self._judge(result.faces)
        encoded = images.encode(result.image, self.format)
        sealed = self._protect(original, encoded, result.faces)
        _store(outbox, target, encoded, sealed)
        self._explain(target, outbox)
        self.sheet.add(photo.name, original, result)
        return {
            "status": _status(result.faces),
            "output": target,
            "payload": target + payload_file.SUFFIX if sealed else None,
            "width": original.shape[1],
            "height": original.shape[0],
            "faces": [_describe(face) for face in result.faces],
            "model_version": result.model_version,
            **self._read_back(encoded),
        }

    def _replace(self, original: Image) -> AnonymizedImage:
        if self.in_image is None or self.key is None:
            return self.anonymizer.anonymize(original, self._seeds(original))
        return self.in_image.anonymize(self.anonymizer, original, self._seeds(original), record_ids=self.key.record_id)

    def _read_back(self, encoded: bytes) -> Line:
        """What anybody with the key reads from the very bytes that are published: record ids, None for a face in which
        nothing could be read."""
        if self.in_image is None:
            return {}
        found = self.in_image.read(images.decode(encoded))
        return {"in_image": [face.payload.record_id.hex() if face.payload else None for face in found]}

    def _explain(self, target: str, outbox: Outbox) -> None:
        if self.explanations is not None:
            for name, encoded in self.explanations.take(target):
                outbox.claim(name)
                outbox.write(name, encoded, mode=0o600)

    def _seeds(self, original: Image) -> Callable[[int], bytes]:
        key = self.key
        if key is None:
            return lambda _: payload_file.new_seed()
        digest = recovery.image_sha256(original)
        return lambda index: key.seed(digest, index)

    def _judge(self, faces: tuple[AnonymizedFace, ...]) -> None:
        failed = [str(face.index) for face in faces if not face.verdict.passed]
        if self.refuse and failed:
            raise VerificationError(f"not shown to be anonymous: face {', '.join(failed)}")

    def _protect(self, original: Image, encoded: bytes, faces: tuple[AnonymizedFace, ...]) -> bytes | None:
        """The sealed payloads, proven to give the original back from the very bytes that are published."""
        if self.key is None or not faces:
            return None
        published = images.decode(encoded)
        lossy = self.format not in images.LOSSLESS_FORMATS
        sealed = self.key.seal(recovery.protect(original, published, faces, lossy=lossy))
        if not np.array_equal(recovery.restore(published, self.key.unseal(sealed, published)), original):
            raise RecoveryError("the original does not come back from its payloads")
        return sealed

    def write_sheet(self, outbox: Outbox) -> Line:
        """Draw the faces of all pictures so far into `SHEET_NAME`; a line with the status, never an exception."""
        try:
            outbox.claim(SHEET_NAME)
            outbox.write(SHEET_NAME, images.encode(self.sheet.draw(), "png"), mode=0o600)
        except OSError as error:
            say(f"{SHEET_NAME}: {error.strerror}")
            return {"status": "failed"}
        return {"status": "written"}


def _store(outbox: Outbox, target: str, encoded: bytes, sealed: bytes | None) -> None:
    """The payload first: nothing is shown before the way back is kept; nothing is kept for what is not shown."""
    new = not outbox.holds(target + payload_file.SUFFIX)
    try:
        if sealed is not None:
            outbox.write(target + payload_file.SUFFIX, sealed, mode=0o600)
        outbox.write(target, encoded)
    except OSError:
        if new:
            outbox.remove(target + payload_file.SUFFIX)
        raise


def _status(faces: tuple[AnonymizedFace, ...]) -> str:
    if not faces:
        return "no face"
    return "anonymized" if all(face.verdict.passed for face in faces) else "covered"


def _describe(face: AnonymizedFace) -> Line:
    verdict = face.verdict
    return {
        "index": face.index,
        "outcome": verdict.outcome,
        "rectangle": [int(side) for side in face.rectangle],
        "similarities": {name: _number(value) for name, value in verdict.similarities.items()},
        "landmark_nme": _number(verdict.landmark_nme),
        "expression_agreement": _number(verdict.expression_agreement),
        "attempts": verdict.attempts,
        "reasons": list(verdict.reasons),
    }


def _number(value: float | None) -> float | None:
    """A plain number for JSON, which knows no infinity and no NaN."""
    return round(float(value), 5) if value is not None and math.isfinite(value) else None


def _summary(lines: list[Line], passed_over: int) -> str:
    statuses = [str(line["status"]) for line in lines if "name" in line]
    counts = [f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)]
    if passed_over:
        counts.append(f"other files passed over: {passed_over}")
    without = "; look at those without a face before you hand them out" if "no face" in statuses else ""
    return ", ".join(counts) + without
