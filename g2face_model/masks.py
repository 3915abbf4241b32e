"""Where in a crop the face, its lips, its mouth and the skin behind lenses are, and what of it is replaced.

All arrays are crops of one size S; colours are float32 RGB in 0..1, masks and weights (S, S) float32 in 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from g2face_model.light import DARKEST, LUMA, blur
from g2face_model.types import FaceMesh, Floats

_OVAL = (  # the mesh's outline, clockwise from the forehead
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
_EYE_CORNERS = ((33, 133), (362, 263))
_MOUTH = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)  # inner lips
_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)  # their outline
_LIPS_APART, _WIDE_APART = 0.04, 0.10  # of the mouth's width: teeth are perhaps, and surely, to be seen
_LIP_MARGIN = 0.012  # of the face's width
_CHEEKS = (50, 280, 205, 425, 101, 330)
_LENS_WIDTH, _LENS_HEIGHT, _CLEAR = 0.62, 0.42, 0.4  # half axes over the eye's width; lightness difference
_RIM, _FRAME = 1.3, 0.5  # as far from the eye a lens may reach; log of the ratio to the cheeks' colour that is no skin
# Of the parser's probability; and how much wider the doubt above is.
_MAYBE_FACE, _SURELY_FACE, _MAYBE_FRAME, _DOUBT = 0.3, 0.6, 0.2, 0.3


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


def lips_mask(mesh: FaceMesh, size: int) -> Floats:
    """(S, S): 1 on the lips and between them, falling off over their outline. Lipstick is no light: it would colour
    the skin around."""
    margin = _LIP_MARGIN * face_width(mesh)
    filled = np.zeros((size, size), np.uint8)
    cv2.fillPoly(filled, [np.rint(mesh.points[list(_LIPS), :2]).astype(np.int32)], 1)
    return blur(cv2.dilate(filled, _disc(margin)).astype(np.float32), max(0.5, margin))


def mouth_opening(mesh: FaceMesh) -> float:
    """Between the inner edges of the lips, in px."""
    return float(np.linalg.norm(mesh.points[_MOUTH[5], :2] - mesh.points[_MOUTH[15], :2]))


def mouth_mask(mesh: FaceMesh, size: int) -> Floats:
    """(S, S): 1 between open lips, less where they are hardly open, 0 everywhere for closed ones."""
    inner = mesh.points[list(_MOUTH), :2].astype(np.float64)
    width = max(float(np.linalg.norm(inner[0] - inner[10])), 1e-6)
    apart = np.clip((mouth_opening(mesh) / width - _LIPS_APART) / (_WIDE_APART - _LIPS_APART), 0, 1)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(inner * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return np.asarray(mask * np.float32(apart / 255), np.float32)


def lens_mask(colours: Floats, mesh: FaceMesh, glasses: Floats) -> Floats:
    """(S, S): what is seen of the face through clear lenses, and has to be replaced with it.

    `glasses` (S, S) is the parser's probability, which covers lenses as well as frames. A lens is clear where its
    lightness around the eye is near that of the cheeks; through it are seen the eye with its surroundings, and whatever
    has the cheeks' colour. The rest is frame.
    """
    size = colours.shape[0]
    mask = np.zeros((size, size), np.float32)
    luma = colours @ LUMA
    cheek = np.median(colours[_pixels(mesh, _CHEEKS, size)], axis=0)
    skin = np.clip((_FRAME - np.abs(np.log((colours + DARKEST) / (cheek + DARKEST))).max(2)) / _FRAME * 2, 0, 1)
    for corners in _EYE_CORNERS:
        eye = _ellipse(mesh, corners, size, axes=(_LENS_WIDTH, _LENS_HEIGHT))
        seen = (eye > 0) & (glasses > 0.5)
        if seen.any() and abs(float(np.quantile(luma[seen], 0.7)) - cheek @ LUMA) < _CLEAR * (cheek @ LUMA):
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
    mask: Floats = np.minimum(np.minimum(blur(eroded, feather), inside), 1 - behind)
    return mask


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
