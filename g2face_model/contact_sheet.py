"""The contact sheet: every face before and after, side by side. It shows originals and is not for handing out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from g2face_model.types import AnonymizedFace, AnonymizedImage, Image

CROP_PX = 160
MAX_FACES = 600
_MARGIN_PX = 10
_LINE_PX = 17
_PAIR = (2 * CROP_PX + _MARGIN_PX, CROP_PX + 2 * _LINE_PX + _MARGIN_PX)
_INK, _PAPER, _QUIET = (20, 20, 20), (250, 250, 250), (110, 110, 110)


@dataclass(slots=True)
class ContactSheet:
    """Collects small crops of faces, at most `MAX_FACES`, and draws them; `omitted` counts the faces beyond."""

    omitted: int = 0
    _pairs: list[tuple[tuple[str, str], Image, Image]] = field(default_factory=list)

    def add(self, name: str, original: Image, anonymized: AnonymizedImage) -> None:
        """Take the faces of one photograph, `original` and `anonymized.image` of the same shape."""
        for face in anonymized.faces:
            if len(self._pairs) == MAX_FACES:
                self.omitted += 1
                continue
            before, after = (_crop(image, face.rectangle) for image in (original, anonymized.image))
            self._pairs.append((_label(name, face), before, after))

    def draw(self) -> Image:
        """The sheet, (H, W, 3) uint8; a blank one with a sentence on it when no face was added."""
        count = max(len(self._pairs), 1)
        columns = min(count, max(1, min(6, round((count / 2) ** 0.5) + 1)))
        rows = -(-count // columns)
        width = _MARGIN_PX + columns * (_PAIR[0] + 2 * _MARGIN_PX)
        sheet = Pillow.new("RGB", (width, 2 * _MARGIN_PX + _LINE_PX + rows * _PAIR[1]), _PAPER)
        pen = ImageDraw.Draw(sheet)
        pen.text((_MARGIN_PX, _MARGIN_PX // 2), self._title(), _QUIET, ImageFont.load_default(13))
        for position, pair in enumerate(self._pairs):
            left = _MARGIN_PX + position % columns * (_PAIR[0] + 2 * _MARGIN_PX)
            _draw_pair(sheet, pen, (left, 2 * _MARGIN_PX + _LINE_PX + position // columns * _PAIR[1]), pair)
        return np.array(sheet)

    def _title(self) -> str:
        if not self._pairs:
            return "no faces"
        return "before | after" + (f"   ({self.omitted} more faces are not shown)" if self.omitted else "")


def _draw_pair(
    sheet: Pillow.Image,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    pair: tuple[tuple[str, str], Image, Image],
) -> None:
    (title, measured), before, after = pair
    left, top = corner
    sheet.paste(Pillow.fromarray(before), (left, top))
    sheet.paste(Pillow.fromarray(after), (left + CROP_PX + 2, top))
    small = ImageFont.load_default(12)
    pen.text((left, top + CROP_PX + 2), _fitted(title, pen), _INK, small)
    pen.text((left, top + CROP_PX + 2 + _LINE_PX), _fitted(measured, pen), _QUIET, small)


def _label(name: str, face: AnonymizedFace) -> tuple[str, str]:
    """Two lines under a pair: which face of which photograph, and what was measured on it."""
    verdict = face.verdict
    measured = [f"{recogniser} {similarity:.2f}" for recogniser, similarity in verdict.similarities.items()]
    if verdict.landmark_nme is not None:
        measured.append(f"NME {100 * verdict.landmark_nme:.1f} %")
    printable = name.encode("utf-8", "replace").decode("utf-8")
    return f"#{face.index} {verdict.outcome}   {printable}", "  ".join(measured)


def _fitted(text: str, pen: ImageDraw.ImageDraw) -> str:
    """`text`, its end left out where it would run into the next column."""
    font, room = ImageFont.load_default(12), 2 * CROP_PX
    if pen.textlength(text, font) <= room:
        return text
    while text and pen.textlength(text + "...", font) > room:
        text = text[:-1]
    return text + "..."


def _crop(image: Image, rectangle: Sequence[int]) -> Image:
    """A square around the rectangle, a fifth wider, in `CROP_PX`; white beyond the photograph's edge."""
    left, top, width, height = rectangle
    side = max(width, height, 1) * 1.2
    centre = left + width / 2, top + height / 2
    box = [round(c + s * side / 2) for s in (-1, 1) for c in centre]
    window = Pillow.fromarray(_padded(image, (box[0], box[1], box[2], box[3])))
    return np.array(
        window.resize((CROP_PX, CROP_PX), Pillow.Resampling.BOX if side > CROP_PX else Pillow.Resampling.BICUBIC)
    )


def _padded(image: Image, box: tuple[int, int, int, int]) -> Image:
    left, top, right, bottom = box
    window = np.full((max(bottom - top, 1), max(right - left, 1), 3), 255, np.uint8)
    inner = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    row, column = max(-top, 0), max(-left, 0)
    window[row : row + inner.shape[0], column : column + inner.shape[1]] = inner
    return window
