"""Drawn glasses with exact labels: many frames and lenses, worn by a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator as Chance

from g2face_model.training.layers import FINE, Layer, Scene, floats, soft_shade, stroke
from g2face_model.types import Floats

_EYE_CORNERS = (33, 263)  # outer, left and right in the picture
_BROW_TO_NOSE = (168, 2)
_EARS = (127, 356)
_OPAQUE = 0.45  # lenses that cover more than this hide the eye: they count as glasses as a whole


@dataclass(frozen=True, slots=True)
class Frame:
    """A shape of glasses; lengths in half distances between the outer corners of the eyes (about 45 mm)."""

    half_width: float
    half_height: float
    squareness: float  # exponent of the superellipse: 2 round, 6 rectangular
    bridge: float
    wing: float  # how far the outer upper corner is drawn up
    taper: float  # how much narrower the lens is below
    rim: float  # thickness
    rim_below: bool  # half-rimless frames have none there
    temple: float  # thickness of the arms


def draw_frame(chance: Chance) -> Frame:
    """A random frame: metal and plastic, narrow and huge, now and then without rims."""
    large = chance.random() < 0.3
    half_width = chance.uniform(0.58, 0.72) if large else chance.uniform(0.44, 0.62)
    ratio = chance.uniform(0.75, 1.0) if large else chance.uniform(0.5, 1.0)
    rim = chance.choice([0.0, 0.018, 0.03, 0.05, 0.08, 0.13], p=[0.1, 0.3, 0.25, 0.17, 0.1, 0.08])
    return Frame(
        half_width=half_width,
        half_height=half_width * ratio,
        squareness=float(chance.choice([2.0, 2.4, 3.0, 4.0, 6.0])),
        bridge=chance.uniform(0.26, 0.5),
        wing=chance.uniform(0.05, 0.25) if chance.random() < 0.3 else 0.0,
        taper=chance.uniform(-0.05, 0.3),
        rim=rim * chance.uniform(0.8, 1.3),
        rim_below=chance.random() > 0.12,
        temple=max(rim, 0.03) * chance.uniform(0.8, 1.8),
    )


def _lens(frame: Frame, side: int) -> Floats:
    """Outline (64, 2) of one lens about the middle of the bridge; x outwards is positive times `side`."""
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    x = np.sign(cos) * np.abs(cos) ** (2 / frame.squareness) * frame.half_width
    y = np.sign(sin) * np.abs(sin) ** (2 / frame.squareness) * frame.half_height
    x = x * (1 - frame.taper * np.clip(y / frame.half_height, 0, 1))
    y = y - frame.wing * np.clip(x / frame.half_width, 0, 1) ** 2 * np.clip(0.5 - y / frame.half_height, 0, 1)
    x = x + frame.bridge / 2 + frame.half_width
    outline: Floats = np.stack([x * side, y], 1).astype(np.float32)
    return outline


def _basis(scene: Scene, chance: Chance) -> tuple[Floats, Floats]:
    """Origin (2,) and axes (3, 2) of the glasses in picture px: across, down, out of the face."""
    mesh = scene.mesh
    across = (mesh[_EYE_CORNERS[1]] - mesh[_EYE_CORNERS[0]]) / 2
    down = mesh[_BROW_TO_NOSE[1]] - mesh[_BROW_TO_NOSE[0]]
    down = down - across * (down @ across) / (across @ across)
    down = down / np.linalg.norm(down) * np.linalg.norm(across)
    out = np.cross(across, down) / np.linalg.norm(across)
    out = -out if out[2] > 0 else out  # towards the camera z falls
    middle = (mesh[_EYE_CORNERS[0]] + mesh[_EYE_CORNERS[1]]) / 2
    origin = middle + down * chance.normal(0.1, 0.08) + out * chance.uniform(0.1, 0.35)
    return origin[:2].astype(np.float32), np.stack([across, down, out])[:, :2].astype(np.float32)


def draw_glasses(scene: Scene, chance: Chance) -> list[Layer]:
    """Shadow, lenses, reflections and frame, in the order in which they cover the face."""
    frame = draw_frame(chance)
    origin, axes = _basis(scene, chance)
    unit = float(np.linalg.norm(axes[:2], axis=1).mean())
    lenses = [origin + _lens(frame, side) @ axes[:2] for side in (-1, 1)]
    inside = np.zeros((scene.size * FINE, scene.size * FINE), np.uint8)
    cv2.fillPoly(inside, [np.round(lens * FINE).astype(np.int32) for lens in lenses], 255)
    glass = floats(cv2.resize(inside, (scene.size, scene.size), interpolation=cv2.INTER_AREA)) / np.float32(255)
    metal, marked = _metal(scene, frame, lenses, origin=origin, axes=axes, unit=unit, chance=chance)
    layers = []
    if chance.random() < 0.6:
        shadow = soft_shade(metal, (chance.normal(0, 2), chance.uniform(1, 4)), blur=chance.uniform(0.8, 2.5))
        layers.append(Layer(np.zeros(3, np.float32), shadow * chance.uniform(0.1, 0.5), np.zeros_like(shadow)))
    layers += _glass(scene, glass, chance, sunglasses=frame.half_width > 0.55)
    colour = _frame_colour(chance)
    sheen = chance.uniform(0, 60) * np.clip(scene.noise(chance, 12) - 0.5, 0, 1)[..., None]
    layers.append(Layer(np.clip(colour + sheen, 0, 255).astype(np.float32), metal, marked, glasses=True))
    return layers


def _frame_colour(chance: Chance) -> Floats:
    kind = chance.random()
    if kind < 0.45:
        return np.full(3, chance.uniform(0, 45), np.float32)
    if kind < 0.6:
        return np.full(3, chance.uniform(110, 220), np.float32)  # silver
    if kind < 0.75:
        return np.array(
            [chance.uniform(140, 220), chance.uniform(110, 170), chance.uniform(50, 110)], np.float32
        )  # gold
    if kind < 0.88:
        return np.array(
            [chance.uniform(50, 130), chance.uniform(25, 70), chance.uniform(5, 40)], np.float32
        )  # tortoise
    return chance.uniform(0, 255, 3).astype(np.float32)


def _metal(
    scene: Scene, frame: Frame, lenses: list[Floats], *, origin: Floats, axes: Floats, unit: float, chance: Chance
) -> tuple[Floats, Floats]:
    """Cover (S, S) of rims, bridge and arms, and the slightly wider mask that is labelled as glasses."""
    lines: list[tuple[Floats, float]] = []
    for lens in lenses:
        if frame.rim > 0:
            rim = np.concatenate([lens, lens[:1]])
            lines.append((rim if frame.rim_below else rim[31:], frame.rim))
    inner = np.array([[frame.bridge / 2 + 0.02, -0.25 * frame.half_height]], np.float32) * [[-1, 1], [1, 1]]
    arch = np.array([[0, -0.25 * frame.half_height - chance.uniform(0, 0.12)]])
    lines.append((floats(origin + np.stack([inner[0], arch[0], inner[1]]) @ axes[:2]), max(frame.rim, 0.022)))
    for side, ear in zip((-1, 1), _EARS, strict=True):
        hinge = np.array([side * (frame.bridge / 2 + 2 * frame.half_width), -0.45 * frame.half_height])
        start, end = origin + hinge @ axes[:2], scene.mesh[ear, :2]
        outwards = axes[0] * side
        if (end - start) @ outwards > 0:  # otherwise the cheek hides the arm
            lines.append((floats([start, end + (end - start) * chance.uniform(0, 0.3)]), frame.temple))
    cover = np.zeros((scene.size, scene.size), np.float32)
    marked = cover.copy()
    for line, thickness in lines:
        width_px = max(thickness * unit, 0.55)
        cover = np.maximum(cover, stroke(scene.size, line, width_px))
        marked = np.maximum(marked, stroke(scene.size, line, max(width_px + 0.6, 2.0)))
    return cover, marked


def _glass(scene: Scene, glass: Floats, chance: Chance, *, sunglasses: bool) -> list[Layer]:
    """Tint and reflections of the lenses."""
    dark = chance.random() < (0.55 if sunglasses else 0.2)
    tint = chance.uniform(0.55, 1.0) if dark else chance.uniform(0, 0.35) * (chance.random() < 0.5)
    rows = np.linspace(1, chance.uniform(0.4, 1) if dark and chance.random() < 0.4 else 1, scene.size, dtype=np.float32)
    cover = glass * tint * rows[:, None]
    colour = chance.uniform(0, 50, 3) if chance.random() < 0.75 else chance.uniform(20, 200, 3)
    face = colour.astype(np.float32)
    if dark and chance.random() < 0.5:  # the world mirrored in it
        mirrored = scene.texture(chance).astype(np.float32)
        face = face * 0.6 + mirrored * chance.uniform(0.1, 0.6)
    layers = [Layer(face, cover, glass * (dark or tint > _OPAQUE), glasses=True)]
    if chance.random() < 0.5:
        streak = np.clip((scene.noise(chance, chance.uniform(6, 24)) - chance.uniform(0.55, 0.8)) * 4, 0, 1) * glass
        strength = chance.uniform(0.1, 0.9)
        light = floats([255, 255, 255]) if chance.random() < 0.6 else chance.uniform(100, 255, 3).astype(np.float32)
        layers.append(Layer(light, streak * strength, streak * (strength > 0.55), glasses=True))
    return layers
