"""32-byte seed and the original's looks -> a virtual identity: plausible in the original's place, and far from it.

A gallery of generated people is searched at once: those of similar age, sex, ancestry, tone and pose come first, a
keyed draw decides among the plausible ones, the mapping moves each into the wanted geometry and away from the original,
and a predictor ranks them by how alike the recognisers would find them. Nothing is rendered here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from g2face_model.attributes import Attributes
from g2face_model.networks.generator import COARSE, SLOTS
from g2face_model.networks.mapping import ANGLES, EXPRESSIONS, SHAPE, Mapping, Predictor, cosines
from g2face_model.types import FaceMesh, Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

# Mesh vertices whose colour tells tone, beard and stubble: forehead, cheeks, nose, upper lip, chin, jaw.
_TONES = (151, 108, 337, 50, 280, 205, 425, 5, 164, 199, 200, 172, 397)
_MAX_ANGLE, _MAX_SPREADS = 38 / 30, 3.0  # of a condition; outside of these few generated people were seen
_TONE_RADIUS = 0.03  # of the distance between the outer corners of the eyes
# One unit of implausibility: what a stranger would notice.
_YEARS, _SEX, _ANCESTRY, _EXPRESSION = 9.0, 0.3, 0.3, 0.4
_LIGHTNESS, _HUE, _DEGREES, _SHAPE = 10.0, 6.0, 15.0, 1.5
_LEADING = 20  # shape components that a stranger could see
_DRAW = 1.6  # spread of the keyed draw: how much plausibility is given up for variety
_PUSHES = (0.3, 0.7, 1.2, 1.8)  # how hard each candidate is pushed away from the original, in parallel
# Pushed faces drift in ancestry, and the predictor does not see it: rendered and measured, half a push moved four
# tenths of the probability elsewhere. People who are unlike the original to begin with are preferred to pushed ones.
_DRIFT = 1.5  # cost of a whole push
_OWN_SHAPE = 0.5  # share of the donor's own shape that is asked for
_LIKENESS, _ALIKE = 20.0, -0.05  # cost of predicted similarity above this, per unit of cosine
_WORRY = 0.25  # of cosine, per step that a recogniser was found from its aim
_HASTE = 0.5  # growth of the weight of unlikeness, per step that the worst recogniser was found from its aim
# Towards a person instead: what likeness outweighs when donors are chosen, and the descent from them in latent space.
_RESEMBLANCE = 60.0
_STRIDE, _STRIDES = 0.03, 150
_ALIKE_GAIN, _SHIFTED, _STRAYED, _OUTSIDE = 6.0, 1.5, 0.5, 4.0
_STRANGE = 0.4  # of the mean square of a standardised latent above 1
_BARE, _HIDDEN = 0.92, 0.08  # share of the face that should be bare, and what a stranger would notice less


@dataclass(frozen=True, slots=True)
class Looks:
    """What a virtual identity should resemble. `tones` (13, 3): CIE Lab of fixed places of the face; `colourful`:
    whether their hue means anything (not in a grey-scale photograph)."""

    attributes: Attributes
    tones: Floats
    colourful: bool


@dataclass(frozen=True, slots=True)
class VirtualIdentity:
    """A person who does not exist: number in the gallery, the generator's styles (16, 512) in the wanted geometry."""

    number: int
    styles: Floats


def tones(image: Image, mesh: FaceMesh) -> Floats:
    """CIE Lab (13, 3) float32 at fixed places of the face; L in 0..100."""
    points = mesh.points[:, :2]
    radius = max(1, round(_TONE_RADIUS * float(np.linalg.norm(points[263] - points[33]))))
    limit = np.array([image.shape[1] - 1, image.shape[0] - 1])
    centres = np.clip(np.rint(points[list(_TONES)]), 0, limit).astype(int)
    patches = [image[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] for x, y in centres]
    medians = np.array([np.median(patch.reshape(-1, 3), axis=0) for patch in patches], np.float32)
    return np.asarray(cv2.cvtColor(medians[None] / np.float32(255), cv2.COLOR_RGB2LAB)[0], np.float32)


def is_colourful(tone: Floats) -> bool:
    """Whether (13, 3) Lab tones come from a colour photograph."""
    return float(np.abs(tone[:, 1:]).max()) > 2.0


class IdentityCodes:
    """Embeddings of the recognisers the mapping knows -> one vector: per recogniser the centred embedding's leading
    components, of unit length; zeros where a recogniser is not used."""

    def __init__(self, bases: MappingOf[str, tuple[Floats, Floats]]) -> None:
        self.bases = dict(bases)  # name -> mean (D,), components (K, D)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(components) for _, components in self.bases.values())

    def encode(self, embeddings: MappingOf[str, Floats]) -> Floats:
        """-> (sum of sizes,) float32."""
        return np.concatenate([self._part(name, embeddings.get(name)) for name in self.bases])

    def _part(self, name: str, embedding: Floats | None) -> Floats:
        mean, components = self.bases[name]
        if embedding is None:
            return np.zeros(len(components), np.float32)
        part = components @ (embedding - mean)
        return np.asarray(part / max(float(np.linalg.norm(part)), 1e-9), np.float32)


@dataclass(frozen=True)
class Gallery:
    """N generated people without pixels: latents (standardised, (N, 512)), colours' w (N, 512), conditions (N, 90) and
    looks: age in years (N,), masculinity (N,), ancestry (N, 5), tones (N, 13, 3)."""

    latents: Floats
    colours: Floats
    conditions: Floats
    ages: Floats
    masculinity: Floats
    ancestry: Floats
    tones: Floats

    def __len__(self) -> int:
        return len(self.latents)

    def implausibility(self, looks: Looks, condition: Floats) -> Floats:
        """(N,): squared distance of every person from these looks and this condition (90,), in units that a stranger
        would notice."""
        tone = self.tones - looks.tones
        cost = self._gaps(looks.attributes)
        cost += ((tone[..., 0] / _LIGHTNESS) ** 2).mean(1)
        if looks.colourful:
            cost += ((tone[..., 1:] / _HUE) ** 2).sum(2).mean(1)
        difference = self.conditions - condition
        cost += ((difference[:, :ANGLES] * 30 / _DEGREES) ** 2).sum(1)
        cost += ((difference[:, ANGLES : ANGLES + _LEADING] / _SHAPE) ** 2).mean(1)
        cost += (np.abs(difference[:, -EXPRESSIONS:]).sum(1) / 2 / _EXPRESSION) ** 2
        return np.asarray(cost, np.float32)

    def lookalikes(self, number: int, count: int) -> NDArray[np.intp]:
        """(count,): the others who look most like a person, in any pose and with any expression."""
        looks = Attributes(float(self.ages[number]), float(self.masculinity[number]), self.ancestry[number])
        gaps = self._gaps(looks)
        gaps[number] = np.inf
        return np.argsort(gaps, kind="stable")[:count]

    def _gaps(self, wanted: Attributes) -> Floats:
        """(N,): squared distance in age, sex and ancestry."""
        gaps = ((self.ages - wanted.age_years) / _YEARS) ** 2
        gaps += ((self.masculinity - wanted.masculinity) / _SEX) ** 2
        gaps += (np.abs(self.ancestry - wanted.ancestry).sum(1) / 2 / _ANCESTRY) ** 2
        return np.asarray(gaps, np.float32)


class IdentityModel:
    """Chooses virtual identities. The networks and the gallery were trained and made by this project."""

    def __init__(
        self,
        gallery: Gallery,
        codes: IdentityCodes,
        mapping: Mapping,
        predictor: Predictor,
        *,
        latent_mean: Floats,
        latent_spread: Floats,
    ) -> None:
        self.gallery, self.codes = gallery, codes
        self._mapping, self._predictor = mapping, predictor
        self._mean, self._spread = latent_mean, latent_spread

    @classmethod
    def load(cls, store: WeightStore) -> IdentityModel:
        """From the parts "mapping" and "gallery". Raises WeightsError when they are not there."""
        tensors = {name: tensor.float() for name, tensor in store.tensors("mapping").items()}
        names = store.metadata("mapping")["recognisers"].split()
        bases = {
            name: (tensors[f"codes.{name}.mean"].numpy(), tensors[f"codes.{name}.basis"].numpy()) for name in names
        }
        codes = IdentityCodes(bases)
        mapping, predictor = Mapping(sum(codes.sizes)), Predictor(codes.sizes)
        for prefix, network in (("mapping.", mapping), ("predictor.", predictor)):
            network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            network.eval().requires_grad_(False)
        gallery = Gallery(**{name: tensor.float().numpy() for name, tensor in store.tensors("gallery").items()})
        mean, spread = tensors["latent.mean"].numpy(), tensors["latent.spread"].numpy()
        return cls(gallery, codes, mapping, predictor, latent_mean=mean, latent_spread=spread)

    @torch.inference_mode()
    def search(
        self, seed: bytes, looks: Looks, *, condition: Floats, embeddings: MappingOf[str, Floats], candidates: int
    ) -> Search:
        """Everything needed to try one identity after another on a face. The same seed and face give the same search.

        `condition` (90,) is the wanted geometry, `embeddings` the original's, to stay away from; `candidates` gallery
        people are considered.
        """
        condition = within_reach(condition)
        cost = self.gallery.implausibility(looks, condition) - _DRAW * keyed_gumbel(seed, len(self.gallery.latents))
        donors = np.tile(np.argsort(cost, kind="stable")[:candidates], len(_PUSHES))
        push = np.repeat(np.array(_PUSHES, np.float32), len(donors) // len(_PUSHES))
        away = torch.from_numpy(self.codes.encode(embeddings)).expand(len(donors), -1)
        wanted = torch.from_numpy(self._own_shape(donors, condition))
        latents = self._move(donors, wanted, away, push=push)
        odd, likeness = self._foresee(latents, looks, condition, away)
        styles = self._styles(latents.numpy(), donors)
        return Search(
            donors, styles, cost[donors] + odd + _DRIFT * push**2, dict(zip(self.codes.bases, likeness.T, strict=True))
        )

    @torch.inference_mode()
    def moved(self, donors: NDArray[np.intp], others: NDArray[np.intp], *, push: Floats) -> Floats:
        """Styles (M, 16, 512) of gallery people in the geometry of others (M,) and away from them."""
        others_latents = torch.from_numpy(self.gallery.latents[others])
        conditions = torch.from_numpy(self.gallery.conditions[others])
        latents = self._move(donors, conditions, self._predictor.codes(others_latents), push=push)
        return self._styles(latents.numpy(), donors)

    def towards(
        self, code: MappingOf[str, Floats], looks: Looks, *, condition: Floats, candidates: int
    ) -> list[VirtualIdentity]:
        """The opposite of `search`: people in the geometry `condition` (90,) who should be taken for the one that an
        identity code describes, the likeliest first; `code` holds embeddings (D,) less their means, of any length."""
        parts = [self.codes.bases[name][1] @ vector for name, vector in code.items()]
        wanted = torch.cat([F.normalize(torch.from_numpy(part).float(), dim=0) for part in parts])
        condition = within_reach(condition)
        with torch.no_grad():
            alike = self._likeness(self._predictor.codes(torch.from_numpy(self.gallery.latents)), code, wanted)
            cost = self.gallery.implausibility(looks, condition) - _RESEMBLANCE * alike.numpy()
            donors = np.argsort(cost, kind="stable")[:candidates]
            still = torch.zeros(len(donors), sum(self.codes.sizes))
            start = self._move(
                donors, torch.from_numpy(condition).expand(len(donors), -1), still, push=still[:, 0].numpy()
            )
        latents, alike = self._descend(start, torch.from_numpy(condition), code, wanted)
        styles = self._styles(latents.numpy(), donors)
        return [VirtualIdentity(int(donors[best]), styles[best]) for best in alike.argsort(descending=True).tolist()]

    def _likeness(self, codes: Tensor, names: MappingOf[str, Floats], wanted: Tensor) -> Tensor:
        """(N,): mean cosine of codes (N, K) to those of `names`, joined in `wanted`."""
        parts = dict(zip(self.codes.bases, torch.split(codes, list(self.codes.sizes), 1), strict=True))
        return torch.cat([parts[name] for name in names], 1) @ wanted / len(names)

    def _descend(
        self, start: Tensor, condition: Tensor, names: MappingOf[str, Floats], wanted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Latents (N, 512) near `start` that the predictor finds alike, and how alike (N,)."""
        geometry = slice(0, ANGLES + SHAPE)
        latents = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=_STRIDE)
        for _ in range(_STRIDES):
            found, _, codes = self._predictor(latents)
            alike = self._likeness(codes, names, wanted)
            cost = _SHIFTED * ((found[:, geometry] - condition[geometry]) ** 2).mean(1) - _ALIKE_GAIN * alike
            cost = cost + _STRAYED * ((latents - start) ** 2).mean(1)
            cost = cost + _OUTSIDE * torch.relu((latents**2).mean(1) - 1)
            optimizer.zero_grad()
            cost.sum().backward()
            optimizer.step()
        return latents.detach(), alike.detach()

    @torch.inference_mode()
    def predicted_attributes(self, coarse: Floats) -> Floats:
        """(N, 512) coarse w -> (N, 8) attributes as in networks/mapping.py."""
        latents = torch.from_numpy((coarse - self._mean) / self._spread)
        return np.asarray(self._predictor(latents)[1].numpy(), np.float32)

    def _own_shape(self, donors: NDArray[np.intp], condition: Floats) -> Floats:
        """Conditions (M, 90): the wanted one, in whose shape every donor keeps some of their own, which is as much part
        of who a face is as its texture. The deformation brings the landmarks home afterwards."""
        wanted = np.tile(condition, (len(donors), 1))
        shape = slice(ANGLES, ANGLES + SHAPE)
        wanted[:, shape] += _OWN_SHAPE * (self.gallery.conditions[donors][:, shape] - wanted[:, shape])
        return wanted

    def _move(self, donors: NDArray[np.intp], wanted: Tensor, away: Tensor, *, push: Floats) -> Tensor:
        """Latents (M, 512) in the wanted geometry (M, 90); `push` (M,) multiplies the part of the move that leads away
        from the codes (M, K) of people to protect."""
        start = torch.from_numpy(self.gallery.latents[donors])
        indifferent = self._mapping(start, wanted, torch.zeros_like(away))
        pushed = self._mapping(start, wanted, away) - indifferent
        moved: Tensor = indifferent + pushed * torch.from_numpy(push)[:, None]
        return moved

    def _foresee(self, latents: Tensor, looks: Looks, condition: Floats, away: Tensor) -> tuple[Floats, Floats]:
        """How odd latents (M, 512) would look (M,), and how alike every recogniser would find them and the original
        (M, recognisers), all predicted; 0 for recognisers not used."""
        geometry, attributes, codes = self._predictor(latents)
        likeness = cosines(codes, away, self.codes.sizes)
        expression = torch.softmax(geometry[:, -EXPRESSIONS:], 1).numpy()
        odd = oddity(expression, attributes.numpy(), looks, condition) + _strangeness(latents.numpy())
        return odd, likeness.numpy()

    def _styles(self, latents: Floats, donors: NDArray[np.intp]) -> Floats:
        """(M, 16, 512): the moved latents in the coarse slots, the donors' colours in the fine ones."""
        coarse = np.repeat((latents * self._spread + self._mean)[:, None], COARSE, 1)
        fine = np.repeat(self.gallery.colours[donors][:, None], SLOTS - COARSE, 1)
        return np.concatenate([coarse, fine], 1)


class Search:
    """M moved candidates for one face, to be tried one after another.

    `donors` (M,) are numbers in the gallery, `styles` (M, 16, 512), `cost` (M,) how implausible each would look,
    `likeness` recogniser -> (M,) predicted cosine to the original.
    """

    def __init__(
        self, donors: NDArray[np.intp], styles: Floats, cost: Floats, likeness: MappingOf[str, Floats]
    ) -> None:
        self._donors, self._styles, self._cost, self._likeness = donors, styles, cost, likeness
        self._free = np.ones(len(donors), bool)
        self._worries = dict.fromkeys(likeness, 0.0)
        self._urgency = 1.0

    def next(self) -> VirtualIdentity:
        """The most plausible candidate not tried yet that should be unlike the original for every recogniser."""
        feared = np.stack([alike + self._worries[name] for name, alike in self._likeness.items()]).max(0)
        total = self._cost + self._urgency * _LIKENESS * np.maximum(feared - _ALIKE, 0)
        best = int(np.where(self._free, total, np.inf).argmin())
        self._free &= self._donors != self._donors[best]
        return VirtualIdentity(int(self._donors[best]), self._styles[best])

    def worry(self, shortfall: MappingOf[str, float]) -> None:
        """Learn from an attempt: how far each recogniser was from what is aimed at, in steps of its thresholds.

        A recogniser that the predictions know nothing of makes all of them stricter. With every failure unlikeness
        weighs more against plausibility.
        """
        self._urgency *= 1 + min(_HASTE * max(0.0, *shortfall.values()), 1)
        for name, steps in shortfall.items():
            for known in [name] if name in self._worries else self._worries:
                self._worries[known] += _WORRY * max(0.0, steps)


def oddity(expression: Floats, attributes: Floats, looks: Looks, condition: Floats) -> Floats:
    """(M,): squared distance of predicted expressions (M, 7) and attributes (M, 8) from the original's looks."""
    wanted = looks.attributes
    odd = (np.abs(expression - condition[-EXPRESSIONS:]).sum(1) / 2 / _EXPRESSION) ** 2
    odd += ((attributes[:, 0] * 10 - wanted.age_years) / _YEARS) ** 2
    odd += ((attributes[:, 1] - wanted.masculinity) / _SEX) ** 2
    odd += (np.abs(attributes[:, 2:-1] - wanted.ancestry).sum(1) / 2 / _ANCESTRY) ** 2
    odd += (np.maximum(_BARE - attributes[:, -1], 0) / _HIDDEN) ** 2
    return np.asarray(odd, np.float32)


def looks_gap(found: Attributes, wanted: Attributes) -> float:
    """Squared distance in age, sex and ancestry, in units that a stranger would notice."""
    years = ((found.age_years - wanted.age_years) / _YEARS) ** 2
    sex = ((found.masculinity - wanted.masculinity) / _SEX) ** 2
    return float(years + sex + (np.abs(found.ancestry - wanted.ancestry).sum() / 2 / _ANCESTRY) ** 2)


def _strangeness(latents: Floats) -> Floats:
    """(M,): how far latents (M, 512) lie outside of what the generator was asked for in training."""
    return np.asarray((np.maximum((latents**2).mean(1) - 1, 0) / _STRANGE) ** 2, np.float32)


def within_reach(condition: Floats) -> Floats:
    """The nearest condition (90,) to what the generator has seen; the deformation bridges the rest."""
    limits = np.repeat(np.array([_MAX_ANGLE, _MAX_SPREADS, 1.0], np.float32), [ANGLES, SHAPE, EXPRESSIONS])
    return np.clip(condition, -limits, limits)


def keyed_gumbel(seed: bytes, count: int) -> Floats:
    """(count,) standard Gumbel draws that depend on the seed alone: adding them to scores and taking the largest draws
    from the softmax of the scores (Gumbel-max)."""
    key = int.from_bytes(hashlib.sha256(b"g2face gallery draw" + seed).digest(), "big")
    draws = np.random.Generator(np.random.Philox(key=key % (1 << 128))).gumbel(size=count)
    return draws.astype(np.float32)
