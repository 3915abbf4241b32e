"""A mark that nobody sees, by which a picture that got out names the request it was given out for.

The mark is one pattern per request, repeated in tiles and added to the restored pixels alone: a few grey levels, and
those frequencies that JPEG keeps. It is found by phase correlation: wherever the picture was cut, some shift of the
pattern fits far better than all others. Faces of less than about 100 px have too few pixels to carry it reliably.
Whoever knows a request's id can find its mark, and so take it away again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from g2face_model.types import Image

_TILE = 64  # px
_BAND = (0.08, 0.25)  # cycles per px: finer is lost in JPEG, coarser is drowned in the picture
_STRENGTH = 1.3  # grey levels, as a standard deviation: 45.7 dB
_SURE = 7.5  # standard deviations above all shifts; a picture without a mark reaches this once in 10^9 windows
_WINDOWS = (1, 2, 3)  # tiles: a face is rarely all of a photo
_NEAR = 4  # px around a pixel that it is compared to

Floats = NDArray[np.float64]


def embed(image: Image, where: NDArray[np.bool_], request_id: str) -> Image:
    """`image` with the request's mark in the pixels `where`, (H, W) bool; all others stay as they are."""
    marked = image.copy()
    if not where.any():
        return marked
    rows, columns = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    pattern = np.rint(_STRENGTH * _pattern(request_id)).astype(np.int16)
    added = pattern[np.ix_(np.arange(rows[0], rows[-1] + 1) % _TILE, np.arange(columns[0], columns[-1] + 1) % _TILE)]
    changed = np.clip(image[window] + added[..., None], 0, 255).astype(np.uint8)
    marked[window][where[window]] = changed[where[window]]
    return marked


def detect(image: Image, candidates: Iterable[str]) -> str | None:
    """Which of the requests `candidates` the picture was given out for; None when it carries the mark of none.

    Works on a part of a picture too, and after JPEG of quality 90; not on one that was scaled or turned.
    """
    spectra = [_phases(window) for window in _windows(_flattened(image))]
    found, best = None, _SURE
    for request_id in candidates:
        pattern = np.conj(np.fft.fft2(_pattern(request_id)))
        score = max((_peak(spectrum * pattern) for spectrum in spectra), default=0.0)
        if score > best:
            found, best = request_id, score
    return found


def _pattern(request_id: str) -> Floats:
    """(64, 64), standard deviation 1; the same on every machine and for ever."""
    noise = hashlib.shake_256(b"g2face forensic mark v1" + request_id.encode()).digest(_TILE * _TILE)
    spectrum = np.fft.fft2(np.frombuffer(noise, np.uint8).reshape(_TILE, _TILE).astype(np.float64))
    pattern = np.fft.ifft2(spectrum * _in_band()).real
    return np.asarray(pattern / pattern.std(), np.float64)


def _in_band() -> NDArray[np.bool_]:
    frequencies = np.fft.fftfreq(_TILE)
    radius = np.hypot(frequencies[:, None], frequencies[None, :])
    return np.asarray((radius >= _BAND[0]) & (radius <= _BAND[1]), np.bool_)


def _flattened(image: Image) -> Floats:
    """(H, W): what differs from its surroundings, with every region equally loud."""
    grey = image.astype(np.float64).mean(axis=2)
    detail = grey - _mean_near(grey)
    return np.asarray(np.clip(detail / np.sqrt(_mean_near(detail**2) + 1.0), -3, 3), np.float64)


def _mean_near(values: Floats) -> Floats:
    """The mean over a square around each pixel."""
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (_NEAR + 1, _NEAR)
        sums = np.cumsum(np.pad(values, padding, mode="edge"), axis=axis)
        length = values.shape[axis]
        upper, lower = np.arange(length) + 2 * _NEAR + 1, np.arange(length)
        values = (sums.take(upper, axis=axis) - sums.take(lower, axis=axis)) / (2 * _NEAR + 1)
    return values


def _windows(flat: Floats) -> Iterator[Floats]:
    """The picture, and parts of several sizes of it, each folded into one tile: (N, 64, 64)."""
    height, width = flat.shape
    whole = np.pad(flat, ((0, -height % _TILE), (0, -width % _TILE)))
    rows, columns = whole.shape[0] // _TILE, whole.shape[1] // _TILE
    tiles = whole.reshape(rows, _TILE, columns, _TILE).swapaxes(1, 2)
    yield tiles.sum(axis=(0, 1))[None]
    for size in _WINDOWS:
        if rows >= size and columns >= size:
            parts = np.lib.stride_tricks.sliding_window_view(tiles, (size, size), axis=(0, 1))
            yield parts.sum(axis=(-2, -1)).reshape(-1, _TILE, _TILE)


def _phases(folded: Floats) -> NDArray[np.complex128]:
    """(N, 64, 64): every frequency of the band counts the same, however loud it is."""
    spectrum = np.fft.fft2(folded)
    return np.where(_in_band(), spectrum / np.maximum(np.abs(spectrum), 1e-9), 0)


def _peak(product: NDArray[np.complex128]) -> float:
    """By how many standard deviations the best shift of any window stands out of all shifts."""
    fit = np.fft.ifft2(product).real
    spread = fit.std(axis=(1, 2))
    return float(np.max(fit.max(axis=(1, 2)) / np.where(spread > 0, spread, np.inf)))
