"""What an annotator sees in the place of an image that is not anonymized yet."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

_SIZE_PX = (640, 480)
_BACKGROUND, _INK = (232, 234, 237), (60, 64, 67)
_TEXT = "This photo is being anonymized.\nCome back to it in a few minutes."


def pending_png() -> bytes:
    """A PNG that says so, the same bytes every time."""
    picture = Image.new("RGB", _SIZE_PX, _BACKGROUND)
    middle = (_SIZE_PX[0] / 2, _SIZE_PX[1] / 2)
    ImageDraw.Draw(picture).multiline_text(middle, _TEXT, fill=_INK, anchor="mm", align="center", font_size=24)
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
