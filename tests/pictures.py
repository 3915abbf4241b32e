"""Picture files of every kind a person may hand in, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image as Pillow

from g2face_model.types import Image


def photo(height: int = 24, width: int = 32) -> Image:
    """A smooth colourful picture with a distinct corner."""
    rows, columns = np.mgrid[:height, :width]
    channels = (columns * 255 // max(width - 1, 1), rows * 255 // max(height - 1, 1), 80 + 0 * rows)
    return np.stack(channels, axis=-1).astype(np.uint8)


def saved(picture: Pillow.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def frames(format: str) -> bytes:
    still, other = Pillow.fromarray(photo()), Pillow.fromarray(255 - photo())
    return saved(still, format, save_all=True, append_images=[other], quality=95)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rows: bytes = b"", *, depth: int = 8) -> bytes:
    """An RGB PNG with the given filtered rows, none of them if it only has to claim a size."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(rows) if rows else b"")
    return b"\x89PNG\r\n\x1a\n" + header + body + png_chunk(b"IEND", b"")


def sixteen_bit_rgb(value: int) -> bytes:
    row = b"\x00" + struct.pack(">HHH", value, value, value) * 2
    return png(2, 2, row * 2, depth=16)


GOOD: dict[str, Callable[[], bytes]] = {
    "alpha.png": lambda: saved(Pillow.new("RGBA", (9, 9), (255, 0, 0, 100)), "PNG"),
    "cmyk.jpg": lambda: saved(Pillow.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"),
    "grey.jpg": lambda: saved(Pillow.fromarray(photo()).convert("L"), "JPEG"),
    "one-pixel.png": lambda: saved(Pillow.new("RGB", (1, 1)), "PNG"),
    "palette.png": lambda: saved(Pillow.fromarray(photo()).quantize(16), "PNG"),
    "phone.mpo": lambda: frames("MPO"),
    "sixteen-bit-grey.png": lambda: saved(Pillow.fromarray(np.full((3, 5), 0x8040, np.uint16)), "PNG"),
    "sixteen-bit.png": lambda: sixteen_bit_rgb(0xC0FF),
    "still.gif": lambda: saved(Pillow.fromarray(photo()), "GIF"),
    "still.webp": lambda: saved(Pillow.fromarray(photo()), "WEBP"),
    "wrong-suffix.png": lambda: saved(Pillow.fromarray(photo()), "JPEG"),
}
"""File name -> bytes of pictures that have to be read."""

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "animated.avif": (lambda: frames("AVIF"), "animated"),
    "animated.gif": (lambda: frames("GIF"), "animated"),
    "animated.png": (lambda: frames("PNG"), "animated"),
    "animated.webp": (lambda: frames("WEBP"), "animated"),
    "bomb.png": (lambda: png(11_000, 9_000), "11000x9000 pixels, more than 64000000"),
    "empty.jpg": (lambda: b"", "empty"),
    "huge-bomb.png": (lambda: png(30_000, 30_000), "more than"),
    "pages.tif": (lambda: frames("TIFF"), "several pages"),
    "pdf.jpg": (lambda: b"%PDF-1.7\n1 0 obj\n", "not a picture"),
    "text.jpg": (lambda: b"hello, world", "not a picture"),
    "thirty-two-bit.tif": (lambda: saved(Pillow.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "32 bits"),
    "truncated.jpg": (lambda: saved(Pillow.fromarray(photo(200, 200)), "JPEG")[:-900], "cut short"),
    "truncated.png": (lambda: saved(Pillow.fromarray(photo(200, 200)), "PNG")[:-300], "cut short"),
    "zeros.png": (lambda: bytes(5000), "not a picture"),
}
"""File name -> bytes of what has to be refused, and a piece of the reason."""
