"""The original's light, skin tone and sharpness for a generated face.

All arrays are crops of one size S; colours are float32 RGB in 0..1, masks and weights (S, S) float32 in 0..1.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from g2face_model.types import Floats

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
DARKEST = 0.02  # added before taking logarithms, so that black pixels do not dominate
_LIGHT_SIGMA = 0.12  # of the face's width: finer structure belongs to the new face, coarser is light and skin tone
_MAX_LOG_GAIN = 1.2
_SHARPER = 1.4  # how much finer structure the new face may show: a detail missed is seen more than one too many
EDGES = 0.97  # quantile of the finest structure that edges make up


def relight(generated: Floats, original: Floats, weight: Floats, *, width_px: float) -> Floats:
    """Give the generated face the original's light and skin tone: a low-frequency gain per channel in log space.

    `weight` marks what is skin in both. A gain in log space keeps dark skin's contrast, where an added offset makes
    highlights chalky.
    """
    sigma = _LIGHT_SIGMA * width_px
    wanted = np.log(original + DARKEST)
    given = np.log(generated + DARKEST)
    gain = local_mean(wanted - given, weight, sigma)
    result = np.exp(given + np.clip(gain, -_MAX_LOG_GAIN, _MAX_LOG_GAIN)) - DARKEST
    return match_chroma(np.clip(result, 0.0, 1.0).astype(np.float32), original, weight)


def match_chroma(generated: Floats, original: Floats, weight: Floats) -> Floats:
    """Scale the generated face's colour variation to no more than the original's: none in a grey-scale photograph."""
    spread_original, spread_generated = _chroma_spread(original, weight), _chroma_spread(generated, weight)
    factor = min(1.0, 1.2 * spread_original / max(spread_generated, 1e-6))
    if factor > 0.95:
        return generated
    luma = generated @ LUMA
    chroma = generated - luma[..., None]
    mean = (chroma * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    muted = luma[..., None] + mean + (chroma - mean) * np.float32(factor)
    return np.asarray(np.clip(muted, 0, 1), np.float32)


def _chroma_spread(colours: Floats, weight: Floats) -> float:
    rows, weights = colours.reshape(-1, 3), weight.reshape(-1)  # products of matrices, not sums over a picture's axes
    chroma = rows - (rows @ LUMA)[:, None]
    total = max(float(weights.sum()), 1e-6)
    apart = chroma - weights @ chroma / total
    return math.sqrt(float(weights @ np.einsum("ij,ij->i", apart, apart)) / total)


def soften(generated: Floats, original: Floats, weight: Floats) -> Floats:
    """Blur the generated face until it is no sharper than the original: photographs are rarely in perfect focus."""
    wanted = detail(original, weight)
    for sigma in (0.0, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8):
        result = np.asarray(cv2.GaussianBlur(generated, (0, 0), sigma), np.float32) if sigma else generated
        if detail(result, weight) <= _SHARPER * wanted:
            break
    return result


def detail(colours: Floats, weight: Floats) -> float:
    """How strong the sharpest edges (lids, lips, nostrils) are in the finest structure of the brightness, relative to
    its mean. Edges, not all structure: one face has freckles and another none, but every face has these."""
    luma = colours @ LUMA
    fine = np.abs(luma - cv2.GaussianBlur(luma, (0, 0), 1.0))[weight > 0.5]
    if fine.size == 0:
        return 0.0
    mean = (luma * weight).sum() / max(float(weight.sum()), 1e-6)
    return float(np.quantile(fine, EDGES) / (mean + DARKEST))


def local_mean(values: Floats, weight: Floats, sigma: float) -> Floats:
    """Gaussian mean of (S, S, 3) values over the pixels that `weight` admits (normalised convolution)."""
    total = blur(weight, sigma)[..., None]
    return np.asarray(blur(values * weight[..., None], sigma) / np.maximum(total, 1e-4), np.float32)


def blur(values: Floats, sigma: float) -> Floats:
    """Gaussian blur; wide ones are done at reduced size, where they cost nothing and lose nothing."""
    factor = max(1, int(sigma / 4))
    if factor == 1:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
    height, width = values.shape[:2]
    small = cv2.resize(values, (max(width // factor, 1), max(height // factor, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
