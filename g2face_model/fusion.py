"""Bring a generated face into the original's place: same landmarks, same light, same sharpness, under a soft mask.

All arrays are crops of one size S; colours are float32 RGB in 0..1, masks and weights (S, S) float32 in 0..1.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator

from g2face_model.geometry import SURFACE, interocular, rigid_fit
from g2face_model.types import FaceMesh, Floats

_OVAL = (  # the mesh's outline, clockwise from the forehead
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
_EYES = (((159, 145), (33, 133), slice(468, 473)), ((386, 374), (362, 263), slice(473, 478)))  # lids, corners, iris
_MIN_OPENING = 0.12  # lid distance over eye width under which an iris position means nothing
_GRID_PX = 4  # the deformation is piecewise linear and smooth enough to be sampled this coarsely
_LIGHT_SIGMA = 0.12  # of the face's width: finer structure belongs to the new face, coarser is light and skin tone
_MAX_LOG_GAIN = 1.2
_CHEEKS = (50, 280, 205, 425, 101, 330)
_LENS_WIDTH, _LENS_HEIGHT, _CLEAR = 0.62, 0.42, 0.4  # half axes over the eye's width; lightness difference
_RIM, _FRAME = 1.3, 0.5  # as far from the eye a lens may reach; log of the ratio to the cheeks' colour that is no skin
_MAYBE_FACE, _SURELY_FACE, _MAYBE_FRAME, _DOUBT = (
    0.3,
    0.6,
    0.2,
    0.3,
)  # of the parser's probability; the width of the doubt above
_SHARPER = 1.4  # how much finer structure the new face may show: a detail missed is seen more than one too many
_MAX_RESHAPE = 0.6
_DARKEST = 0.02  # added before taking logarithms, so that black pixels do not dominate


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


def face_width(mesh: FaceMesh) -> float:
    """Side in px of a square with the area of the mesh's outline: a scale that turns little with the head."""
    return float(np.sqrt(cv2.contourArea(mesh.points[list(_OVAL), :2])))


def outline_mask(mesh: FaceMesh, size: int, *, forehead: float = 0.0) -> Floats:
    """1 inside the mesh's outline, 0 outside; `forehead` lifts the brow-to-top part by this share of its height."""
    outline = mesh.points[list(_OVAL), :2].astype(np.float64)
    middle, top = mesh.points[168, :2].astype(np.float64), mesh.points[10, :2].astype(np.float64)
    up = (top - middle) / np.linalg.norm(top - middle)
    height = np.maximum((outline - middle) @ up, 0.0)
    outline = outline + np.outer(height * forehead, up)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / np.float32(255)


def lens_mask(colours: Floats, mesh: FaceMesh, glasses: Floats) -> Floats:
    """(S, S): what is seen of the face through clear lenses, and has to be replaced with it.

    `glasses` (S, S) is the parser's probability, which covers lenses as well as frames. A lens is clear where its
    lightness around the eye is near that of the cheeks; through it are seen the eye with its surroundings, and whatever
    has the cheeks' colour. The rest is frame.
    """
    size = colours.shape[0]
    mask = np.zeros((size, size), np.float32)
    luma = colours @ _LUMA
    cheek = np.median(colours[_pixels(mesh, _CHEEKS, size)], axis=0)
    skin = np.clip((_FRAME - np.abs(np.log((colours + _DARKEST) / (cheek + _DARKEST))).max(2)) / _FRAME * 2, 0, 1)
    for _, corners, _ in _EYES:
        eye = _ellipse(mesh, corners, size, axes=(_LENS_WIDTH, _LENS_HEIGHT))
        seen = (eye > 0) & (glasses > 0.5)
        if seen.any() and abs(float(np.quantile(luma[seen], 0.7)) - cheek @ _LUMA) < _CLEAR * (cheek @ _LUMA):
            lens = _ellipse(mesh, corners, size, axes=(_RIM, _RIM)) * np.minimum(skin, glasses)
            mask = np.maximum(mask, np.maximum(eye, lens))
    return np.asarray(mask, np.float32)


def _ellipse(mesh: FaceMesh, corners: tuple[int, ...], size: int, *, axes: tuple[float, float]) -> Floats:
    """(S, S) 1 in an ellipse around an eye, whose half axes are given in widths of the eye."""
    ends = mesh.points[list(corners), :2].astype(np.float64)
    centre, across = ends.mean(0), ends[1] - ends[0]
    width, angle = float(np.hypot(*across)), float(np.degrees(np.arctan2(across[1], across[0])))
    filled = np.zeros((size, size), np.float32)
    half = (max(1, round(axes[0] * width)), max(1, round(axes[1] * width)))
    cv2.ellipse(filled, (round(centre[0]), round(centre[1])), half, angle, 0, 360, 1.0, -1)
    return filled


def _pixels(mesh: FaceMesh, vertices: tuple[int, ...], size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of vertices, moved into the crop where they lie outside."""
    points = np.clip(np.rint(mesh.points[list(vertices), :2]), 0, size - 1).astype(np.intp)
    return points[:, 1], points[:, 0]


def _blur(values: Floats, sigma: float) -> Floats:
    """Gaussian blur; wide ones are done at reduced size, where they cost nothing and lose nothing."""
    factor = max(1, int(sigma / 4))
    if factor == 1:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
    height, width = values.shape[:2]
    small = cv2.resize(values, (max(width // factor, 1), max(height // factor, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _local_mean(values: Floats, weight: Floats, sigma: float) -> Floats:
    """Gaussian mean of (S, S, 3) values over the pixels that `weight` admits (normalised convolution)."""
    total = _blur(weight, sigma)[..., None]
    return np.asarray(_blur(values * weight[..., None], sigma) / np.maximum(total, 1e-4), np.float32)


def relight(generated: Floats, original: Floats, weight: Floats, *, width_px: float) -> Floats:
    """Give the generated face the original's light and skin tone: a low-frequency gain per channel in log space.

    `weight` marks what is face in both. A gain in log space keeps dark skin's contrast, where an added offset makes
    highlights chalky.
    """
    sigma = _LIGHT_SIGMA * width_px
    wanted = np.log(original + _DARKEST)
    given = np.log(generated + _DARKEST)
    gain = _local_mean(wanted - given, weight, sigma)
    result = np.exp(given + np.clip(gain, -_MAX_LOG_GAIN, _MAX_LOG_GAIN)) - _DARKEST
    return match_chroma(np.clip(result, 0.0, 1.0).astype(np.float32), original, weight)


def match_chroma(generated: Floats, original: Floats, weight: Floats) -> Floats:
    """Scale the generated face's colour variation to no more than the original's: none in a grey-scale photograph."""
    spread_original, spread_generated = _chroma_spread(original, weight), _chroma_spread(generated, weight)
    factor = min(1.0, 1.2 * spread_original / max(spread_generated, 1e-6))
    if factor > 0.95:
        return generated
    luma = generated @ _LUMA
    chroma = generated - luma[..., None]
    mean = (chroma * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    muted = luma[..., None] + mean + (chroma - mean) * np.float32(factor)
    return np.asarray(np.clip(muted, 0, 1), np.float32)


_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _chroma_spread(colours: Floats, weight: Floats) -> float:
    chroma = colours - (colours @ _LUMA)[..., None]
    total = max(float(weight.sum()), 1e-6)
    mean = (chroma * weight[..., None]).sum((0, 1)) / total
    return float(np.sqrt((((chroma - mean) ** 2).sum(-1) * weight).sum() / total))


def soften(generated: Floats, original: Floats, weight: Floats) -> Floats:
    """Blur the generated face until it is no sharper than the original: photographs are rarely in perfect focus."""
    wanted = _detail(original, weight)
    for sigma in (0.0, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8):
        result = np.asarray(cv2.GaussianBlur(generated, (0, 0), sigma), np.float32) if sigma else generated
        if _detail(result, weight) <= _SHARPER * wanted:
            break
    return result


def _detail(colours: Floats, weight: Floats) -> float:
    """Root mean square of the finest structure of the brightness, relative to its mean."""
    luma = colours @ _LUMA
    fine = luma - cv2.GaussianBlur(luma, (0, 0), 1.0)
    total = max(float(weight.sum()), 1e-6)
    return float(np.sqrt((fine**2 * weight).sum() / total) / ((luma * weight).sum() / total + _DARKEST))


def fusion_mask(replaceable: Floats, pasteable: Floats, outline: Floats, *, glasses: Floats, width_px: float) -> Floats:
    """Soft mask of what is replaced: face in the original, face in the generated, inside the outline, not behind
    glasses.

    The edge falls off inwards only, so that nothing outside these is touched. It is wide towards hair and background,
    and narrow along frames: between two frames a wide one would leave a mixture of both faces.
    """
    # A face shown through another is neither: where the parser is more sure than not, the mask is full. Of the
    # generated face only what is surely face may arrive; elsewhere the original stays.
    gone = np.clip((np.maximum(replaceable, glasses) - _MAYBE_FACE) / _DOUBT, 0, 1)
    arriving = np.clip((pasteable - _SURELY_FACE) / _DOUBT, 0, 1)
    inside: Floats = np.minimum(np.minimum(gone, arriving), outline)
    feather = max(1.0, 0.02 * width_px)
    eroded = np.asarray(cv2.erode((inside > 0.5).astype(np.float32), _disc(feather)), np.float32)
    behind = np.clip((glasses - _MAYBE_FRAME) / _DOUBT, 0, 1)
    mask: Floats = np.minimum(np.minimum(_blur(eroded, feather), inside), 1 - behind)
    return mask


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
