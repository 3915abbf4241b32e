"""train people | describe | geometry | mapping | gallery | parser | hiding | fusion: the trained weights, made again.

In this order: geometry, parser and hiding need people; describe needs the parser; mapping and gallery need
descriptions; fusion needs all of them, and makes its own people.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from g2face_model.commandline.console import usage
from g2face_model.weights import WeightStore

if TYPE_CHECKING:
    from g2face_model.training.fusion import FusionConfig, Trainer

_GEOMETRY_SAMPLE = 4000  # meshes are enough for 80 components


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("train", help="make the trained weights again, from generated people alone")
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, (_, text) in _STAGES.items():
        stage = stages.add_parser(name, help=text)
        stage.add_argument("--threads", type=int, default=2)
        if name == "fusion":
            _add_fusion_arguments(stage)
            continue
        stage.add_argument("--people", required=True, type=Path, metavar="FOLDER", help="where the people are kept")
        if name in ("people", "rare", "moved"):
            stage.add_argument("--count", type=int, default=10_000)
            stage.add_argument("--part", type=int, default=0, help="this process's share, counted from 0 ...")
            stage.add_argument("--parts", type=int, default=1, help="... of so many")
        if name == "hiding":
            stage.add_argument("--config", choices=("smoke", "cpu"), default="cpu")
            stage.add_argument("--keep", action="store_true", help="put what was learned into the package's weights")
        if name == "gallery":
            stage.add_argument("--size", type=int, default=4000, help="people kept")
    parser.set_defaults(run=run)


def _add_fusion_arguments(stage: argparse.ArgumentParser) -> None:
    stage.add_argument("--run", dest="folder", required=True, type=Path, metavar="FOLDER", help="where the run is kept")
    stage.add_argument("--config", default="cpu", help="smoke, cpu, gpu, or a TOML file (default: cpu)")
    stage.add_argument("--photos", type=Path, metavar="FOLDER", help="photographs to learn from, too; never copied")
    stage.add_argument("--folders", nargs="*", metavar="NAME", help="only these folders of --photos")
    stage.add_argument("--until", type=int, metavar="STEP", help="stop there; the same command goes on later")
    stage.add_argument("--keep", action="store_true", help="put what the run has learned into the package's weights")


def run(args: argparse.Namespace) -> int:
    import torch

    if args.stage == "fusion":
        return _fusion(WeightStore(args.weights_dir), args)
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


def _hiding(_: WeightStore, args: argparse.Namespace) -> None:
    from g2face_model.rendering import keep_freed_memory
    from g2face_model.training import hiding

    keep_freed_memory()
    json.dump(hiding.train(args.people, config=hiding.CONFIGS[args.config], keep=args.keep), sys.stdout)
    print()


def _parser(store: WeightStore, args: argparse.Namespace) -> None:
    from g2face_model.training import parser

    json.dump(parser.train(store, args.people), sys.stdout)
    print()


def _fusion(store: WeightStore, args: argparse.Namespace) -> int:
    from g2face_model.training.fusion import read_config

    try:
        config = read_config(args.config)
    except ValueError as error:
        return usage(str(error))
    folders = [args.photos / name for name in args.folders or ["."]] if args.photos else []
    photos = tuple(sorted(path for folder in folders for path in folder.rglob("*.jpg")))
    if args.photos and not photos:
        return usage("there is no .jpg in --photos")
    trainer = _trainer(store, args, config, photos)
    json.dump(trainer.train(until=args.until), sys.stdout)
    print()
    if args.keep:
        trainer.keep({"config": args.config, "photos": str(len(photos))})
    return 0


def _trainer(store: WeightStore, args: argparse.Namespace, config: FusionConfig, photos: tuple[Path, ...]) -> Trainer:
    import torch

    from g2face_model.build import build_parts
    from g2face_model.config import ModelConfig
    from g2face_model.networks.generator import Generator
    from g2face_model.rendering import keep_freed_memory
    from g2face_model.training.draws import mean_latent
    from g2face_model.training.fusion import Trainer
    from g2face_model.training.fusion_pairs import PairMaker

    keep_freed_memory()
    torch.set_num_threads(args.threads)
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    generator.eval().requires_grad_(False)
    mean = mean_latent(generator)
    generator.synthesis.to(getattr(torch, config.precision)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = build_parts(ModelConfig(threads=args.threads, weights_dir=args.weights_dir))
    maker = PairMaker(
        parts, generator, mean, photos, photographed=config.photographed, same=config.same, seed=config.seed
    )
    return Trainer(store, maker, config, args.folder)


_STAGES: dict[str, tuple[Callable[[WeightStore, argparse.Namespace], object], str]] = {
    "people": (_people, "generate people: latents, pictures, meshes"),
    "rare": (_people, "generate people of rare age, sex and ancestry, as the mapping's predictor sees them"),
    "moved": (_people, "generate people that the mapping moved, to teach its predictor where it errs"),
    "geometry": (_geometry, "fit the statistical model of meshes"),
    "parser": (_parser, "train what tells face from glasses, hair and hands"),
    "hiding": (_hiding, "train what hides payloads in faces and reads them"),
    "describe": (_describe, "measure every person: embeddings, attributes, tones"),
    "mapping": (_mapping, "train the mapping and its predictors"),
    "gallery": (_gallery, "choose the people virtual identities are made from"),
    "fusion": (_fusion, "train what fuses a virtual identity with the original inside the generator"),
}
