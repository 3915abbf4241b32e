"""demo --out FOLDER: two public-domain photographs and a generated group there and back, with what was measured."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from g2face_model import images, payload_file, recovery
from g2face_model.commandline.anonymize import SHEET_NAME, Anonymizes, Batch, build
from g2face_model.commandline.console import Line, say, usage
from g2face_model.commandline.photos import Outbox, Photo
from g2face_model.errors import RecoveryError
from g2face_model.types import Image

SAMPLES = {
    "astronaut.png": ("skimage", "data/astronaut.png"),
    "grace_hopper.jpg": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
"""Portraits of Eileen Collins and Grace Hopper, both by the United States government, that ship in scikit-image and
matplotlib."""
GROUP = "group.png"
"""Eight people who do not exist."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("demo", help="anonymize sample photographs, show what was measured, restore one")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    anonymizer = build(args, on_failure="cover")
    try:
        photos = _write_samples(args.out / "originals", weights_dir=args.weights_dir)
    except ModuleNotFoundError as error:
        return usage(f"the sample photographs come with {error.name}: install the extra called demo")
    except OSError as error:
        return usage(f"the sample photographs cannot be written: {error.strerror}")
    return show(anonymizer, photos, args.out)


def show(anonymizer: Anonymizes, photos: Sequence[Photo], out: Path) -> int:
    """The whole demonstration on `photos`; results, key and sheet go below `out`. Status 0 when every photograph was
    anonymized and the first came back bit for bit."""
    key_path = out / "key"
    key = payload_file.read_key_file(key_path) if key_path.exists() else payload_file.create_key_file(key_path)
    batch = Batch(anonymizer, key, out / "anonymized")
    outbox = Outbox(batch.out, [photo.path for photo in photos])
    lines = []
    for photo in photos:
        say(f"anonymizing {photo.name} ...")
        lines.append(batch.attempt(photo, outbox))
    sheet = batch.write_sheet(outbox)
    print(_table(lines))
    proven = _prove(lines[0], photos[0], key, out)
    print(f"\nbefore and after: {batch.out / SHEET_NAME}")
    print(f"the results: {batch.out}; the way back: {key_path}")
    return 0 if proven and all(line["status"] != "failed" for line in [*lines, sheet]) else 1


def _write_samples(folder: Path, *, weights_dir: Path | None) -> list[Photo]:
    """The sample photographs as files in `folder`. Raises `WeightsError` when the generator is not there."""
    outbox = Outbox(folder, [])
    for name, (package, member) in SAMPLES.items():
        outbox.write(name, (resources.files(package) / member).read_bytes())
    outbox.write(GROUP, images.encode(_group_photo(weights_dir), "png"))
    return [Photo(name, folder / name) for name in (*SAMPLES, GROUP)]


def _group_photo(weights_dir: Path | None) -> Image:
    # Here and not above: --help and bad usage should not wait for torch.
    from g2face_model.group_photo import group_photo
    from g2face_model.weights import WeightStore

    say("generating a group of people ...")
    return group_photo(WeightStore(weights_dir))


def _prove(line: Line, photo: Photo, key: payload_file.Key, out: Path) -> bool:
    """Restore one photograph from its files, write it, and compare the digests of both files' pixels."""
    if not line.get("payload"):
        print(f"\n{photo.name}: nothing to restore")
        return False
    published = images.decode((out / "anonymized" / str(line["output"])).read_bytes())
    sealed = (out / "anonymized" / str(line["payload"])).read_bytes()
    restored = Outbox(out / "restored", [photo.path])
    target = f"{photo.name}.png"
    restored.write(target, images.encode(recovery.restore(published, key.unseal(sealed, published)), "png"), mode=0o600)
    digests = {
        "original": recovery.image_sha256(images.decode(photo.read())).hex(),
        "restored": recovery.image_sha256(images.decode((restored.folder / target).read_bytes())).hex(),
        "anonymized": recovery.image_sha256(published).hex(),
    }
    print(f"\n{photo.name} was restored; sha256 of the pixels:")
    for name, digest in digests.items():
        print(f"  {name:10}  {digest}")
    try:
        payload_file.new_key().unseal(sealed, published)
    except RecoveryError as error:
        print(f"  with any other key: {error}")
    return digests["original"] == digests["restored"] != digests["anonymized"]


def _table(lines: Sequence[Line]) -> str:
    """One row per face: what was measured on it; a photograph's seconds stand in the row of its first face."""
    rows = [row for line in lines for row in _rows(line)]
    names = list(dict.fromkeys(name for _, similarities, _ in rows for name in similarities))
    header = ["photograph", "face", "outcome", *names, "NME %", "expression", "seconds"]
    cells = [header] + [
        [*start, *(_shown(similarities.get(name), 2) for name in names), *end] for start, similarities, end in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _rows(line: Line) -> list[tuple[list[str], Mapping[str, float | None], list[str]]]:
    name, seconds, faces = str(line["name"]), f"{line['seconds']:.2f}", line["faces"]
    if not isinstance(faces, list) or not faces:
        return [([name, "-", str(line.get("error") or line["status"])], {}, ["-", "-", seconds])]
    rows = []
    for face in faces:
        nme = None if face["landmark_nme"] is None else 100 * face["landmark_nme"]
        end = [_shown(nme, 1), _shown(face["expression_agreement"], 2), seconds if face is faces[0] else ""]
        rows.append(([name, str(face["index"]), str(face["outcome"])], face["similarities"], end))
    return rows


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
