"""Are people found again? One photograph of each is anonymized and compared with another one of theirs.

The thresholds of the attacker come from the set itself: all pairs of original photographs of different people. Those
of the recognisers' own calibration stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2face_model.evaluation.figures import Anonymize, PhotoFigures, measure
from g2face_model.evaluation.identification import Share, accepted, best_matches, different, threshold_at_far
from g2face_model.evaluation.observer import Observer
from g2face_model.evaluation.photographs import Photograph
from g2face_model.recognition import Recogniser
from g2face_model.types import AnonymizedImage, Floats, Image

Load = Callable[[Photograph], Image]
Show = Callable[[Photograph, Image, AnonymizedImage], None]


@dataclass(frozen=True, slots=True)
class People:
    """N people as they are: the photographs to be anonymized, and by recogniser the embeddings (N, D) of these and of
    another photograph of each person."""

    photographs: tuple[Photograph, ...]
    first: Mapping[str, Floats]
    other: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Published:
    """The photographs of N people after anonymization: what was measured, and by recogniser the embeddings (N, D)."""

    figures: tuple[PhotoFigures, ...]
    embeddings: Mapping[str, Floats]

    @property
    def released(self) -> NDArray[np.bool_]:
        """(N,): whose largest face was replaced and not covered."""
        return np.array(
            [any(face.index == 0 and face.released for face in photo.faces) for photo in self.figures], bool
        )


@dataclass(frozen=True, slots=True)
class Identification:
    """How many of the people one recogniser finds. At false accept rates of 0.1 % and 1 %, by thresholds from the set
    (`strict`, `loose`) and by the recogniser's calibrated ones; and as the best match in the gallery of all people's
    other photographs."""

    recogniser: str
    strict: Share
    loose: Share
    calibrated_strict: Share
    calibrated_loose: Share
    rank_one: Share
    mean_similarity: float


def observe(couples: Sequence[tuple[Photograph, Photograph]], observer: Observer, load: Load) -> People:
    """Look at both photographs of every person; people without a face in one of them are left out."""
    seen = [(first, _embed(observer, load(first)), _embed(observer, load(other))) for first, other in couples]
    known = [(photograph, first, other) for photograph, first, other in seen if first and other]
    names = [recogniser.name for recogniser in observer.recognisers]
    return People(
        tuple(photograph for photograph, _, _ in known),
        {name: np.stack([first[name] for _, first, _ in known]) for name in names} if known else {},
        {name: np.stack([other[name] for _, _, other in known]) for name in names} if known else {},
    )


def _embed(observer: Observer, image: Image) -> dict[str, Floats]:
    """Embeddings of the largest face; empty when there is none."""
    boxes = observer.boxes(image)
    return observer.embeddings(image, observer.mesh(image, boxes[0])) if boxes else {}


def publish(anonymize: Anonymize, observer: Observer, people: People, *, load: Load, show: Show) -> Published:
    """Anonymize the people's first photographs. `show` gets every one of them with its result."""
    figures, embeddings = [], []
    for photograph in people.photographs:
        image = load(photograph)
        result, measured = measure(anonymize, observer, photograph, image)
        show(photograph, image, result)
        box = result.faces[0].box if result.faces else observer.boxes(image)[0]
        figures.append(measured)
        embeddings.append(observer.embeddings(result.image, observer.mesh(result.image, box)))
    names = people.first
    return Published(tuple(figures), {name: np.stack([vectors[name] for vectors in embeddings]) for name in names})


def identify(
    recogniser: Recogniser, probes: Floats, people: People, *, chosen: NDArray[np.bool_] | None = None
) -> Identification:
    """Search for the `probes` (N, D), a photograph of each of the people, among their other photographs.

    `chosen` (N,) leaves out probes, never anybody from the gallery or from the pairs that set the thresholds.
    """
    gallery = people.other[recogniser.name]
    impostors = different(_cosines(people.first[recogniser.name], gallery))
    similarities = _cosines(probes, gallery)
    kept = np.ones(len(probes), bool) if chosen is None else chosen
    genuine = similarities.diagonal()[kept]
    return Identification(
        recogniser.name,
        strict=accepted(genuine, threshold_at_far(impostors, 0.001)),
        loose=accepted(genuine, threshold_at_far(impostors, 0.01)),
        calibrated_strict=accepted(genuine, recogniser.threshold),
        calibrated_loose=accepted(genuine, recogniser.threshold_far_1),
        rank_one=best_matches(similarities, kept),
        mean_similarity=float(genuine.mean()) if len(genuine) else float("nan"),
    )


def _cosines(probes: Floats, gallery: Floats) -> NDArray[np.float64]:
    return probes.astype(np.float64) @ gallery.astype(np.float64).T
