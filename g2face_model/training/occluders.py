"""Drawn and borrowed things in front of a face, with exact labels: hands, masks, microphones, hats, hair, objects."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator as Chance

from g2face_model.training.face_labels import OVAL
from g2face_model.training.layers import Layer, Scene, fill, floats, smooth_closed, soft_shade, stroke, strokes
from g2face_model.types import Floats

# The lower half of the oval from the picture's left ear round the chin, and where a mask's upper edge may run.
_LOWER_OVAL = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_ACROSS_CHEEKS = ((280, 50), (346, 117), (425, 205))
_DOWN_NOSE = (6, 197, 195, 5, 4, 1, 164)
_RIDGE = (10, 151, 9, 168, 197, 5, 4, 1, 2, 0, 13, 17, 18, 199, 152)  # from the forehead down to the chin
_UPPER_OVAL = (127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356)


def _span(scene: Scene) -> float:
    """Width of the face in px."""
    outline = scene.mesh[OVAL, :2]
    return float((outline.max(0) - outline.min(0)).max()) * 0.8


def _paint(scene: Scene, chance: Chance) -> Floats:
    """(S, S, 3): a plain colour with folds, or a texture, or both."""
    kind = chance.random()
    base = chance.uniform(0, 255, 3).astype(np.float32)
    if chance.random() < 0.5:
        base[:] = chance.choice([15, 40, 90, 200, 235]) + chance.normal(0, 8, 3)
    folds = 1 + (scene.noise(chance, chance.uniform(6, 50)) - 0.5) * chance.uniform(0, 0.9)
    cloth = np.broadcast_to(base, scene.picture.shape)
    if kind < 0.4:
        texture = scene.texture(chance).astype(np.float32)
        cloth = texture if kind < 0.2 else cloth * 0.5 + texture * 0.5
    elif kind < 0.55:
        period, turn = chance.uniform(2, 14), chance.uniform(0, np.pi)
        y, x = np.mgrid[: scene.size, : scene.size]
        stripes = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / period) > chance.uniform(-0.5, 0.5)
        cloth = np.where(stripes[..., None], cloth, chance.uniform(0, 255, 3))
    return np.clip(cloth * folds[..., None], 0, 255).astype(np.float32)


def _cover(mask: Floats, colour: Floats, chance: Chance) -> list[Layer]:
    """A solid thing and the shadow it may cast."""
    layers = []
    if chance.random() < 0.5:
        shadow = soft_shade(mask, (chance.normal(0, 4), chance.normal(2, 4)), blur=chance.uniform(1, 6))
        layers.append(Layer(np.zeros(3, np.float32), shadow * chance.uniform(0.1, 0.55), np.zeros_like(mask)))
    return [*layers, Layer(colour, mask, mask)]


def draw_mask(scene: Scene, chance: Chance) -> list[Layer]:
    """A surgical or cloth mask over nose, mouth and chin, or slipped below the nose."""
    points = scene.mesh[:, :2]
    centre = points[[50, 280, 152]].mean(0)
    lower = centre + (points[list(_LOWER_OVAL)] - centre) * chance.uniform(1.0, 1.07)
    lower[5:16] += (points[152] - points[4]) * chance.uniform(0, 0.15)
    right, left = points[list(_ACROSS_CHEEKS[chance.integers(3)])]
    bridge = points[_DOWN_NOSE[chance.integers(6 if chance.random() < 0.85 else 7)]]
    skip = int(chance.integers(0, 4))
    outline = np.concatenate([lower[skip : len(lower) - skip], [right, bridge, left]]).astype(np.float32)
    mask = fill(scene.size, smooth_closed(outline, 160))
    kind = chance.random()
    plain = {0: (150, 190, 220), 1: (235, 238, 240), 2: (25, 25, 28)}.get(int(kind * 5))
    colour = _paint(scene, chance)
    if plain is not None:
        rows = np.arange(scene.size, dtype=np.float32)
        pleats = 1 - 0.12 * (np.sin(rows * 2 * np.pi / chance.uniform(8, 16)) > 0.6) * (chance.random() < 0.7)
        folds = 1 + (scene.noise(chance, 25) - 0.5) * 0.4
        colour = np.clip(floats(plain) * (folds * pleats[:, None])[..., None], 0, 255).astype(np.float32)
    layers = _cover(mask, colour, chance)
    if chance.random() < 0.7:
        for corner, ear in ((lower[skip], 127), (lower[len(lower) - 1 - skip], 356)):
            strap = stroke(scene.size, np.stack([corner, points[ear]]).astype(np.float32), chance.uniform(0.8, 2))
            layers.append(Layer(colour[scene.size // 2, scene.size // 2], strap, strap))
    return layers


def draw_hand(scene: Scene, chance: Chance) -> list[Layer]:
    """One to five fingers and part of a palm from the side or below, in the face's own skin or another."""
    span, centre = _span(scene), scene.mesh[OVAL, :2].mean(0)
    goal = scene.mesh[chance.choice([152, 17, 50, 280, 234, 454, 136, 365, 10, 5, 61, 291, 105, 334]), :2]
    outwards = goal - centre + chance.normal(0, 0.25, 2) * span + np.array([0, 0.25 * span])
    outwards /= np.linalg.norm(outwards) + 1e-6
    sideways = np.array([-outwards[1], outwards[0]])
    width, count = span * chance.uniform(0.09, 0.15), int(chance.integers(1, 6))
    tips, mask, ridge = [], np.zeros((scene.size, scene.size), np.float32), None
    spread = chance.uniform(0.85, 1.25)
    for k in range(count):
        offset = (k - (count - 1) / 2) * width * spread
        tip = goal - outwards * span * chance.uniform(-0.05, 0.25) + sideways * offset
        knuckle = tip + outwards * span * chance.uniform(0.2, 0.3) + sideways * offset * chance.uniform(-0.1, 0.4)
        root = knuckle + outwards * span * chance.uniform(0.25, 0.5) + sideways * offset * 0.3
        finger = stroke(scene.size, np.stack([tip, knuckle, root]).astype(np.float32), width * chance.uniform(0.9, 1.1))
        seam = soft_shade(finger, (0, 0), blur=1.0)
        ridge = seam if ridge is None else np.maximum(ridge * (1 - 0.35 * (finger > 0.5)), seam)
        mask = np.maximum(mask, finger)
        tips.append(tip)
    if chance.random() < 0.7:
        palm = goal + outwards * span * chance.uniform(0.5, 0.75)
        axes = (width * (count * 0.6 + 1), span * chance.uniform(0.25, 0.4))
        turn = np.linspace(0, 2 * np.pi, 40)[:, None]
        ellipse = palm + np.cos(turn) * sideways * axes[0] + np.sin(turn) * outwards * axes[1]
        mask = np.maximum(mask, fill(scene.size, ellipse.astype(np.float32)))
    return _shade_skin(scene, mask, tips, width=width, chance=chance)


def _shade_skin(scene: Scene, mask: Floats, tips: list[Floats], *, width: float, chance: Chance) -> list[Layer]:
    skin = scene.colour_of(scene.face) * chance.uniform(0.75, 1.2)
    if chance.random() < 0.25:
        skin = floats([chance.uniform(60, 235)] * 3) * [1, chance.uniform(0.68, 0.82), chance.uniform(0.5, 0.72)]
    depth = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    round_off = np.clip(depth / (width * 0.5), 0, 1) ** 0.6
    shade = (0.55 + 0.45 * round_off) * (1 + (scene.noise(chance, chance.uniform(4, 20)) - 0.5) * 0.3)
    colour = np.clip(skin * shade[..., None], 0, 255).astype(np.float32)
    if chance.random() < 0.4:  # the grain of real skin
        texture = scene.texture(chance).astype(np.float32)
        grain = texture.mean(-1) - cv2.GaussianBlur(texture.mean(-1), (0, 0), 6)
        colour = np.clip(colour + grain[..., None] * 0.6, 0, 255)
    layers = _cover(mask, colour, chance)
    if chance.random() < 0.6:
        for tip in tips:
            turn = np.linspace(0, 2 * np.pi, 20)[:, None]
            radius = width * chance.uniform(0.25, 0.36)
            nail = fill(
                scene.size, (tip + radius * np.concatenate([np.cos(turn), np.sin(turn) * 1.3], 1)).astype(np.float32)
            )
            paint = chance.uniform(0, 255, 3) if chance.random() < 0.3 else np.clip(skin * [1.12, 1.08, 1.12], 0, 255)
            layers.append(Layer(paint.astype(np.float32), nail * 0.7, nail * 0))
    return layers


def draw_microphone(scene: Scene, chance: Chance) -> list[Layer]:
    """A ball or a capsule with a grille in front of mouth or chin, on a handle; or a thin boom from the ear."""
    span = _span(scene)
    near = scene.mesh[chance.choice([17, 152, 14, 200, 57, 287]), :2] + chance.normal(0, 0.12, 2) * span
    y, x = np.mgrid[: scene.size, : scene.size].astype(np.float32)
    if chance.random() < 0.2:
        ear = scene.mesh[chance.choice([234, 454]), :2]
        sag = (ear + near) / 2 + np.array([0, span * 0.15])
        boom = stroke(scene.size, np.stack([ear, sag, near]).astype(np.float32), chance.uniform(1, 3))
        ball = stroke(scene.size, np.stack([near, near + 1]).astype(np.float32), span * chance.uniform(0.05, 0.12))
        return _cover(np.maximum(boom, ball), np.full(3, chance.uniform(5, 60), np.float32), chance)
    radius = span * chance.uniform(0.1, 0.24)
    down = np.array([chance.normal(0, 0.5), 1.0])
    down /= np.linalg.norm(down)
    body = stroke(
        scene.size, np.stack([near, near + down * radius * chance.uniform(0, 1.5)]).astype(np.float32), radius * 2
    )
    handle = stroke(
        scene.size, np.stack([near, near + down * scene.size]).astype(np.float32), radius * chance.uniform(0.7, 1.5)
    )
    light = 1.2 - np.hypot(x - near[0] + radius * 0.3, y - near[1] + radius * 0.4) / (radius * 1.7)
    base = floats([chance.uniform(5, 200)] * 3) if chance.random() < 0.8 else chance.uniform(0, 255, 3)
    period = chance.uniform(2.2, 5)
    grille = 1 + 0.3 * np.sin(x * 2 * np.pi / period) * np.sin(y * 2 * np.pi / period) * (chance.random() < 0.7)
    ball_colour = np.clip(base * (np.clip(light, 0.2, 1.3) * grille)[..., None], 0, 255).astype(np.float32)
    stem = np.full(3, chance.uniform(5, 70), np.float32)
    return [*_cover(handle, stem, chance), *_cover(body, ball_colour, chance)]


def draw_object(scene: Scene, chance: Chance) -> list[Layer]:
    """An unknown thing anywhere over the face: smooth or straight-edged, with any surface."""
    span = _span(scene)
    centre = scene.mesh[chance.choice(OVAL), :2] + chance.normal(0, 0.2, 2) * span
    corners = int(chance.integers(3, 9))
    turn = np.sort(chance.uniform(0, 2 * np.pi, corners))[:, None]
    radii = span * chance.uniform(0.12, 0.45) * chance.uniform(0.6, 1.4, (corners, 1))
    outline = (centre + np.concatenate([np.cos(turn), np.sin(turn) * chance.uniform(0.3, 1.2)], 1) * radii).astype(
        np.float32
    )
    mask = fill(scene.size, outline if chance.random() < 0.5 else smooth_closed(outline))
    return _cover(mask, _paint(scene, chance), chance)


def draw_scarf(scene: Scene, chance: Chance) -> list[Layer]:
    """Cloth that covers everything below a line between chin and nose."""
    points, size = scene.mesh[:, :2], scene.size
    height = points[chance.choice([152, 175, 18, 0, 2, 4])]
    slope, bend = chance.normal(0, 0.15), chance.normal(0.001, 0.001)
    x = np.linspace(-5, size + 5, 40)
    y = height[1] + (x - height[0]) * slope - (x - height[0]) ** 2 * bend + chance.normal(0, 1.0, 40)
    outline = np.concatenate([np.stack([x, y], 1), [[size + 5, size + 5], [-5, size + 5]]]).astype(np.float32)
    return _cover(fill(size, outline), _paint(scene, chance), chance)


def draw_hat(scene: Scene, chance: Chance) -> list[Layer]:
    """A cap, brim, helmet, headscarf or band: everything above a curve over the forehead."""
    points, size, span = scene.mesh[:, :2], scene.size, _span(scene)
    upper = points[list(_UPPER_OVAL)]
    middle = points[10] + (points[168] - points[10]) * chance.uniform(-0.1, 0.75)
    bend = chance.uniform(-0.12, 0.25) * span
    left, right = upper[0] + [-span * 0.15, 0], upper[-1] + [span * 0.15, 0]
    level = (upper[0] + upper[-1]) / 2
    drop = np.clip(chance.normal(0.3, 0.5), -0.3, 1.0)  # how far it comes down at the temples
    left, right = ((side - level) + level + (middle - level) * (1 - drop) for side in (left, right))
    dip = middle + np.array([0, bend * 0.5])
    edge = np.stack(
        [
            (1 - t) ** 2 * left + 2 * t * (1 - t) * (2 * dip - (left + right) / 2) + t**2 * right
            for t in np.linspace(0, 1, 30)
        ]
    )
    if chance.random() < 0.2:
        top = edge[::-1] - [0, span * chance.uniform(0.08, 0.3)]
    else:
        top = np.array([[size + 5, edge[-1, 1]], [size + 5, -5], [-5, -5], [-5, edge[0, 1]]])
        if chance.random() < 0.6:
            crown = points[10] - (points[152] - points[10]) * chance.uniform(0.2, 0.45)
            turn = np.linspace(0, -np.pi, 20)[:, None]
            across = (edge[-1] - edge[0]) / 2
            top = (edge[0] + edge[-1]) / 2 + np.cos(turn) * across + np.sin(-turn) * (crown - (edge[0] + edge[-1]) / 2)
    mask = fill(size, np.concatenate([edge, top]).astype(np.float32))
    shadow = soft_shade(mask, (0, span * chance.uniform(0, 0.2)), blur=chance.uniform(1, 8))
    shade = Layer(np.zeros(3, np.float32), shadow * chance.uniform(0, 0.7), np.zeros_like(mask))
    return [shade, Layer(_paint(scene, chance), mask, mask)]


def draw_strands(scene: Scene, chance: Chance) -> list[Layer]:
    """Locks of hair over forehead, temples and cheeks in the person's own colour, each a bundle of thin curves."""
    size, span = scene.size, _span(scene)
    has_hair = scene.hair.sum() > size
    colour = scene.colour_of(scene.hair) if has_hair else chance.uniform(10, 120) * floats([1, 0.8, 0.65])
    upper = scene.mesh[list(_UPPER_OVAL), :2]
    layers = []
    for _ in range(int(chance.integers(1, 5))):
        start = (
            upper[chance.integers(len(upper))]
            + chance.normal(0, 0.05, 2) * span
            - [0, span * chance.uniform(0.05, 0.3)]
        )
        end = start + np.array([chance.normal(0, 0.25), chance.uniform(0.25, 1.1)]) * span
        bulge = chance.normal(0, 0.2, 2) * span
        thick, count = chance.uniform(0, 0.12) * span, int(chance.integers(2, 22))
        t = np.linspace(0, 1, 14)[:, None]
        lines = []
        for _ in range(count):
            off, fan = chance.normal(0, 1, 2) * thick / 2, chance.normal(0, 1, 2) * thick
            curve = start + off + (end - start + fan) * t + bulge * 4 * t * (1 - t)
            lines.append((curve.astype(np.float32), chance.choice([0.35, 0.7, 1.0, 1.7]), chance.uniform(0.6, 1.4)))
        cover, tone = strokes(size, lines)
        dense = np.clip((cv2.GaussianBlur(cover, (0, 0), 0.8) - 0.25) * 2.5, 0, 1)  # single hairs are left to the face
        layers.append(Layer(np.clip(colour * tone[..., None], 0, 255).astype(np.float32), cover, dense))
    return layers


def draw_fringe(scene: Scene, chance: Chance) -> list[Layer]:
    """Many parallel hairs down the forehead."""
    size, span = scene.size, _span(scene)
    colour = (
        scene.colour_of(scene.hair) if scene.hair.sum() > size else chance.uniform(10, 120) * floats([1, 0.8, 0.65])
    )
    upper = scene.mesh[list(_UPPER_OVAL), :2]
    (low, high), length = sorted(chance.uniform(0, len(upper), 2)), chance.uniform(0.15, 0.55) * span
    slant, lines = chance.normal(0, 0.4), []
    for _ in range(int(chance.integers(20, 60))):
        at = chance.uniform(low, high)
        start = (
            upper[int(at)] + (upper[min(int(at) + 1, len(upper) - 1)] - upper[int(at)]) * (at % 1) - [0, 0.15 * span]
        )
        end = start + np.array([slant + chance.normal(0, 0.08), 1]) * (length * chance.uniform(0.7, 1.1) + 0.15 * span)
        mid = (start + end) / 2 + chance.normal(0, 0.03, 2) * span
        hair = np.stack([start, mid, end]).astype(np.float32)
        lines.append((hair, chance.choice([0.7, 1.2, 2.0, 3.0]), chance.uniform(0.6, 1.4)))
    cover, tone = strokes(size, lines)
    dense = np.clip((cv2.GaussianBlur(cover, (0, 0), 0.8) - 0.25) * 2.5, 0, 1)
    return [Layer(np.clip(colour * tone[..., None], 0, 255).astype(np.float32), cover, dense)]


def cut_profile(scene: Scene, chance: Chance) -> list[Layer]:
    """Background from the ridge of the face on, which looks like a face seen from the side."""
    ridge, size, span = scene.mesh[list(_RIDGE), :2], scene.size, _span(scene)
    nose, ears = scene.mesh[4, 0], scene.mesh[[127, 356], 0]
    side = 1.0 if abs(ears[1] - nose) < abs(ears[0] - nose) else -1.0  # the side that is turned away
    if abs(ears.mean() - nose) < 0.1 * span and chance.random() < 0.5:
        side = -side
    bulge = floats([0, 0, 0, 0.1, 0.5, 0.8, 1.0, 0.9, 0.3, 0.4, 0.2, 0.4, 0.1, 0.2, 0.1])
    shift = chance.uniform(-0.03, 0.12) + bulge * chance.uniform(0, 0.2) + chance.normal(0, 0.008, len(ridge))
    edge = ridge + np.stack([side * span * shift, np.zeros(len(ridge))], 1)
    crown = edge[0] + [-side * span * chance.uniform(-0.1, 0.6), -span * chance.uniform(0.25, 0.6)]
    throat = edge[-1] + [-side * span * chance.uniform(0.05, 0.5), span * chance.uniform(0, 0.12)]
    far = size / 2 + side * size
    line = np.concatenate([[[crown[0], -5]], [crown], edge, [throat], [[throat[0], size + 5]]])
    mask = fill(size, floats(np.concatenate([line, [[far, size + 5], [far, -5]]])))
    back = floats(scene.picture[[4, 4, size // 2], [4, -5, 4 if side < 0 else -5]][chance.integers(3)])
    colour = np.broadcast_to(back, scene.picture.shape)
    if chance.random() < 0.7:
        colour = floats(cv2.GaussianBlur(scene.texture(chance), (0, 0), chance.uniform(0.5, 12)))
    return [Layer(floats(colour), mask, mask)]


def borrow_hair(scene: Scene, other: Scene, chance: Chance) -> list[Layer]:
    """Another person's hair, put on by the two meshes and pulled down a little."""
    anchors = [127, 356, 152]
    target = other.mesh[anchors, :2].copy().astype(np.float32), scene.mesh[anchors, :2].astype(np.float32)
    matrix = cv2.getAffineTransform(*target)
    matrix[1, 2] += chance.uniform(-0.02, 0.22) * _span(scene)
    matrix[0, 2] += chance.normal(0, 0.06) * _span(scene)
    size = (scene.size, scene.size)
    hair = floats(cv2.warpAffine(other.hair, matrix, size))
    colour = cv2.warpAffine(other.picture, matrix, size, borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)
    return _cover(hair, colour * np.float32(chance.uniform(0.6, 1.1)), chance)


DRAWN = (
    draw_mask,
    draw_hand,
    draw_microphone,
    draw_object,
    draw_scarf,
    draw_hat,
    draw_strands,
    draw_fringe,
    cut_profile,
)
CHANCES = (0.12, 0.25, 0.09, 0.12, 0.05, 0.11, 0.1, 0.08, 0.08)
