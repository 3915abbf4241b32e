"""Labelled people, cut out, dressed up and photographed badly: the samples that the parser learns from."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.random import Generator as Chance
from numpy.typing import NDArray

from g2face_model.alignment import compose as compose_matrices
from g2face_model.alignment import ffhq_matrix, scale_of, transform
from g2face_model.landmarks import sixty_eight
from g2face_model.networks.parser import SIZE, ParserNet
from g2face_model.training.degradations import cast_shadow, misalign, recolour, spoil, tone_hair, tone_skin
from g2face_model.training.face_labels import OVAL, sharpen
from g2face_model.training.layers import Scene, compose, fill, floats
from g2face_model.training.occluders import CHANCES, DRAWN, borrow_hair, cut_profile, draw_mask, draw_scarf
from g2face_model.training.people import STORED_PX, People
from g2face_model.training.spectacles import draw_glasses
from g2face_model.training.wearers import UNKNOWN, WEARS
from g2face_model.types import FaceMesh, Floats, Image

Shard: TypeAlias = tuple[People, NDArray[np.uint8]]  # people and their labels (N, 2, GRID, GRID)
_TO_STORED = np.array([[STORED_PX / SIZE, 0, 0.5], [0, STORED_PX / SIZE, 0.5]])  # SIZE px -> px of the stored picture
_UNDER_GLASSES = (draw_mask, draw_scarf, cut_profile)
_SURE_FACE = 0.9  # mesh score


class Faces:
    """Labelled people from which scenes are cut. `wears` says of each whether he wears glasses; people of whom that is
    unknown are left out, and the glasses of wearers are those that `net` finds."""

    def __init__(self, shards: list[Shard], wears: list[NDArray[np.int8]], *, net: ParserNet | None = None) -> None:
        self._shards, self._wears, self._net = shards, wears, net
        self._index = [
            (s, int(i))
            for s, (people, _) in enumerate(shards)
            for i in np.flatnonzero((wears[s] != UNKNOWN) & (people.scores > _SURE_FACE))
        ]
        light = np.array([self._skin_light(*place) for place in self._index])
        weight = np.clip(110 / np.maximum(light, 20), 0.7, 4.0) ** 1.5  # dark skin is rare among the generated
        self._cumulated = np.cumsum(weight / weight.sum())[:-1]
        self._made: dict[int, Image] = {}

    def __len__(self) -> int:
        return len(self._index)

    def _skin_light(self, shard: int, index: int) -> float:
        people = self._shards[shard][0]
        data = np.frombuffer(people.pictures[index], np.uint8)
        small = np.asarray(cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_4))
        points = people.mesh_points(index)[[50, 280, 205, 425, 151], :2] / 4
        x, y = np.clip(np.round(points).astype(int), 0, small.shape[0] - 1).T
        return float(np.median(small[y, x]))

    def texture(self, chance: Chance) -> Image:
        """(SIZE, SIZE, 3) of some person's surroundings, enlarged from a random square."""
        people = self._shards[chance.integers(len(self._shards))][0]
        data = np.frombuffer(people.pictures[chance.integers(len(people))], np.uint8)
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2))[..., ::-1]
        side = int(chance.integers(24, 90))
        x, y = chance.integers(0, picture.shape[0] - side), chance.choice([0, picture.shape[0] - side - 1])
        return np.asarray(cv2.resize(picture[y : y + side, x : x + side], (SIZE, SIZE)), np.uint8)

    def scene(self, chance: Chance) -> Scene:
        """A random person, cut out as `alignment.extract` would, give or take."""
        place = int(np.searchsorted(self._cumulated, chance.random()))
        shard, index = self._index[place]
        people = self._shards[shard][0]
        picture, mesh = people.picture(index), people.mesh_points(index)
        matrix = ffhq_matrix(sixty_eight(FaceMesh(mesh, 1.0)).points, SIZE)
        matrix = compose_matrices(misalign(chance, SIZE), matrix)
        points = np.column_stack([transform(mesh[:, :2], matrix), mesh[:, 2] * scale_of(matrix)])
        pixels = cv2.warpAffine(picture, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT_101)
        masks = cv2.warpAffine(self._masks(place), compose_matrices(matrix, _TO_STORED), (SIZE, SIZE))
        face, hair, glasses = np.moveaxis(floats(masks) / np.float32(255), -1, 0)
        return Scene(np.asarray(pixels, np.uint8), floats(points), face, hair, self.texture, glasses)

    def _masks(self, place: int) -> Image:
        """(SIZE, SIZE, 3) uint8 of face, hair and glasses in 1/255, over the whole picture; made once."""
        if place not in self._made:
            shard, index = self._index[place]
            people, labels = self._shards[shard]
            half = shrink(people.picture(index))
            face, hair = (sharpen(label, half) for label in labels[index])
            face *= _replaceable(people.mesh_points(index) * np.float32(SIZE / STORED_PX))
            glasses = np.zeros_like(face)
            if self._net is not None and self._wears[shard][index] == WEARS:
                glasses = np.clip(find_glasses(self._net, half) * 2 - 0.4, 0, 1) * face
            self._made[place] = (np.dstack([face - glasses, hair, glasses]) * 255).round().astype(np.uint8)
        return self._made[place]


def shrink(picture: Image) -> Image:
    """A stored picture at SIZE px."""
    return np.asarray(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


@torch.inference_mode()
def find_glasses(net: ParserNet, picture: Image) -> Floats:
    """Probability (S, S) of glasses, the mean of the picture and its mirror image."""
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    both = torch.softmax(net(torch.cat([pixels, pixels.flip(3)])), 1)[:, 1]
    return floats(((both[0] + both[1].flip(1)) / 2).numpy())


def _replaceable(mesh: Floats) -> Floats:
    """(SIZE, SIZE) soft mask that cuts off ears, and skin of other people: the oval with all that is above it."""
    outline = mesh[OVAL, :2].astype(np.float32)
    centre, height = outline.mean(0), float(np.ptp(outline[:, 1]))
    outline = centre + (outline - centre) * np.float32(1.04)
    up = np.clip((mesh[168, 1] - outline[:, 1]) / height, 0, None)
    outline[:, 1] -= up * height * 1.2
    return floats(cv2.GaussianBlur(fill(SIZE, outline), (0, 0), 0.7))


def make_sample(faces: Faces, chance: Chance, *, plain: bool = False) -> tuple[Image, Floats]:
    """A picture (SIZE, SIZE, 3) uint8 and its labels (SIZE, SIZE, 3): face, glasses, other. `plain`: as generated."""
    scene = faces.scene(chance)
    labels = np.dstack([scene.face, scene.worn, 1 - scene.face - scene.worn])
    if plain:
        return scene.picture, labels
    if chance.random() < 0.45:
        scene = replace(scene, picture=tone_skin(scene, chance))
    if chance.random() < 0.25 and scene.hair.sum() > SIZE:
        scene = replace(scene, picture=tone_hair(scene, chance))
    picture, labels = _dress(scene, labels, faces, chance=chance)
    for _ in range(int(chance.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))):
        picture = cast_shadow(picture, chance, scene=scene)
    picture = spoil(recolour(picture, chance), chance) if chance.random() < 0.9 else picture
    if chance.random() < 0.5:
        picture, labels = picture[:, ::-1], labels[:, ::-1]
    return picture, labels


def _dress(scene: Scene, labels: Floats, faces: Faces, *, chance: Chance) -> tuple[Image, Floats]:
    """Hair of others, glasses, and up to two things in front of the face."""
    picture = scene.picture
    if chance.random() < 0.12:
        picture, labels = compose(picture, labels, borrow_hair(scene, faces.scene(chance), chance))
    count = int(chance.choice([0, 1, 2], p=[0.42, 0.42, 0.16]))
    things = [DRAWN[k] for k in chance.choice(len(DRAWN), size=count, p=CHANCES)]
    draws = [thing for thing in things if thing in _UNDER_GLASSES]
    if not scene.worn.any() and chance.random() < 0.45:
        draws.append(draw_glasses)
    for draw in [*draws, *(thing for thing in things if thing not in _UNDER_GLASSES)]:
        picture, labels = compose(picture, labels, draw(scene, chance))
    return picture, labels
