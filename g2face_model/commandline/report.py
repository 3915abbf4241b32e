"""What `figures` gives out: tables on stdout, one JSON line per finding in a file, contact sheets in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from g2face_model import atomic_file, images
from g2face_model.commandline.tables import aligned, number, percent, plain, share
from g2face_model.contact_sheet import ContactSheet
from g2face_model.types import AnonymizedImage, Image

if TYPE_CHECKING:
    from g2face_model.evaluation.figures import Summary
    from g2face_model.evaluation.pairs import Identification

FACES_PER_SHEET = 60


class Report:
    """Writes findings as they come, so that a long run that is cut short has told what it knew."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines

    def record(self, kind: str, finding: object = None, **about: object) -> None:
        """One JSON line: what kind of finding, about what, and the fields of a dataclass or mapping."""
        fields = plain(finding) if finding is not None else {}
        self._lines.write(json.dumps({"kind": kind, **plain(about), **fields}, allow_nan=False) + "\n")
        self._lines.flush()

    def show(self, title: str, table: str) -> None:
        print(f"\n{title}\n\n{table}", flush=True)


def found_table(rows: Iterable[tuple[str, Identification]]) -> str:
    """Who is found: one row per probes and recogniser."""
    heading = ["recogniser", "probes", "people", "TAR, FAR 0.1 %", "TAR, FAR 1 %", "rank 1", "cosine"]
    cells = [[found.recogniser, probes, *found_cells(found)] for probes, found in rows]
    return aligned([heading, *cells], labels=2)


def found_cells(found: Identification) -> list[str]:
    shares = [share(found.strict), share(found.loose), share(found.rank_one)]
    return [str(found.rank_one.total), *shares, number(found.mean_similarity, 2)]


def matches_table(rows: Iterable[tuple[str, Identification]]) -> str:
    """The same by the thresholds that the recognisers were calibrated with."""
    heading = ["recogniser", "probes", "people", "matches, FAR 0.1 %", "matches, FAR 1 %"]
    cells = [
        [
            found.recogniser,
            probes,
            str(found.rank_one.total),
            share(found.calibrated_strict),
            share(found.calibrated_loose),
        ]
        for probes, found in rows
    ]
    return aligned([heading, *cells], labels=2)


def faces_table(rows: Iterable[tuple[str, Summary]]) -> str:
    """What became of the faces: one row per set of photographs."""
    heading = ["set", "photos", "faces", "released %", "NME %", "p95 %", "same expr. %", "expr. agr.", "found again %"]
    cells = [[name, *_faces_cells(summary)] for name, summary in rows]
    return aligned([[*heading, "attempts", "s/face"], *cells])


def _faces_cells(summary: Summary) -> list[str]:
    return [
        str(summary.photographs),
        str(summary.faces),
        share(summary.released),
        percent(summary.nme_mean, 2),
        percent(summary.nme_p95, 2),
        percent(summary.same_expression.value),
        number(summary.expression_agreement, 2),
        percent(summary.found_again.value),
        number(summary.attempts, 1),
        number(summary.seconds_per_face, 2),
    ]


def reasons_table(rows: Sequence[tuple[str, Summary]]) -> str:
    """How many faces were covered, and how many of them failed which test (one face may fail several)."""
    reasons = list(dict.fromkeys(reason for _, summary in rows for reason in summary.reasons))
    cells = [
        [name, str(summary.faces - summary.released.hits), *(str(summary.reasons.get(reason, 0)) for reason in reasons)]
        for name, summary in rows
    ]
    return aligned([["set", "covered", *reasons], *cells])


class Sheets:
    """Contact sheets of about `FACES_PER_SHEET` faces each, FOLDER/SET-1.png and so on; none without a folder."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder, self._name = folder, name
        self._sheet, self._faces, self._written = ContactSheet(), 0, 0

    def add(self, file: str, original: Image, result: AnonymizedImage) -> None:
        if self._folder is None:
            return
        self._sheet.add(file, original, result)
        self._faces += len(result.faces)
        if self._faces >= FACES_PER_SHEET:
            self.close()

    def close(self) -> None:
        """Write the sheet that is not full. Raises OSError."""
        if self._folder is None or not self._faces:
            return
        self._written += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{self._name}-{self._written}.png"
        atomic_file.write(target, images.encode(self._sheet.draw(), "png"), mode=0o600)
        self._sheet, self._faces = ContactSheet(), 0
