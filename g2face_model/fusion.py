"""Bring a generated face into the original's place: same landmarks, same mouth, and a little of the new shape.

All arrays are crops of one size S; colours are float32 RGB in 0..1, masks and weights (S, S) float32 in 0..1.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator

from g2face_model.geometry import SURFACE, interocular, rigid_fit
from g2face_model.light import DARKEST, blur, local_mean
from g2face_model.masks import mouth_mask, mouth_opening
from g2face_model.types import FaceMesh, Floats

_EYES = (((159, 145), (33, 133), slice(468, 473)), ((386, 374), (362, 263), slice(473, 478)))  # lids, corners, iris
_MIN_OPENING = 0.12  # lid distance over eye width under which an iris position means nothing
_GRID_PX = 4  # the deformation is piecewise linear and smooth enough to be sampled this coarsely
_MAX_RESHAPE = 0.6
_LIP_EDGE, _TOOTH = 0.06, 0.2  # of the mouth's opening: the transition to the lips; what tells one person's teeth


def deform(generated: Floats, source: FaceMesh, target: FaceMesh, *, size: int) -> Floats:
    """Move every landmark of the generated face (G, G, 3) to where the original has it: -> (size, size, 3).

    `source` is in px of `generated`, `target` in px of the result. Piecewise linear between landmarks, towards the
    borders the plain scaling between the two crops.
    """
    ratio = generated.shape[0] / size
    kept = _reliable(source) & _reliable(target)
    ends = np.linspace(-0.1, 1.1, 5) * size
    border = np.array([(x, y) for x in ends for y in ends if min(x, y) < 0 or max(x, y) > size])
    points = np.concatenate([target.points[kept, :2], border])
    values = np.concatenate([source.points[kept, :2], (border + 0.5) * ratio - 0.5])
    cells = max(size // _GRID_PX, 2)
    centres = (np.arange(cells) + 0.5) * (size / cells) - 0.5
    coarse = LinearNDInterpolator(points, values)(*np.meshgrid(centres, centres)).astype(np.float32)
    where = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    if ratio > 1.3:  # sampling would skip pixels
        generated = np.asarray(cv2.GaussianBlur(generated, (0, 0), 0.4 * ratio), np.float32)
    moved = cv2.remap(generated, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _reliable(mesh: FaceMesh) -> NDArray[np.bool_]:
    """(478,) which points to trust: all but the irises of closed eyes and irises that left their eye."""
    trust = np.ones(len(mesh.points), bool)
    for lids, corners, iris in _EYES:
        upper, lower = mesh.points[list(lids), :2]
        inner, outer = mesh.points[list(corners), :2]
        width = float(np.linalg.norm(inner - outer))
        centre = mesh.points[iris, :2][0]
        strayed = np.linalg.norm(centre - (inner + outer) / 2) > 0.45 * width
        trust[iris] = np.linalg.norm(upper - lower) > _MIN_OPENING * width and not strayed
    return trust


def reshape(mesh: FaceMesh, other: FaceMesh, *, amount: float) -> FaceMesh:
    """Move a mesh towards the shape of another in the same px, until its surface points have moved by `amount` of the
    inter-ocular distance on average, at most six tenths of the way. Position, size and turn stay: only shape moves."""
    scale, rotation, translation = rigid_fit(_surface(other), _surface(mesh))
    steps = other.points.astype(np.float64) @ (scale * rotation).T + translation - mesh.points
    distance = np.linalg.norm(steps[:SURFACE, :2], axis=1).mean() / interocular(mesh)
    share = min(_MAX_RESHAPE, amount / max(float(distance), 1e-9))
    return replace(mesh, points=(mesh.points + share * steps).astype(np.float32))


def _surface(mesh: FaceMesh) -> NDArray[np.float64]:
    return mesh.points[:SURFACE].astype(np.float64)


def lay_out_mouth(generated: Floats, original: Floats, mesh: FaceMesh) -> Floats:
    """The generated face (S, S, 3) with teeth, tongue and dark between the lips laid out as in the original, which is
    expression. What is finer, such as the gaps between teeth, stays the generated person's. Closed lips stay as they
    are."""
    inside = mouth_mask(mesh, len(generated))
    if not inside.any():
        return generated
    height = mouth_opening(mesh)
    soft = np.minimum(blur(inside, max(0.5, _LIP_EDGE * height)), inside)
    given, wanted = np.log(generated + DARKEST), np.log(original + DARKEST)
    gain = local_mean(wanted - given, inside, _TOOTH * height)
    laid_out = np.clip(np.exp(given + gain) - DARKEST, 0, 1)
    return np.asarray(generated + (laid_out - generated) * soft[..., None], np.float32)
