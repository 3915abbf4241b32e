"""What engines differ in: an original and a seed -> candidates for its place, best first, and their pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from g2face_model.identity import IdentityModel, Looks, Search, VirtualIdentity
from g2face_model.rendering import Renderer
from g2face_model.types import Face, Floats, Image

Candidate = TypeVar("Candidate")
Next = TypeVar("Next", covariant=True)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a generator is told about an original: the face with its crop, mesh and geometry, its looks, and an
    embedding (D,) per recogniser of the gate to stay away from."""

    face: Face
    looks: Looks
    embeddings: Mapping[str, Floats]


class Candidates(Protocol[Next]):
    """New faces for one subject, to be tried one after another. Nothing is rendered yet."""

    def next(self) -> Next:
        """The best one that was not given yet."""
        ...

    def worry(self, shortfall: Mapping[str, float]) -> None:
        """Learn from an attempt: how far each recogniser was from what is aimed at, in steps of its thresholds."""
        ...


class FaceGenerator(Protocol[Candidate]):
    """Makes faces of people who do not exist. The same seed and subject give the same faces."""

    device: str

    def search(self, subject: Subject, seed: bytes) -> Candidates[Candidate]:
        """Candidates that the 32-byte seed draws."""
        ...

    def render(self, candidate: Candidate, *, size: int) -> Image:
        """(G, G, 3) where the subject's crop is, in its place; G as suits a crop of `size` px."""
        ...


def among(identities: IdentityModel, subject: Subject, seed: bytes, *, candidates: int) -> Search:
    """The gallery's people for a subject, moved into its geometry and away from whom it shows."""
    return identities.search(
        seed,
        subject.looks,
        condition=subject.face.geometry.condition,
        embeddings=subject.embeddings,
        candidates=candidates,
    )


class GalleryGenerator:
    """Chooses among generated people, moves one into the original's geometry, and renders them."""

    def __init__(self, identities: IdentityModel, renderer: Renderer, *, candidates: int) -> None:
        self.device = str(renderer.device)
        self._identities, self._renderer, self._count = identities, renderer, candidates

    def search(self, subject: Subject, seed: bytes) -> Search:
        return among(self._identities, subject, seed, candidates=self._count)

    def render(self, candidate: VirtualIdentity, *, size: int) -> Image:
        return self._renderer.render(candidate.styles, size=size)
