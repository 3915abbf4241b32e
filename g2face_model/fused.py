"""The trained G2Face: a virtual identity is drawn into the original's place by learned fusion, at 256 px.

Candidates are those of the gallery; what differs is how they become pixels: the original's crop goes into the generator
as features, and masks learned for every level decide what of it stays (networks/fusion.py, training/fusion.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from g2face_model.generation import Subject, among
from g2face_model.identity import IdentityModel, Search, VirtualIdentity
from g2face_model.networks.fusion import SIZE, FusedSynthesis, picture_of
from g2face_model.networks.generator import Generator
from g2face_model.rendering import choose_dtype, keep_freed_memory
from g2face_model.types import Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

# number of the face, of the attempt, and its masks (256, 5 * 256): white where the virtual identity was taken
Explain = Callable[[int, int, Image], None]


@dataclass(frozen=True, slots=True)
class FusedIdentity:
    """A virtual identity, and the original (256, 256, 3) it is to be drawn into: of which face, in which attempt."""

    identity: VirtualIdentity
    original: Image
    face: int
    attempt: int


@dataclass(slots=True)
class FusedSearch:
    """The gallery's candidates for one subject, each with the subject's crop."""

    search: Search
    original: Image
    face: int
    _given: int = field(init=False, default=0)

    def next(self) -> FusedIdentity:
        self._given += 1
        return FusedIdentity(self.search.next(), self.original, self.face, self._given)

    def worry(self, shortfall: Mapping[str, float]) -> None:
        self.search.worry(shortfall)


class FusedGenerator:
    """Raises WeightsError when the generator's weights or the trained ones are not there. `explain` is given the masks
    of everything that is drawn: they trace the original's features, so they are as private as it is."""

    def __init__(
        self, identities: IdentityModel, network: FusedSynthesis, *, candidates: int, explain: Explain | None = None
    ) -> None:
        weight = network.synthesis.constant.input
        self.device, self._dtype = str(weight.device), weight.dtype
        self._identities, self._network, self._count, self._explain = identities, network, candidates, explain

    @classmethod
    def load(
        cls, store: WeightStore, *, device: str, precision: str, candidates: int, explain: Explain | None = None
    ) -> FusedGenerator:
        generator = Generator()
        generator.load_state_dict(store.tensors("generator"))
        network = FusedSynthesis(generator.synthesis)
        network.learned.load_state_dict(store.tensors("fusion"))
        dtype = choose_dtype(torch.device(device), precision)
        network.eval().requires_grad_(False).to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        keep_freed_memory()
        return cls(IdentityModel.load(store), network, candidates=candidates, explain=explain)

    def search(self, subject: Subject, seed: bytes) -> FusedSearch:
        search = among(self._identities, subject, seed, candidates=self._count)
        return FusedSearch(search, _resized(subject.face.crop.pixels), subject.face.index)

    @torch.inference_mode()
    def render(self, candidate: FusedIdentity, *, size: int) -> Image:  # noqa: ARG002
        """(256, 256, 3): all that it was trained for, whatever the size of the crop."""
        styles = torch.from_numpy(candidate.identity.styles)[None].to(self.device, self._dtype)
        planes = torch.from_numpy(candidate.original).permute(2, 0, 1)[None].float() / 127.5 - 1
        originals = planes.to(self.device, self._dtype).contiguous(memory_format=torch.channels_last)
        picture, masks = self._network(styles, originals)
        if self._explain is not None:
            rows = picture_of(masks)[0].mul(255).round().byte().cpu().numpy()
            self._explain(candidate.face, candidate.attempt, np.concatenate(list(rows), 1))
        levels = picture[0].float().add(1).mul(127.5).round().clamp(0, 255).byte()
        return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())


def _resized(crop: Image) -> Image:
    way = cv2.INTER_AREA if len(crop) > SIZE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (SIZE, SIZE), interpolation=way), np.uint8)
