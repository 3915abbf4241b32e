"""The engine "g2face-official": the networks that G2Face's authors published (Yang et al., 2024, arXiv 2408.09458).

As in their code, the face is cut out as in FFHQ at 256 px; geometry is what a 3D face regressor says of that crop; a
dummy identity replaces the person's; and the generator draws it into the picture. What is not theirs: the dummy
identity and all noise are drawn from the caller's secret seed, the hidden bits are nobody's, and what comes out is
placed, measured and, where need be, covered like the faces of every other engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2face_model.generation import Subject
from g2face_model.networks.official.anonymizer import BITS, NOISE_SIZES, SIZE, AnonymousNet
from g2face_model.networks.official.arcface import ArcFace
from g2face_model.networks.official.coefficients import Coefficients, geometry
from g2face_model.networks.official.identity import IDENTITY, Map2Id, StyleMlp
from g2face_model.rendering import keep_freed_memory
from g2face_model.types import Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class DummyFace:
    """Everything the generator is given: the original (1, 3, 256, 256) in -1..1, styles (1, 14, 512), bits
    (1, 512, 32) and the noise maps."""

    original: Tensor
    styles: Tensor
    bits: Tensor
    noise: tuple[Tensor, ...]


class OfficialGenerator:
    """Draws dummy identities into the original. Single precision. Raises WeightsError when its weights were not handed
    in."""

    def __init__(self, store: WeightStore, *, device: str, candidates: int) -> None:
        self.device, self._count = device, candidates
        tensors = store.tensors("g2face-official")
        self._anonymous_net = _loaded(AnonymousNet, _of(tensors, "anonymous_net"), device)
        self._style_mlp = _loaded(StyleMlp, _of(tensors, "style_mlp"), device)
        self._map_2_id = _loaded(Map2Id, _of(tensors, "map_2_id"), device)
        self._arcface = _loaded(ArcFace, store.tensors("arcface-r50"), device)
        self._coefficients = _loaded(Coefficients, store.tensors("deep3d-coefficients"), device)
        keep_freed_memory()

    @torch.inference_mode()
    def search(self, subject: Subject, seed: bytes) -> Dummies:
        """Dummy identities in the order in which the seed draws them, but those first that ArcFace finds no more like
        the original than chance."""
        original = _as_trained(subject.face.crop.pixels).to(self.device)
        identities = self._map_2_id(self._drawn(seed, "identities", self._count, IDENTITY))
        alike = F.cosine_similarity(identities, self._arcface(original)) > 0
        described = geometry(self._coefficients((original + 1) / 2))
        styles = self._style_mlp(identities[alike.int().argsort(stable=True)], described.expand(self._count, -1))
        noise = tuple(self._drawn(seed, f"noise {n}", 1, 1, side, side) for n, side in enumerate(NOISE_SIZES))
        return Dummies(original, styles, hidden_bits(seed).to(self.device), noise)

    @torch.inference_mode()
    def render(self, candidate: DummyFace, *, size: int) -> Image:  # noqa: ARG002 - there is but one size
        """(256, 256, 3)."""
        given = candidate.original, candidate.styles, candidate.bits, candidate.noise
        drawn = self._anonymous_net(*given)[0]
        levels = drawn.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
        return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())

    def _drawn(self, seed: bytes, purpose: str, *shape: int) -> Tensor:
        return torch.from_numpy(drawn_normal(seed, purpose, *shape)).to(self.device)


class Dummies:
    """The dummy identities of one face, by their styles (M, 14, 512)."""

    def __init__(self, original: Tensor, styles: Tensor, bits: Tensor, noise: tuple[Tensor, ...]) -> None:
        self._original, self._bits, self._noise = original, bits, noise
        self._styles = iter(styles.unbind())

    def next(self) -> DummyFace:
        return DummyFace(self._original, next(self._styles)[None], self._bits, self._noise)

    def worry(self, shortfall: Mapping[str, float]) -> None:
        """The draws are independent: what one did tells nothing about the next."""


def hidden_bits(seed: bytes) -> Tensor:
    """(1, 512, 32) of 0 and 1: the bits of 512 single-precision numbers, most significant first, that the seed draws.

    The authors hide the original's ArcFace embedding here, and whoever has their public extractor reads the person's
    face template out of the anonymized picture. Nothing of the original goes in: the way back is a sealed payload. The
    numbers are standard normal, as those that the networks were trained with, so that pictures are as good as theirs.
    """
    numbers = drawn_normal(seed, "hidden bits", BITS[0]).astype(">f4")
    bits = np.unpackbits(np.frombuffer(numbers.tobytes(), np.uint8))
    return torch.from_numpy(bits.reshape(1, *BITS).astype(np.float32))


def drawn_normal(seed: bytes, purpose: str, *shape: int) -> Floats:
    """Standard normal numbers that depend on the seed and the purpose alone. The seed cannot be told from them, as the
    generator's key is a digest of it."""
    digest = hashlib.sha256(b"g2face official " + purpose.encode() + b"\0" + seed).digest()
    chance = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
    return chance.standard_normal(shape, np.float32)


def _as_trained(crop: Image) -> Tensor:
    """An FFHQ crop (S, S, 3) -> (1, 3, 256, 256) RGB in -1..1."""
    shrinks = len(crop) > SIZE
    resized = cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    pixels = torch.from_numpy(np.asarray(resized, np.float32) / np.float32(127.5) - 1)
    return pixels.permute(2, 0, 1)[None].contiguous()


def _of(tensors: Mapping[str, Tensor], module: str) -> dict[str, Tensor]:
    prefix = f"{module}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _loaded(network: type[Network], tensors: Mapping[str, Tensor], device: str) -> Network:
    with torch.device("meta"):
        made = network()
    made.load_state_dict(tensors, assign=True)
    return made.eval().requires_grad_(False).to(device)
