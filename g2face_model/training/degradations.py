"""What cameras, light and files do to a face: none of it changes what is face."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator as Chance
from numpy.typing import NDArray

from g2face_model.alignment import Matrix
from g2face_model.training.layers import Scene, fill, floats, smooth_closed
from g2face_model.types import Image


def tone_skin(scene: Scene, chance: Chance) -> Image:
    """Make skin darker (seldom lighter): the face and what has its colour, such as ears, neck and hands."""
    skin = scene.colour_of(scene.face)
    lab = cv2.cvtColor(scene.picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    centre = cv2.cvtColor(np.round(skin).astype(np.uint8).reshape(1, 1, 3), cv2.COLOR_RGB2LAB).astype(np.float32)[0, 0]
    distance = (np.abs(lab - centre) / floats([60, 9, 11])) ** 2
    alike = np.maximum(np.exp(-distance.sum(-1)), cv2.GaussianBlur(scene.face, (0, 0), 1.5))[..., None]
    wanted = chance.uniform(30, 120) if chance.random() < 0.85 else chance.uniform(150, 220)
    ratio = np.clip(wanted / max(float(skin.mean()), 1.0), 0.3, 1.5)
    tint = floats([1.0, 0.95 - 0.06 * (ratio < 0.7), 0.92 - 0.12 * (ratio < 0.7)]) ** chance.uniform(0, 1.5)
    gamma = 1 + (1 - ratio) * chance.uniform(0, 0.3)  # dark skin keeps its highlights
    toned = 255 * (scene.picture / np.float32(255)) ** gamma * ratio * tint
    return _bytes(scene.picture * (1 - alike) + toned * alike)


def tone_hair(scene: Scene, chance: Chance) -> Image:
    """Give the hair any colour: white, grey, black, or one out of a bottle."""
    hair = scene.colour_of(scene.hair)
    wanted = np.full(3, chance.choice([15.0, 110.0, 170.0, 215.0])) + chance.normal(0, 8, 3)
    if chance.random() < 0.4:
        wanted = chance.uniform(20, 220, 3)
    grey = floats(cv2.cvtColor(scene.picture, cv2.COLOR_RGB2GRAY))[..., None] - float(hair.mean())
    toned = wanted + grey * chance.uniform(0.5, 1.2)
    cover = scene.hair[..., None]
    return _bytes(scene.picture * (1 - cover) + np.clip(toned, 0, 255) * cover)


def cast_shadow(picture: Image, chance: Chance, *, scene: Scene) -> Image:
    """Darken or brighten one side of a line, a blob, or patches like those below leaves; edges hard or soft."""
    size, kind = scene.size, chance.random()
    if kind < 0.4:
        centre, turn = chance.uniform(0.3, 0.7, 2) * size, chance.uniform(0, 2 * np.pi)
        along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
        bend = across * size * chance.normal(0, 0.15)
        edge = [centre - along * 2 * size, centre + bend, centre + along * 2 * size]
        mask = fill(size, floats([*edge, edge[2] + across * 2 * size, edge[0] + across * 2 * size]))
    elif kind < 0.7:
        centre = chance.uniform(0.25, 0.75, 2) * size
        angle = np.linspace(0, 2 * np.pi, 8)[:7, None]
        points = centre + np.concatenate([np.cos(angle), np.sin(angle)], 1) * size * chance.uniform(0.08, 0.4, (7, 1))
        mask = fill(size, smooth_closed(points.astype(np.float32)))
    else:
        mask = np.clip((scene.noise(chance, chance.uniform(10, 60)) - 0.5) * chance.uniform(4, 20) + 0.5, 0, 1)
    mask = floats(cv2.GaussianBlur(mask, (0, 0), chance.choice([0.5, 1.5, 4.0, 12.0])))
    strength = chance.uniform(0.25, 0.85) if chance.random() < 0.8 else chance.uniform(1.2, 2.2)
    gain = 1 + (strength - 1) * mask[..., None] * chance.normal(1, 0.05, 3)
    return _bytes(picture * gain)


def recolour(picture: Image, chance: Chance) -> Image:
    """Exposure, contrast, white balance, saturation, grey-scale, uneven light."""
    x = picture.astype(np.float32) / 255
    size = x.shape[0]
    if chance.random() < 0.5:
        y, across = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
        x *= np.clip(1 + (y * chance.normal(0, 0.6) + across * chance.normal(0, 0.9)), 0.2, 2)[..., None]
    x = np.clip(x, 0, 1) ** np.exp(chance.normal(0, 0.25)) * np.exp(chance.normal(0, 0.2))
    x = (x - 0.5) * chance.uniform(0.5, 1.4) + 0.5 + chance.normal(0, 0.04)
    colour = chance.random()
    if colour < 0.6:
        x *= np.exp(chance.normal(0, 0.12 if chance.random() < 0.8 else 0.35, 3)).astype(np.float32)
    x += max(0.0, 0.08 - float(x.mean()))  # not into utter darkness
    grey = (x @ floats([0.299, 0.587, 0.114]))[..., None]
    saturation = 0.0 if chance.random() < 0.25 else chance.uniform(0.2, 1.6)
    x = grey + (x - grey) * saturation
    if saturation == 0 and chance.random() < 0.25:
        x = x * floats([1.05, 0.95, 0.8])  # sepia
    return _bytes(x * 255)


def spoil(picture: Image, chance: Chance) -> Image:
    """Low resolution, blur, noise, over-sharpening, JPEG."""
    size = picture.shape[0]
    x: Any = picture
    if chance.random() < 0.4:
        small = round(size * np.exp(chance.uniform(np.log(0.2), np.log(0.9))))
        x = cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA)
        x = _compress(x, chance) if chance.random() < 0.4 else x
        x = cv2.resize(x, (size, size), interpolation=chance.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    kind = chance.random()
    if kind < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), chance.uniform(0.4, 2.5))
    elif kind < 0.3:
        length, turn = int(chance.integers(3, 12)), chance.uniform(0, np.pi)
        kernel = np.zeros((15, 15), np.float32)
        tip = (length * np.cos(turn) / 2, length * np.sin(turn) / 2)
        ends = [(round(7 + s * tip[0]), round(7 + s * tip[1])) for s in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1)
        x = cv2.filter2D(x, -1, kernel / kernel.sum())
    elif kind < 0.4:
        x = cv2.addWeighted(x, 1.8, cv2.GaussianBlur(x, (0, 0), 1.5), -0.8, 0)
    if chance.random() < 0.4:
        grain = chance.normal(0, chance.uniform(2, 18), (size, size, 1 if chance.random() < 0.5 else 3))
        x = _bytes(x + grain)
    if chance.random() < 0.4:
        x = _compress(x, chance)
    return np.asarray(x, np.uint8)


def _bytes(values: NDArray[np.floating[Any]]) -> Image:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _compress(picture: Image, chance: Chance) -> Image:
    quality = int(chance.integers(12, 92))
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def misalign(chance: Chance, size: int) -> Matrix:
    """(2, 3): a random turn, scale and shift of a crop about its middle, as landmarks that are a little off cause."""
    rough = 2.5 if chance.random() < 0.15 else 1.0
    turn, scale = chance.normal(0, np.radians(4)) * rough, np.exp(chance.normal(0, 0.06) * rough)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([(size - 1) / 2] * 2)
    shift = middle + chance.normal(0, 0.02, 2) * size * rough - linear @ middle
    return np.column_stack([linear, shift])
