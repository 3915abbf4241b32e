"""Pairs to learn fusion from: an original, a virtual identity's styles, and the picture that the two should make.

Originals are generated people and, where given, photographs, measured as the engine measures them. What they should
become is composed exactly: the virtual identity's own rendering, deformed onto the original's landmarks and given its
light. Glasses, hands, shadows, blur and noise are then laid over the original and over its answer alike, so the answer
stays exact where a parser would fail; so are people who should come out as they were (styles of their own).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator as Chance

from g2face_model import alignment, fusion, images, light, masks
from g2face_model.anonymizer import Parts
from g2face_model.errors import ModelError
from g2face_model.generation import Subject
from g2face_model.identity import Looks, is_colourful, tones
from g2face_model.landmarks import sixty_eight
from g2face_model.networks.fusion import SIZE
from g2face_model.networks.generator import Generator
from g2face_model.parsing import FACE, GLASSES
from g2face_model.training.degradations import cast_shadow, recolour, spoil, tone_skin
from g2face_model.training.layers import Layer, Scene, compose, floats
from g2face_model.training.occluders import CHANCES, DRAWN
from g2face_model.training.people import stack_styles, to_pixels
from g2face_model.training.spectacles import draw_glasses
from g2face_model.types import Box, Crop, Face, FaceMesh, Floats, Image, Landmarks

_RENDER_PX = 512
_FACE = Box(110, 110, 400, 440, 1.0)  # where an FFHQ-aligned face lies in the render
_FOREHEAD, _SHAPE_CHANGE = 0.25, 0.02  # as the engine replaces a face
_MIN_SCORE, _MIN_CROP_PX, _MAX_YAW = 0.9, 160.0, 50.0
_CANDIDATES = 160
_TRIES = 20


@dataclass(frozen=True)
class Pair:
    """`original` and `wanted` (256, 256, 3); `styles` (16, 512) of the virtual identity, who `alone` (256, 256, 3)
    looks like this; meshes of both in px of their pictures; `face` (256, 256): what of the original is face; whether
    the virtual identity is the `same` person; embeddings (D,) of both by recogniser."""

    original: Image
    wanted: Image
    alone: Image
    styles: Floats
    mesh: FaceMesh
    face: Floats
    same: bool
    of_original: Mapping[str, Floats]
    of_alone: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class PairMaker:
    """Makes pairs by number: the same number gives the same pair. `parts` are a gallery engine's; `photos` files of
    which the largest face is taken, for a share `photographed` of the pairs; a share `same` keeps its identity."""

    parts: Parts
    generator: Generator
    mean: torch.Tensor  # (512,), of the generator's w
    photos: tuple[Path, ...] = ()
    photographed: float = 0.5
    same: float = 0.15
    seed: int = 0

    def make(self, number: int) -> Pair:
        """Raises ModelError when nothing usable turns up."""
        chance = np.random.default_rng([self.seed, number])
        for _ in range(_TRIES):
            kind = chance.random()
            if kind < self.same:
                return self._own(chance)
            photographed = self.photos and chance.random() < self.photographed
            original = self._photograph(chance) if photographed else self._person(chance)[0]
            pair = self._other(original, chance) if original is not None else None
            if pair is not None:
                return pair
        raise ModelError("of twenty originals none holds a face to learn from")

    def _person(self, chance: Chance) -> tuple[Image, Floats, FaceMesh]:
        """A generated person (512, 512, 3), the styles and the mesh."""
        styles = self.draw(chance)
        pixels = self._render(styles)
        return pixels, styles, self.parts.landmarker.mesh(pixels, _FACE)

    @torch.inference_mode()
    def draw(self, chance: Chance) -> Floats:
        """Styles (16, 512) of a random person: structure and colours from two draws."""
        source = torch.Generator().manual_seed(int(chance.integers(1 << 62)))
        offsets = self.generator.mapping_forward(torch.randn(2, 512, generator=source)) - self.mean
        near = torch.tensor([[chance.uniform(0.6, 1.0)], [chance.uniform(0.5, 0.9)]], dtype=torch.float32)
        coarse, fine = self.mean + near * offsets
        return stack_styles(coarse[None], fine[None])[0].numpy()

    @torch.inference_mode()
    def _render(self, styles: Floats) -> Image:
        synthesis = self.generator.synthesis
        batch = torch.from_numpy(styles)[None].to(synthesis.constant.input.dtype)
        return to_pixels(synthesis(batch, size=_RENDER_PX)[0])

    def _photograph(self, chance: Chance) -> Image | None:
        path = self.photos[int(chance.integers(len(self.photos)))]
        photograph = images.decode(path.read_bytes())
        boxes = self.parts.detector.detect(photograph)
        if not boxes:
            return None
        points = sixty_eight(self.parts.landmarker.mesh(photograph, boxes[0])).points
        if alignment.crop_size(points) < _MIN_CROP_PX:
            return None
        crop = alignment.extract(photograph, points, _RENDER_PX).pixels
        return crop[:, ::-1].copy() if chance.random() < 0.5 else crop

    def _own(self, chance: Chance) -> Pair:
        pixels, styles, mesh = self._person(chance)
        small = _shrink(pixels)
        found = alignment.resized(mesh, SIZE / _RENDER_PX)
        face = self.parts.parser.parse(small)[..., FACE]
        embeddings = self._embed(small, found)
        return Pair(small, small, small, styles, found, face, True, embeddings, embeddings)

    def _other(self, pixels: Image, chance: Chance) -> Pair | None:
        """Another person in the place of the face in a picture (512, 512, 3)."""
        mesh = self.parts.landmarker.mesh(pixels, _FACE)
        if mesh.score < _MIN_SCORE:
            return None
        points = sixty_eight(mesh).points
        crop = alignment.extract(pixels, points, SIZE)
        placed = alignment.into_crop(mesh, crop)
        embeddings = self._embed(crop.pixels, placed)
        subject = self._subject(crop, placed, embeddings)
        if abs(subject.face.geometry.angles[0]) > _MAX_YAW:
            return None
        seed = chance.bytes(32)
        candidate = self.parts.generator.search(subject, seed).next()
        rendered = self._render(candidate.styles)
        found = self.parts.landmarker.refine(rendered, alignment.resized(placed, _RENDER_PX / SIZE))
        wanted, face = self._answer(crop.pixels, placed, rendered, mesh=found)
        alone = _shrink(rendered)
        of_alone = self._embed(alone, alignment.resized(found, SIZE / _RENDER_PX))
        return Pair(crop.pixels, wanted, alone, candidate.styles, placed, face, False, embeddings, of_alone)

    def _embed(self, picture: Image, mesh: FaceMesh) -> dict[str, Floats]:
        return {recogniser.name: recogniser.embed(picture, mesh) for recogniser in self.parts.gate.recognisers}

    def _subject(self, crop: Crop, mesh: FaceMesh, embeddings: Mapping[str, Floats]) -> Subject:
        expression = self.parts.gate.expression(crop.pixels, mesh)
        geometry = self.parts.geometry.derive(mesh, expression)
        face = Face(0, _FACE, Landmarks(sixty_eight(mesh).points), mesh, crop, geometry)
        tone = tones(crop.pixels, mesh)
        looks = Looks(self.parts.attributes.estimate(crop.pixels, mesh), tone, is_colourful(tone))
        return Subject(face, looks, embeddings)

    def _answer(self, original: Image, placed: FaceMesh, rendered: Image, *, mesh: FaceMesh) -> tuple[Image, Floats]:
        """The rendering (512, 512, 3) with its `mesh` in the original's place, and what of the original is face."""
        colours = floats(original) / np.float32(255)
        parsed = self.parts.parser.parse(original)
        lens = masks.lens_mask(colours, placed, parsed[..., GLASSES])
        glasses, skin = np.maximum(parsed[..., GLASSES] - lens, 0), np.maximum(parsed[..., FACE], lens)
        pasteable = self.parts.parser.parse(rendered)[..., FACE, None]
        layers = np.concatenate([floats(rendered) / np.float32(255), pasteable], 2)
        aim = fusion.reshape(placed, alignment.resized(mesh, SIZE / _RENDER_PX), amount=_SHAPE_CHANGE)
        layers = fusion.deform(layers, mesh, aim, size=SIZE)
        width = masks.face_width(placed)
        outline = masks.outline_mask(placed, SIZE, forehead=_FOREHEAD)
        alpha = masks.fusion_mask(skin, layers[..., 3], outline, glasses=glasses, width_px=width)
        weight = np.minimum(skin, layers[..., 3]) * masks.outline_mask(placed, SIZE)
        bare = weight * (1 - masks.lips_mask(placed, SIZE))
        lit = light.relight(layers[..., :3], colours, bare, width_px=width)
        laid = fusion.lay_out_mouth(light.soften(lit, colours, weight), colours, placed)
        fused = colours + (laid - colours) * alpha[..., None]
        return np.rint(np.clip(fused, 0, 1) * 255).astype(np.uint8), skin


def sample(pair: Pair, others: list[Pair], chance: Chance, *, plain: float = 0.35) -> tuple[Image, Image, Floats]:
    """The original and its answer (256, 256, 3), both with the same things in front of the face and the same light and
    faults of the camera, and what of the face is still seen (256, 256); a share `plain` of the samples is left as it
    is."""
    original, wanted, face = pair.original, pair.wanted, pair.face
    if chance.random() < plain:
        return original, wanted, face
    scene = _scene(pair, others)
    seeds = chance.integers(1 << 62, size=4)
    if chance.random() < 0.3:  # generated people are mostly light
        original, wanted = (
            tone_skin(replace(scene, picture=picture), np.random.default_rng(seeds[3]))
            for picture in (original, wanted)
        )
        scene = replace(scene, picture=original)
    if chance.random() < 0.5:
        layers = _things(scene, chance)
        labels = np.zeros((SIZE, SIZE, 3), np.float32)
        labels[..., 0] = 1
        (original, labels), (wanted, _) = (compose(picture, labels, layers) for picture in (original, wanted))
        face = face * labels[..., 0]
    shaded, coloured, spoiled = chance.random(3) < (0.4, 0.4, 0.3)
    faulty = []
    for picture in (original, wanted):
        if shaded:
            picture = cast_shadow(picture, np.random.default_rng(seeds[0]), scene=scene)
        if coloured:
            picture = recolour(picture, np.random.default_rng(seeds[1]))
        if spoiled:
            picture = spoil(picture, np.random.default_rng(seeds[2]))
        faulty.append(picture)
    return faulty[0], faulty[1], face


def _scene(pair: Pair, others: list[Pair]) -> Scene:
    none = np.zeros((SIZE, SIZE), np.float32)

    def texture(chance: Chance) -> Image:
        picture = others[int(chance.integers(len(others)))].original
        side = int(chance.integers(24, 90))
        x, y = chance.integers(0, SIZE - side), chance.choice([0, SIZE - side])
        return np.asarray(cv2.resize(picture[y : y + side, x : x + side], (SIZE, SIZE)), np.uint8)

    return Scene(pair.original, pair.mesh.points, pair.face, none, texture, none)


def _things(scene: Scene, chance: Chance) -> list[Layer]:
    """Glasses, or something else, or both, in front of the face."""
    draws = []
    if chance.random() < 0.6:
        draws.append(DRAWN[int(chance.choice(len(DRAWN), p=CHANCES))])
    if not draws or chance.random() < 0.3:
        draws.append(draw_glasses)
    return [layer for draw in draws for layer in draw(scene, chance)]


def _shrink(pixels: Image) -> Image:
    return np.asarray(cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)
