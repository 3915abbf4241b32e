"""Is it as good for everybody? Every headline figure by groups of people, and each group's gap to all others.

Groups are the values of every attribute that the collection tells (numbers split at their median), and `skin_tone`: the
individual typology angle of the bare skin of the photograph's largest face, in the classes of Chardon, Cretois and
Hourseau, "Skin colour typology and suntanning pathways", 1991, with the darkest one split at -30 degrees. It is
estimated from one photograph and so from its light, too. A photograph is in the group of its largest face.

Figures, by attribute, group and all that a headline of identity, utility, recovery and cost is told by: the headline
itself, and `..._gap`, it less the same figure of everybody else whose group is known. Of two groups the gap is told
once. Its interval follows from those of both sides (MOVER: Zou and Donner, "Construction of confidence limits about
effect measures", 2008; for shares this is Newcombe's interval of 1998). `gaps_compared` and `gaps_clear`, by attribute:
how many gaps there are, and how many have an interval without zero; a twentieth of all would by chance alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from g2face_model.attributes import typology_angle
from g2face_model.evaluation.findings import Figure, Findings, Layout, Note, Unit, number
from g2face_model.evaluation.measurements import Measurements
from g2face_model.evaluation.methods import G2FACE
from g2face_model.evaluation.metrics import cost, identity, recovery, utility
from g2face_model.evaluation.trials import NONE, Need

NAME = "fairness"
NEEDS: frozenset[Need] = frozenset()
SKIN_TONE = "skin_tone"
_METRICS = (identity, utility, recovery, cost)
_CLASSES = ((55, "very light"), (41, "light"), (28, "intermediate"), (10, "tan"), (-30, "brown"))
_DARKEST = "dark"
_SMALL, _MANY_GROUPS, _MANY_NUMBERS = 30, 12, 5
_MOSTLY, _FEWEST = 0.8, 5  # of numbers among an attribute's values; photographs of a group whose gap is worth a warning
_OWN = {"method": G2FACE}
_BY_GROUP = ("attribute", "group")
_FIRST = (
    Layout("groups_faces", _BY_GROUP, ("found_again", "found_again_gap", "replaced", "replaced_gap"), only=_OWN),
    Layout(
        "groups_analysis",
        _BY_GROUP,
        ("landmark_nme", "landmark_nme_gap", "same_expression", "same_expression_gap"),
        only=_OWN | {"faces": utility.ALL},
    ),
    Layout("groups_search", (*_BY_GROUP, "recogniser"), ("rank_one", "rank_one_gap"), only=_OWN | {"probes": "after"}),
    Layout("gaps", ("attribute",), ("gaps_compared", "gaps_clear")),
)
Groups = Mapping[str, Sequence[str]]  # photographs by the name of the group
_Key = tuple[str, tuple[tuple[str, str], ...]]


def compute(measurements: Measurements) -> Findings:
    figures: list[Figure] = []
    notes: list[Note] = []
    attributes = dict.fromkeys(name for own in measurements.probes for name in own.attributes)
    if not attributes:
        notes.append(Note("no_attributes"))
    every = {name: told_groups(measurements, name) for name in attributes}
    every[SKIN_TONE] = skin_tones(measurements)
    notes.append(Note("skin_tone_estimated"))
    for attribute, groups in every.items():
        if not 1 < len(groups) <= _MANY_GROUPS:
            code = "too_many_groups" if len(groups) > 1 else "one_group"
            notes.append(Note(code, {"attribute": attribute, "groups": len(groups)}))
            continue
        figures += _compared(measurements, attribute, groups)
        notes += _clear(figures, attribute)
        small = sum(len(own) < _SMALL for own in groups.values())
        if small:
            values: dict[str, str | int | float] = {"attribute": attribute, "groups": small, "photographs": _SMALL}
            notes.append(Note("small_groups", values, warning=True))
    return Findings(NAME, tuple(figures), _layouts(figures), notes=tuple(notes))


def told_groups(measurements: Measurements, attribute: str) -> Groups:
    """By what the collection tells of the people; more than a few numbers are split at their median, and the few words
    among them ("unknown") are no group."""
    told = {own.file: own.attributes[attribute] for own in measurements.probes if own.attributes.get(attribute)}
    values = {file: _number(value) for file, value in told.items()}
    known = {file: value for file, value in values.items() if math.isfinite(value)}
    if len(set(known.values())) > _MANY_NUMBERS and len(known) > _MOSTLY * len(told):
        middle = float(np.median(list(known.values())))
        told = {file: f"{'<' if value < middle else '>='} {middle:g}" for file, value in known.items()}
    return _grouped(told, sorted(set(told.values())))


def skin_tones(measurements: Measurements) -> Groups:
    """By the typology angle of the photographs' largest faces as they are, from light to dark."""
    faces = [face for face in measurements.faces(NONE) if face.index == 0]
    angles = {face.trial.photograph: typology_angle(np.array(face.skin, np.float32)) for face in faces}
    return _grouped(
        {file: skin_class(angle) for file, angle in angles.items()}, [*(name for _, name in _CLASSES), _DARKEST]
    )


def skin_class(angle: float) -> str:
    """The class of a typology angle in degrees."""
    return next((name for above, name in _CLASSES if angle > above), _DARKEST)


def gap(name: str, own: Figure, other: Figure, *, by: Mapping[str, str]) -> Figure:
    """How much larger the one figure is than the other, which was taken from other cases."""
    value = own.value - other.value
    low = value - math.hypot(own.value - own.low, other.high - other.value)
    high = value + math.hypot(own.high - own.value, other.value - other.low)
    return Figure(name, value, own.unit, min(own.count, other.count), by, low, high)


def _grouped(told: Mapping[str, str], order: Sequence[str]) -> Groups:
    found = {name: [file for file, value in told.items() if value == name] for name in order}
    return {name: files for name, files in found.items() if files}


def _compared(measurements: Measurements, attribute: str, groups: Groups) -> Iterator[Figure]:
    gaps: list[Figure] = []
    for position, (group, own) in enumerate(groups.items()):
        told = {"attribute": attribute, "group": group}
        others = [file for name, files in groups.items() if name != group for file in files]
        found, rest = _headlines(measurements, own), _headlines(measurements, others)
        for key, figure in found.items():
            by = {**told, **figure.by}
            yield dataclasses.replace(figure, by=by, headline=False)
            if key in rest and not (len(groups) == 2 and position):
                gaps.append(gap(f"{figure.name}_gap", figure, rest[key], by=by))
    yield from gaps
    known = [own for own in gaps if math.isfinite(own.low) and math.isfinite(own.high)]
    clear = sum(not own.low <= 0 <= own.high for own in known)
    yield number("gaps_compared", len(known), Unit.COUNT, by={"attribute": attribute})
    yield number("gaps_clear", clear, Unit.COUNT, by={"attribute": attribute})


def _headlines(measurements: Measurements, photographs: Sequence[str]) -> dict[_Key, Figure]:
    view = measurements.among(photographs)
    every = (figure for metric in _METRICS for figure in metric.compute(view).figures)
    return {
        (figure.name, tuple(figure.by.items())): figure
        for figure in every
        if figure.headline and figure.by.get("method") != NONE
    }


def _clear(figures: Sequence[Figure], attribute: str) -> Iterator[Note]:
    """The engine's gaps beyond chance, as far as the first tables tell them."""
    told = {name: layout.only for layout in _FIRST for name in layout.columns if name.endswith("_gap")}
    for own in figures:
        of_engine = own.name in told and told[own.name].items() <= dict(own.by).items()
        if of_engine and own.by["attribute"] == attribute and own.count >= _FEWEST and not own.low <= 0 <= own.high:
            values: dict[str, str | int | float] = {
                "attribute": attribute,
                "group": own.by["group"],
                "figure": own.name.removesuffix("_gap"),
                "photographs": own.count,
            }
            code = "gap_upwards" if own.value > 0 else "gap_downwards"
            yield Note(code, values, warning=True)


def _layouts(figures: Sequence[Figure]) -> tuple[Layout, ...]:
    """What to read first, then a table per headline, the gaps beside the figures."""
    rows = {figure.name: tuple(figure.by) for figure in figures if "group" in figure.by}
    tables = [Layout(name, own, (name, f"{name}_gap")) for name, own in rows.items() if not name.endswith("_gap")]
    return (*_FIRST, *tables)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
