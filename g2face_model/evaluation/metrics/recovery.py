"""Does the way back work, and for nobody else? Every published photograph was saved, read again and restored.

Figures, by method and format: `bit_exact`, the share of photographs whose every bit came back; `wrong_key_refused`,
`wrong_image_refused` and `tampering_refused`, the shares of attempts that were refused as they had to be;
`protect_seconds` and `restore_seconds` per photograph, from file to file; `payload_bytes` and `file_bytes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from g2face_model.evaluation.findings import Figure, Findings, Layout, Note, Unit, mean, share
from g2face_model.evaluation.identification import Share
from g2face_model.evaluation.measurements import Measurements, Recovered
from g2face_model.evaluation.trials import Need

NAME = "recovery"
NEEDS: frozenset[Need] = frozenset()
_FLAGS = ("bit_exact", "wrong_key_refused", "wrong_image_refused", "tampering_refused")
_SECONDS, _BYTES = ("protect_seconds", "restore_seconds"), ("payload_bytes", "file_bytes")
_ROWS = ("method", "format")
_LAYOUTS = (Layout("recovery", _ROWS, _FLAGS), Layout("recovery_cost", _ROWS, (*_SECONDS, *_BYTES)))


def compute(measurements: Measurements) -> Findings:
    figures: list[Figure] = []
    notes: list[Note] = []
    for method in measurements.compared:
        photos = measurements.photos(method)
        recovered = [own for photo in photos for own in photo.recovered]
        for name in dict.fromkeys(own.format for own in recovered):
            by = {"method": method, "format": name}
            figures += _figures([own for own in recovered if own.format == name], by)
        if not measurements.methods[method].reversible:
            notes.append(Note("no_way_back", {"method": method}))
        elif not recovered:
            notes.append(Note("nothing_to_recover", {"method": method}, warning=True))
    return Findings(NAME, tuple(figures), _LAYOUTS, notes=tuple(notes))


def _figures(recovered: Sequence[Recovered], by: dict[str, str]) -> Iterator[Figure]:
    for name in _FLAGS:
        counted = Share(sum(getattr(own, name) for own in recovered), len(recovered))
        yield share(name, counted, by=by, headline=name in ("bit_exact", "wrong_key_refused"))
    for name in _SECONDS:
        yield mean(name, [getattr(own, name) for own in recovered], Unit.SECONDS, by=by)
    for name in _BYTES:
        yield mean(name, [getattr(own, name) for own in recovered], Unit.BYTES, by=by)
