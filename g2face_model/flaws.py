"""What a stranger would notice in a finished face: out of focus, lit from elsewhere, strewn with hair.

All arrays are crops of one size S; colours are float32 RGB in 0..1, masks and weights (S, S) float32 in 0..1.
"""

from __future__ import annotations

import numpy as np

from g2face_model.light import DARKEST, EDGES, LUMA, blur, detail
from g2face_model.masks import face_width
from g2face_model.types import FaceMesh, Floats

_SHADE_SIGMA = 0.04  # of the width: shadows are at least as coarse
_BROWS, _CROWN, _OVER_BROWS = (105, 334), 10, 0.2  # tops of the brows; from there to the top of the forehead
_STRAND_SIGMA, _SEEN, _FAINT = 0.01, 0.05, 0.03  # of the width; of the face; of the brightness


_SOFT = 0.4  # a face whose edges are by so much weaker (in logarithm) looks out of focus
_SHADY = 0.12  # spread of the logarithm of brightness
_DRAWN = 0.4  # a forehead that has so much more structure (in logarithm) shows strands of hair that hang from nowhere


def noticed(generated: Floats, original: Floats, *, replaced: Floats, skin: Floats, mesh: FaceMesh) -> float:
    """How odd the new face is, in units that a stranger would notice. `replaced` (S, S) is what of the original gives
    way to it, `skin` (S, S) where the original shows skin, `mesh` the original's."""
    softness = lost_detail(generated, original, replaced)
    shade = foreign_shade(generated, original, replaced, width_px=face_width(mesh))
    drawn = strands(generated, original, np.minimum(replaced, skin), mesh)
    return (softness / _SOFT) ** 2 + (shade / _SHADY) ** 2 + (drawn / _DRAWN) ** 2


def foreign_shade(generated: Floats, original: Floats, weight: Floats, *, width_px: float) -> float:
    """How far shadows and highlights of the generated face are from the original's: spread of the logarithm of the
    ratio of their brightness, coarser than features. `relight` takes the coarsest away; harsh light leaves the rest."""
    ratio = np.log((generated @ LUMA + DARKEST) / (original @ LUMA + DARKEST))
    smooth = blur(np.asarray(ratio * weight, np.float32), _SHADE_SIGMA * width_px)
    smooth /= np.maximum(blur(weight, _SHADE_SIGMA * width_px), 1e-3)
    total = max(float(weight.sum()), 1e-6)
    mean = (smooth * weight).sum() / total
    return float(np.sqrt((((smooth - mean) ** 2) * weight).sum() / total))


def lost_detail(generated: Floats, original: Floats, weight: Floats) -> float:
    """Logarithm of how much weaker the edges of the generated face are than the original's; 0 when they are not."""
    return float(max(0.0, np.log((detail(original, weight) + 1e-6) / (detail(generated, weight) + 1e-6))))


def strands(generated: Floats, original: Floats, weight: Floats, mesh: FaceMesh) -> float:
    """How much more drawn the generated forehead is than the original's, by strands of hair or wrinkles: the logarithm
    of the ratio of their structure; 0 when it is not. `weight` marks what of the face is replaced."""
    forehead = np.minimum(weight, _above_brows(mesh, len(weight)))
    if forehead.sum() < _SEEN * weight.sum():
        return 0.0
    sigma = _STRAND_SIGMA * face_width(mesh)
    given, wanted = (_structure(colours @ LUMA, forehead, sigma) for colours in (generated, original))
    return float(max(0.0, np.log((given + _FAINT) / (wanted + _FAINT))))


def _above_brows(mesh: FaceMesh, size: int) -> Floats:
    """(S, S): 1 above a line a little over the brows."""
    right, left, top = (mesh.points[index, :2].astype(np.float64) for index in (*_BROWS, _CROWN))
    middle = (right + left) / 2
    up = top - middle
    rows, columns = np.mgrid[:size, :size]
    height = ((columns - middle[0]) * up[0] + (rows - middle[1]) * up[1]) / max(float(up @ up), 1e-6)
    return np.asarray(height > _OVER_BROWS, np.float32)


def _structure(luma: Floats, weight: Floats, sigma: float) -> float:
    """The strongest structure of about `sigma` px, relative to the mean brightness."""
    band = np.abs(blur(luma, max(0.7, sigma / 2)) - blur(luma, 2 * sigma))[weight > 0.5]
    mean = (luma * weight).sum() / max(float(weight.sum()), 1e-6)
    return float(np.quantile(band, EDGES) / (mean + DARKEST)) if band.size else 0.0
