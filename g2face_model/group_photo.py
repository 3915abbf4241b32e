"""A photograph of a group of people who do not exist: faces of many sizes, ages and skin tones, for the demonstration.

People are drawn from the training distribution by number, cut out of their plain backgrounds, and placed in rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from g2face_model.networks.generator import Generator
from g2face_model.training import draws
from g2face_model.training.people import RENDER_PX, SHARD, stack_styles, to_pixels
from g2face_model.types import Floats, Image

if TYPE_CHECKING:
    from g2face_model.weights import WeightStore

WIDTH_PX, HEIGHT_PX = 1600, 1000
_CUT_PX = 256  # people are cut out at this size; the edge is feathered anyway
_NEAREST, _PER_SPREAD = 6.5, 3.3  # Lab distance to the background that is not background, and its growth with unrest
_FACE, _CHEST = ((128, 135), (56, 76)), ((128, 290), (75, 60))  # ellipses in _CUT_PX that always belong to the person
_BARE_HEAD, _FULL_HEAD = ((215, 50),), ((158, 34), (185, 68))  # under row so and so no person in so many outer columns
_WAIST = 1.7  # in portraits' sides, from the portrait's top: where the body's sides are straight
_SHADOW = 0.22
_GRAIN_LEVELS = 1.5


@dataclass(frozen=True, slots=True)
class _Place:
    """One person: shard and number among the training people, middle of the face and side of the portrait in px of the
    photograph, colour of the pullover; `hair`: middle and half axes in _CUT_PX of an ellipse of full hair, for a person
    whose background is not plain."""

    shard: int
    number: int
    middle: tuple[int, int]
    side_px: int
    cloth: tuple[int, int, int]
    hair: tuple[tuple[int, int], tuple[int, int]] | None = None


_PLACES = (  # the furthest first, because the nearer hide them
    _Place(1, 32, (545, 245), 150, (120, 140, 175)),
    _Place(1, 54, (1060, 225), 166, (150, 150, 145)),
    _Place(0, 4, (260, 340), 280, (70, 80, 105)),
    _Place(0, 70, (800, 350), 300, (170, 70, 60), hair=((128, 98), (96, 84))),
    _Place(0, 62, (1340, 345), 280, (60, 95, 80)),
    _Place(1, 71, (440, 640), 430, (95, 110, 150)),
    _Place(0, 90, (1170, 630), 450, (185, 160, 100)),
    _Place(1, 43, (805, 715), 390, (105, 95, 100)),
)


def group_photo(store: WeightStore) -> Image:
    """(1000, 1600, 3): eight generated people. Raises WeightsError when the generator is not there."""
    photograph = _backdrop()
    for place, portrait in zip(_PLACES, _portraits(store), strict=True):
        _put(photograph, place, *_dressed(portrait, _cut_out(portrait, place), place))
    grain = np.random.default_rng(0).normal(0, _GRAIN_LEVELS, (HEIGHT_PX, WIDTH_PX, 1))
    return np.asarray(np.clip(np.rint(photograph + grain), 0, 255), np.uint8)


@torch.inference_mode()
def _portraits(store: WeightStore) -> list[Image]:
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    generator.eval()
    draw = draws.plain(generator)
    latents = {shard: draw(shard, SHARD) for shard in {place.shard for place in _PLACES}}
    people = [tuple(w[place.number][None] for w in latents[place.shard]) for place in _PLACES]
    return [to_pixels(generator.synthesis(stack_styles(*person), size=RENDER_PX)[0]) for person in people]


def _backdrop() -> Floats:
    """A wall out of focus, lighter in the middle."""
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX].astype(np.float32) / np.float32(HEIGHT_PX)
    glow = np.exp(-((x - 0.8) ** 2 / 0.9 + (y - 0.35) ** 2 / 0.5))[..., None]
    wall = np.array([96, 104, 110], np.float32) + np.array([74, 72, 66], np.float32) * glow
    unrest = np.random.default_rng(1).normal(0, 1, (10, 16, 1)).astype(np.float32)
    clouds = cv2.resize(unrest, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(wall + 5 * clouds[..., None], np.float32)


def _cut_out(portrait: Image, place: _Place) -> Floats:
    """(RENDER_PX, RENDER_PX) in 0..1: the person, by the colour's distance from a background that is smooth."""
    small = cv2.resize(portrait, (_CUT_PX, _CUT_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    lab = cv2.bilateralFilter(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), 5, 8, 3)
    distance, spread = _distance_from_background(np.asarray(lab, np.float32))
    person = (distance > _NEAREST + _PER_SPREAD * spread).astype(np.uint8)
    for below, edge in _BARE_HEAD if place.hair is None else _FULL_HEAD:
        person[below:, :edge] = person[below:, -edge:] = 0  # shoulders, and what lies on them
    for middle, axes in (_FACE, _CHEST, *([place.hair] if place.hair else [])):
        cv2.ellipse(person, middle, axes, 0, 0, 360, 1, thickness=-1)
    for operation, size in ((cv2.MORPH_CLOSE, 5), (cv2.MORPH_OPEN, 9)):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        person = np.asarray(cv2.morphologyEx(person, operation, disc), np.uint8)
    soft = cv2.GaussianBlur(_whole(person).astype(np.float32), (0, 0), 1.8)
    soft = np.clip((soft - 0.6) / 0.4, 0, 1) * _shoulders()
    large = cv2.resize(soft, (RENDER_PX, RENDER_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, 0, 1), np.float32)


def _distance_from_background(lab: Floats) -> tuple[Floats, float]:
    """(S, S) distance of every pixel from a quadratic surface through the picture's border, and the border's own."""
    y, x = np.mgrid[:_CUT_PX, :_CUT_PX].astype(np.float32) / _CUT_PX - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 2)
    border = np.zeros((_CUT_PX, _CUT_PX), bool)
    border[:150, :18] = border[:150, -18:] = border[:12, :70] = border[:12, -70:] = True
    used = border
    for _ in range(6):  # hair and shoulders that reach the border drop out
        surface = np.linalg.lstsq(terms[used], lab[used], rcond=None)[0]
        distance = np.linalg.norm(lab - terms @ surface, axis=2)
        used = border & (distance < max(7.5, 3.75 * float(np.median(distance[used]))))
    return np.asarray(distance, np.float32), float(np.median(distance[used]))


def _whole(person: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The part that holds the face, without holes."""
    parts = cv2.connectedComponents(person)[1]
    outside = np.pad(parts != parts[_FACE[0][::-1]], ((1, 0), (1, 1)), constant_values=True).astype(np.uint8)
    regions = cv2.connectedComponents(outside)[1]
    return np.asarray(regions[1:, 1:-1] != regions[0, 0])


def _shoulders() -> Floats:
    """Rounds off what the portrait's square cuts straight: crown and shoulders."""
    mask = np.zeros((_CUT_PX, _CUT_PX), np.uint8)
    cv2.ellipse(mask, (128, 134), (118, 132), 0, 0, 360, 255, thickness=-1)
    cv2.ellipse(mask, (128, 300), (127, 100), 0, 0, 360, 255, thickness=-1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 2.5), np.float32) / np.float32(255)


def _dressed(portrait: Image, alpha: Floats, place: _Place) -> tuple[Floats, Floats]:
    """Portrait and mask at the wanted size, (6S, 2S), the portrait in the upper middle, with a plain pullover below:
    portraits end at the neck, and nobody should end in the air."""
    side, margin = place.side_px, place.side_px // 2
    small = [cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA) for layer in (portrait, alpha)]
    colours, mask = (cv2.copyMakeBorder(layer, 0, 5 * side, margin, margin, cv2.BORDER_CONSTANT) for layer in small)
    y, x = np.mgrid[: 6 * side, : 2 * side].astype(np.float32) / np.float32(side)
    x -= 1
    height = np.maximum(_WAIST - y, 0)
    body = 1 - np.sqrt((np.abs(x) / 0.66) ** 2.2 + (height / (_WAIST - 0.9)) ** 2.2)
    collar = np.hypot(x / 0.17, (y - 0.85) / 0.135) - 1  # 0 along the neckline
    edge = 1 / side
    wool = np.clip(np.minimum(0.7 * body, 0.15 * collar) / (2 * edge) + 0.5, 0, 1)[..., None]
    light = 0.72 + 0.34 * np.clip(body, 0, 1) ** 0.5 - 0.15 * x + 0.04 * np.sin(9 * x + 5 * y)
    light -= 0.30 * np.exp(-((np.maximum(collar, 0) / 0.5) ** 2)) + 0.10 * (collar < 0.14)
    cloth = np.clip(np.array(place.cloth, np.float32) * light[..., None], 0, 255)
    return np.asarray(colours + wool * (cloth - colours), np.float32), np.maximum(mask, wool[..., 0])


def _put(photograph: Floats, place: _Place, colours: Floats, alpha: Floats) -> None:
    """Paint one person into the photograph, with a soft shadow on what is behind."""
    layers = np.dstack([colours * alpha[..., None], alpha])
    shift = np.array(
        [[1, 0, place.middle[0] - place.side_px], [0, 1, place.middle[1] - place.side_px // 2]], np.float32
    )
    moved = cv2.warpAffine(layers, shift, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_NEAREST)
    shadow = cv2.GaussianBlur(moved[..., 3], (0, 0), 0.06 * place.side_px)[..., None]
    photograph *= (1 - _SHADOW * shadow) * (1 - moved[..., 3:])
    photograph += moved[..., :3]
