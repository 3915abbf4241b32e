"""From an anonymized face and an identity code to an approximation of who it was.

No pixel of the original is kept anywhere for this: a person is generated whom recognisers should take for the one that
the code describes, in the geometry and the light of the anonymized face. It is a likeness, no proof of anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from g2face_model import in_image
from g2face_model.anonymizer import Anonymizer
from g2face_model.build import build_anonymizer
from g2face_model.compositing import Patch
from g2face_model.config import ModelConfig
from g2face_model.generation import Subject
from g2face_model.identity import IdentityCodes, IdentityModel, VirtualIdentity
from g2face_model.recognition import similarity
from g2face_model.types import Box, Floats, Image
from g2face_model.weights import WeightStore

_CANDIDATES, _RENDERED = 12, 6  # people moved towards the code, and how many of them are looked at


class Likeness:
    """Draws whom a code describes in the place of an anonymized face. Not for concurrent use."""

    def __init__(self, anonymizer: Anonymizer, identities: IdentityModel, codes: IdentityCodes) -> None:
        self._anonymizer, self._identities, self._codes = anonymizer, identities, codes

    def draw(self, image: Image, box: Box, code: bytes) -> Patch | None:
        """The patch for the face in `box` of an anonymized picture; None where no face could be drawn. Raises
        `RecoveryError` for a code of the wrong size."""
        wanted = in_image.decode(self._codes, code)

        def propose(subject: Subject) -> Iterable[VirtualIdentity]:
            condition = subject.face.geometry.condition
            people = self._identities.towards(wanted, subject.looks, condition=condition, candidates=_CANDIDATES)
            return people[:_RENDERED]

        def prefer(embeddings: Mapping[str, Floats]) -> float:
            means = {name: mean for name, (mean, _) in self._codes.bases.items()}
            return sum(similarity(embeddings[name] - means[name], vector) for name, vector in wanted.items())

        return self._anonymizer.draw(image, box, propose, prefer)


def load(weights_dir: Path | None, *, device: str = "auto") -> Likeness:
    """Raises `WeightsError` when a part is missing."""
    store = WeightStore(weights_dir)
    anonymizer = build_anonymizer(ModelConfig(device=device, weights_dir=weights_dir))
    return Likeness(anonymizer, IdentityModel.load(store), in_image.identity_codes(store))
