"""What does it cost? Seconds and memory of every method on these photographs, warm, without reading and writing files.

Figures, by method: `seconds_per_photo`, `seconds_per_face` (all seconds over all faces), `photos_per_hour` of the
machine with all its processes, `peak_megabytes` of a process that does nothing else; by method and stage:
`stage_seconds` per photo; with a price per machine hour: `price_per_1000` photographs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from g2face_model.evaluation.findings import Figure, Findings, Layout, Note, Unit, bootstrap, mean, number
from g2face_model.evaluation.measurements import Measurements
from g2face_model.evaluation.trials import Need

NAME = "cost"
NEEDS: frozenset[Need] = frozenset()
_TOTALS = ("seconds_per_photo", "seconds_per_face", "photos_per_hour", "peak_megabytes", "price_per_1000")
_LAYOUTS = (Layout("cost", ("method",), _TOTALS), Layout("stages", ("method",), ("stage_seconds",), across="stage"))
_REST = "rest"
_BUSY = 1.25  # of what the run itself asks for


def compute(measurements: Measurements) -> Findings:
    figures = [figure for method in measurements.compared for figure in _of_method(measurements, method)]
    facts = measurements.facts
    notes = [Note("timed_beside", {"jobs": facts.jobs, "threads": facts.threads})]
    if facts.load > max(facts.jobs * facts.threads, facts.cores) * _BUSY:
        notes.append(Note("busy_machine", {"load": f"{facts.load:.1f}", "cores": facts.cores}, warning=True))
    if facts.price_per_hour is None:
        notes.append(Note("no_price"))
    return Findings(NAME, tuple(figures), _LAYOUTS, notes=tuple(notes))


def _of_method(measurements: Measurements, method: str) -> Iterator[Figure]:
    photos = measurements.photos(method)
    if not photos:
        return
    by = {"method": method}
    seconds = np.array([photo.seconds for photo in photos])
    faces, mean_seconds = sum(photo.found for photo in photos), float(seconds.mean())
    jobs, price = measurements.facts.jobs, measurements.facts.price_per_hour
    yield mean("seconds_per_photo", seconds, Unit.SECONDS, by=by, headline=True)
    if faces:
        yield number("seconds_per_face", float(seconds.sum()) / faces, Unit.SECONDS, by=by, count=faces)
    if mean_seconds > 0:
        yield number("photos_per_hour", 3600 * jobs / mean_seconds, Unit.COUNT, by=by, count=len(photos))
    megabytes = [photo.peak_megabytes for photo in photos if photo.peak_megabytes is not None]
    yield mean("peak_megabytes", megabytes, Unit.MEGABYTES, by=by)
    if price is not None:
        factor = 1000 * price / 3600 / jobs
        low, high = (end * factor for end in bootstrap(seconds))
        yield Figure("price_per_1000", mean_seconds * factor, Unit.MONEY, len(photos), by, low, high, headline=True)
    yield from _stages(measurements, method)


def _stages(measurements: Measurements, method: str) -> Iterator[Figure]:
    photos = measurements.photos(method)
    names = dict.fromkeys(stage for photo in photos for stage in photo.stages)
    for name in names:
        seconds = [photo.stages.get(name, 0.0) for photo in photos]
        yield mean("stage_seconds", seconds, Unit.SECONDS, by={"method": method, "stage": name})
    if names:
        rest = [photo.seconds - sum(photo.stages.values()) for photo in photos]
        yield mean("stage_seconds", rest, Unit.SECONDS, by={"method": method, "stage": _REST})
