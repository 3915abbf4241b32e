"""figures FACES: what the engine reaches on real photographs."""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from g2face_model import images
from g2face_model.commandline.console import progress_bar, usage
from g2face_model.commandline.report import (
    Report,
    Sheets,
    faces_table,
    found_cells,
    found_table,
    matches_table,
    reasons_table,
)
from g2face_model.commandline.tables import aligned, number, percent, share
from g2face_model.evaluation.photographs import MANIFEST, Photograph, couples, read_manifest, spread
from g2face_model.types import AnonymizedImage, Engine, Image

if TYPE_CHECKING:
    from g2face_model.anonymizer import Anonymizer
    from g2face_model.config import ModelConfig
    from g2face_model.evaluation.figures import PhotoFigures
    from g2face_model.evaluation.observer import Observer
    from g2face_model.evaluation.pairs import Identification, People, Published

_PAIRS, _CROWDED = "pairs", "scenes"
_FOLDERS = (_PAIRS, "portraits", "headshots", "official", _CROWDED)
_WORTH_PX = 40.0  # faces of a scene that a viewer would recognise
_MARGINS = (0.0, 1.0, 2.0)
_SHAPE_CHANGES = (0.0, 0.012, 0.024)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "figures",
        help="measure privacy, utility and cost on a folder of real photographs",
        description=f"FACES holds {MANIFEST} (columns file, person, label, attributes). Of every person with two "
        f"photographs in the folder {_PAIRS} the first is anonymized and compared with the other. Prints tables and "
        "writes every finding as a JSON line.",
    )
    parser.add_argument("faces", type=Path, metavar="FACES")
    parser.add_argument("--limit", type=int, default=60, metavar="N", help="photographs per folder (default: 60)")
    parser.add_argument("--folders", nargs="+", choices=_FOLDERS, default=_FOLDERS, metavar="FOLDER")
    parser.add_argument("--rotate", action="store_true", help="each recogniser in turn judges what the others let pass")
    parser.add_argument("--trade-off", action="store_true", help="the same for several strengths of the gate")
    parser.add_argument("--judges", nargs="+", metavar="RECOGNISER", help="who judges in turn (default: all)")
    for name, values in (("--margins", _MARGINS), ("--shape-changes", _SHAPE_CHANGES)):
        shown = " ".join(f"{value:g}" for value in values)
        text = f"for --trade-off, the other at its default (default: {shown})"
        parser.add_argument(name, nargs="*", type=float, default=values, metavar="X", help=text)
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="contact sheets; they show the original faces")
    parser.add_argument("--json", type=Path, default=Path("runs/figures.jsonl"), metavar="FILE")
    parser.add_argument("--engine", choices=get_args(Engine), default="gallery", help="who makes the new faces")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from g2face_model.recognition import RECOGNISERS

    judges = tuple(args.judges or RECOGNISERS)
    unknown = sorted(set(judges) - set(RECOGNISERS))
    if unknown:
        return usage(f"no such recogniser: {', '.join(unknown)}; there are {', '.join(RECOGNISERS)}")
    if args.limit < 1:
        return usage("--limit has to be at least 1")
    photographs = read_manifest(args.faces)
    try:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        with args.json.open("w", encoding="utf-8") as lines:
            Session(args, photographs, Report(lines), judges=judges).run()
    except OSError as error:
        return usage(f"a photograph cannot be read or a figure not written: {error.strerror}")
    return 0


class Session:
    """One run of the command."""

    def __init__(
        self, args: argparse.Namespace, photographs: Sequence[Photograph], report: Report, *, judges: Sequence[str]
    ) -> None:
        from g2face_model.evaluation.observer import Observer
        from g2face_model.recognition import RECOGNISERS
        from g2face_model.weights import WeightStore

        self._args, self._report, self._judges = args, report, judges
        self._chosen = {name: [photo for photo in photographs if photo.folder == name] for name in args.folders}
        self._observer: Observer = Observer(WeightStore(args.weights_dir), RECOGNISERS, threads=args.threads)
        self._recognisers = {recogniser.name: recogniser for recogniser in self._observer.recognisers}

    def run(self) -> None:
        engine = self._engine()
        self._report.record("run", _provenance(self._args))
        people = self._people()
        measured = {} if people is None else {_PAIRS: self._pairs(engine, people)}
        for name in self._chosen:
            if name != _PAIRS and self._chosen[name]:
                measured[name] = self._folder(engine, name)
        self._summaries(measured)
        if people is not None and self._args.rotate:
            self._rotate(people)
        if people is not None and self._args.trade_off:
            self._trade_off(people)

    def _engine(self, *, judge: str | None = None, **changes: object) -> Anonymizer:
        """The engine as shipped, or with a gate that lacks one recogniser, or with other fields of ModelConfig."""
        from g2face_model.build import build_anonymizer

        config = _config(self._args)
        others = tuple(name for name in config.recognisers if name != judge)
        return build_anonymizer(dataclasses.replace(config, recognisers=others, **changes))  # type: ignore[arg-type]

    def _load(self, photograph: Photograph) -> Image:
        return images.decode((self._args.faces / photograph.file).read_bytes())

    def _people(self) -> People | None:
        from g2face_model.evaluation.pairs import observe

        chosen = spread(couples(self._chosen.get(_PAIRS, [])), self._args.limit)
        return observe(chosen, self._observer, self._load) if chosen else None

    def _publish(self, engine: Anonymizer, people: People, name: str) -> Published:
        from g2face_model.evaluation.pairs import publish

        sheets = Sheets(self._args.sheets, name)
        with progress_bar(len(people.photographs)) as progress:

            def show(photograph: Photograph, image: Image, result: AnonymizedImage) -> None:
                sheets.add(photograph.file, image, result)
                progress.update()

            published = publish(engine.anonymize, self._observer, people, load=self._load, show=show)
        sheets.close()
        self._record_faces(name, published.figures)
        return published

    def _folder(self, engine: Anonymizer, name: str) -> Sequence[PhotoFigures]:
        from g2face_model.evaluation.figures import measure

        sheets, figures = Sheets(self._args.sheets, name), []
        chosen = spread(self._chosen[name], self._args.limit)
        with progress_bar(len(chosen)) as progress:
            for photograph in chosen:
                image = self._load(photograph)
                result, measured = measure(engine.anonymize, self._observer, photograph, image)
                sheets.add(photograph.file, image, result)
                figures.append(measured)
                progress.update()
        sheets.close()
        self._record_faces(name, figures)
        return figures

    def _record_faces(self, name: str, figures: Sequence[PhotoFigures]) -> None:
        for photograph in figures:
            self._report.record("photograph", photograph, set=name)

    def _pairs(self, engine: Anonymizer, people: People) -> Sequence[PhotoFigures]:
        published = self._publish(engine, people, _PAIRS)
        rows = [row for judge in self._recognisers for row in self._search(people, published, judge)]
        self._record_found(rows, gate="all")
        self._report.show(
            "Who is found when every recogniser is part of the gate, and who was before", found_table(rows)
        )
        self._report.show("The same by the recognisers' own thresholds", matches_table(rows))
        return published.figures

    def _search(self, people: People, published: Published, judge: str) -> list[tuple[str, Identification]]:
        """Before, after, and after among released faces only: who is found by this recogniser."""
        from g2face_model.evaluation.pairs import identify

        recogniser, probes = self._recognisers[judge], published.embeddings[judge]
        return [
            ("before", identify(recogniser, people.first[judge], people)),
            ("after", identify(recogniser, probes, people)),
            ("after, released", identify(recogniser, probes, people, chosen=published.released)),
        ]

    def _record_found(self, rows: Sequence[tuple[str, Identification]], *, gate: str) -> None:
        for probes, found in rows:
            self._report.record("identification", found, gate=gate, probes=probes)

    def _summaries(self, measured: Mapping[str, Sequence[PhotoFigures]]) -> None:
        from g2face_model.evaluation.figures import summarise

        rows = [(name, summarise(figures)) for name, figures in measured.items()]
        if _CROWDED in measured:
            rows.append((f"{_CROWDED}, {_WORTH_PX:.0f} px and more", summarise(measured[_CROWDED], min_px=_WORTH_PX)))
        people = measured.get(_PAIRS, ())
        groups = sorted({group for photograph in people for face in photograph.faces for group in face.groups})
        rows += [(f"{_PAIRS}, {group}", summarise(people, group=group)) for group in groups]
        for name, summary in rows:
            self._report.record("summary", summary, set=name)
        self._report.show("What became of the faces", faces_table(rows))
        self._report.show("Why faces were covered", reasons_table(rows))

    def _rotate(self, people: People) -> None:
        """Every judge in turn stays out of the gate and out of the choice of identities."""
        from g2face_model.evaluation.pairs import identify

        rows: list[tuple[str, Identification]] = []
        by_group: list[tuple[str, Identification]] = []
        for judge in self._judges:
            published = self._publish(self._engine(judge=judge), people, f"without-{judge}")
            found = self._search(people, published, judge)
            groups = [
                (group, identify(self._recognisers[judge], published.embeddings[judge], people, chosen=members))
                for group, members in _groups(people)
            ]
            self._record_found([*found, *groups], gate=f"without {judge}")
            rows, by_group = rows + found, by_group + groups
        self._report.show("Who is found by a recogniser that took no part in the gate", found_table(rows))
        self._report.show("The same by group, after", found_table(sorted(by_group, key=lambda row: row[0])))

    def _trade_off(self, people: People) -> None:
        from g2face_model.evaluation.figures import summarise
        from g2face_model.evaluation.pairs import identify

        heading = ["setting", "judge", "released %", "TAR, FAR 0.1 %", "TAR, FAR 1 %", "rank 1", "cosine"]
        cells = [[*heading, "NME %", "p95 %", "attempts"]]
        for setting, changes in _settings(self._args.margins, self._args.shape_changes):
            for judge in self._judges:
                name = f"{setting.replace(' ', '-')}-{judge}"
                published = self._publish(self._engine(judge=judge, **changes), people, name)
                probes, released = published.embeddings[judge], published.released
                found = identify(self._recognisers[judge], probes, people, chosen=released)
                summary = summarise(published.figures)
                self._report.record("trade-off", found, setting=setting, summary=summary)
                kept = [percent(summary.nme_mean, 2), percent(summary.nme_p95, 2), number(summary.attempts, 1)]
                cells.append([setting, judge, share(summary.released), *found_cells(found)[1:], *kept])
        title = "How strong against how exact; judged by a recogniser without part in the gate, released faces"
        self._report.show(title, aligned(cells, labels=2))


def _settings(margins: Sequence[float], shape_changes: Sequence[float]) -> list[tuple[str, dict[str, object]]]:
    """What is compared: a name for the table and the fields of ModelConfig that are not at their defaults."""
    from g2face_model.config import GateConfig

    settings: list[tuple[str, dict[str, object]]] = []
    for value in margins:
        settings.append((f"margin {value:g}", {"gate": GateConfig(similarity_margin=value)}))
    for value in shape_changes:
        settings.append((f"shape change {value:g}", {"shape_change": value}))
    return settings


def _groups(people: People) -> list[tuple[str, NDArray[np.bool_]]]:
    """Every group of people and who belongs to it, (N,)."""
    names = sorted({group for photograph in people.photographs for group in photograph.groups})
    return [(name, np.array([name in photograph.groups for photograph in people.photographs], bool)) for name in names]


def _config(args: argparse.Namespace) -> ModelConfig:
    from g2face_model.config import ModelConfig

    return ModelConfig(engine=args.engine, device=args.device, weights_dir=args.weights_dir, threads=args.threads)


def _provenance(args: argparse.Namespace) -> dict[str, object]:
    """What a reader has to know to repeat the run."""
    import torch

    from g2face_model.config import VERSIONS

    config = dataclasses.replace(_config(args), weights_dir=None)
    return {
        "model_version": VERSIONS[args.engine],
        "config": {field.name: getattr(config, field.name) for field in dataclasses.fields(config)},
        "limit": args.limit,
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "torch": str(torch.__version__)},
    }
