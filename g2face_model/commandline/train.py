"""train people | describe | geometry | mapping | gallery | parser: everything needed to make the trained weights again.

In this order: geometry needs people; parser needs people; describe needs the parser; mapping and gallery need
descriptions.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from g2face_model.commandline.console import usage
from g2face_model.weights import WeightStore

_GEOMETRY_SAMPLE = 4000  # meshes are enough for 80 components


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("train", help="make the trained weights again, from generated people alone")
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, (_, text) in _STAGES.items():
        stage = stages.add_parser(name, help=text)
        stage.add_argument("--people", required=True, type=Path, metavar="FOLDER", help="where the people are kept")
        stage.add_argument("--threads", type=int, default=2)
        if name in ("people", "rare", "moved"):
            stage.add_argument("--count", type=int, default=10_000)
            stage.add_argument("--part", type=int, default=0, help="this process's share, counted from 0 ...")
            stage.add_argument("--parts", type=int, default=1, help="... of so many")
        if name == "gallery":
            stage.add_argument("--size", type=int, default=4000, help="people kept")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import torch

    if args.stage not in ("people", "rare", "moved") and not any(args.people.glob("[0-9][0-9][0-9][0-9].npz")):
        return usage("there are no people in that folder; make them with: train people")
    torch.set_num_threads(args.threads)
    _STAGES[args.stage][0](WeightStore(args.weights_dir), args)
    return 0


def _people(store: WeightStore, args: argparse.Namespace) -> None:
    from g2face_model.identity import IdentityModel
    from g2face_model.landmarks import MeshLandmarker
    from g2face_model.networks.generator import Generator
    from g2face_model.rendering import keep_freed_memory
    from g2face_model.training import draws
    from g2face_model.training.people import make_people

    keep_freed_memory()
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    generator.eval().requires_grad_(False)
    draw = {
        "people": lambda: draws.plain(generator),
        "rare": lambda: draws.rare(generator, IdentityModel.load(store)),
        "moved": lambda: draws.moved(IdentityModel.load(store)),
    }[args.stage]()
    share = {"count": args.count, "part": args.part, "parts": args.parts}
    folder = args.people if args.stage == "people" else args.people / args.stage
    make_people(generator, MeshLandmarker(store), draw, folder, **share)


def _folders(args: argparse.Namespace, *extra: str) -> list[Path]:
    """The folder of people, last, and what it holds of these others."""
    return [*(args.people / name for name in extra), args.people]


def _describe(store: WeightStore, args: argparse.Namespace) -> None:
    from g2face_model.training.description import describe_people

    for folder in _folders(args, "moved", "rare"):
        describe_people(store, folder)


def _geometry(_: WeightStore, args: argparse.Namespace) -> None:
    import numpy as np
    import torch

    from g2face_model.geometry import SURFACE, fit_model
    from g2face_model.training.people import read_people
    from g2face_model.weights import save_trained

    meshes = np.concatenate([people.meshes[people.scores > 0.99] for people in read_people(args.people)])
    model = fit_model(meshes[:_GEOMETRY_SAMPLE, :SURFACE].astype(np.float64))
    arrays = {"mean": model.mean, "components": model.components, "spreads": model.spreads}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).float() for name, array in arrays.items()}
    save_trained("geometry", tensors, metadata={"people": str(min(len(meshes), _GEOMETRY_SAMPLE))})


def _mapping(store: WeightStore, args: argparse.Namespace) -> None:
    from g2face_model.geometry import GeometryModel
    from g2face_model.training import mapping
    from g2face_model.weights import save_trained

    prepared = mapping.prepare(*_folders(args, "moved", "rare"), geometry=GeometryModel.load(store))
    tensors, metadata, figures = mapping.train(prepared, config=mapping.MappingConfig())
    json.dump({"people": len(prepared.corpus), **figures}, sys.stdout)
    print()
    save_trained("mapping", {name: tensor.half() for name, tensor in tensors.items()}, metadata=metadata)


def _gallery(store: WeightStore, args: argparse.Namespace) -> None:
    from g2face_model.geometry import GeometryModel
    from g2face_model.training.gallery import make_gallery
    from g2face_model.weights import save_trained

    statistics = store.tensors("mapping")
    mean, spread = (statistics[f"latent.{name}"].float().numpy() for name in ("mean", "spread"))
    tensors = make_gallery(
        *_folders(args, "rare"), geometry=GeometryModel.load(store), mean=mean, spread=spread, size=args.size
    )
    print(f"{len(tensors['latents'])} people")
    save_trained("gallery", tensors, metadata={})


def _parser(store: WeightStore, args: argparse.Namespace) -> None:
    from g2face_model.training import parser

    json.dump(parser.train(store, args.people), sys.stdout)
    print()


_STAGES: dict[str, tuple[Callable[[WeightStore, argparse.Namespace], None], str]] = {
    "people": (_people, "generate people: latents, pictures, meshes"),
    "rare": (_people, "generate people of rare age, sex and ancestry, as the mapping's predictor sees them"),
    "moved": (_people, "generate people that the mapping moved, to teach its predictor where it errs"),
    "geometry": (_geometry, "fit the statistical model of meshes"),
    "parser": (_parser, "train what tells face from glasses, hair and hands"),
    "describe": (_describe, "measure every person: embeddings, attributes, tones"),
    "mapping": (_mapping, "train the mapping and its predictors"),
    "gallery": (_gallery, "choose the people virtual identities are made from"),
}
