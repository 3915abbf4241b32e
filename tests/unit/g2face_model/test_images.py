"""Reading and writing pictures: every kind of file a person may hand in, and what must never come out."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import BAD, GOOD, frames, photo, png, saved, sixteen_bit_rgb
from PIL import Image as Pillow
from PIL import ImageCms

from g2face_model import images
from g2face_model.errors import UnreadableImageError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.mark.parametrize("format", sorted(images.LOSSLESS_FORMATS))
def test_lossless_formats_keep_every_bit(format: images.Format) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (61, 47, 3), dtype=np.uint8)
    assert np.array_equal(images.decode(images.encode(noise, format)), noise)


def test_jpeg_keeps_full_colour_resolution() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = RED, BLUE
    published = images.decode(images.encode(stripes, "jpeg", quality=95))
    assert np.abs(published.astype(int) - stripes).max() < 24  # halved colour planes would mix red and blue to purple


def test_a_better_quality_is_a_closer_picture() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    gaps = [np.abs(images.decode(images.encode(noise, "jpeg", quality=q)).astype(int) - noise).mean() for q in (30, 95)]
    assert gaps[1] < gaps[0] / 4


def test_written_files_carry_pixels_only() -> None:
    png = images.encode(photo(), "png")
    kinds, position = set(), 8
    while position < len(png):
        kinds.add(png[position + 4 : position + 8])
        position += 12 + int.from_bytes(png[position : position + 4])
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}
    webp = images.encode(photo(), "webp")
    assert webp[12:16] == b"VP8L"
    assert int.from_bytes(webp[16:20], "little") in (len(webp) - 20, len(webp) - 21)
    with Pillow.open(io.BytesIO(images.encode(photo(), "jpeg"))) as jpeg:
        assert set(jpeg.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert [name for name, _ in jpeg.applist] == ["APP0"]


def test_metadata_of_the_original_does_not_survive() -> None:
    exif = Pillow.Exif()
    exif[0x010E] = "SECRET NAME"
    options = {"exif": exif, "comment": b"SECRET NAME", "icc_profile": ImageCms.ImageCmsProfile(srgb()).tobytes()}
    original = saved(Pillow.fromarray(photo()), "JPEG", **options)
    assert b"SECRET NAME" in original
    for format in images.FORMATS:
        assert b"SECRET NAME" not in images.encode(images.decode(original), format)


@pytest.mark.parametrize(("format", "side"), [("jpeg", 65_501), ("webp", 16_384)])
def test_a_side_the_format_cannot_hold_is_said_so(format: images.Format, side: int) -> None:
    with pytest.raises(UnreadableImageError, match=f"{side} pixels does not fit into {format}"):
        images.encode(np.zeros((1, side, 3), np.uint8), format)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int) -> None:
    stored = np.full((20, 30, 3), 255, np.uint8)
    stored[:10, :15] = RED
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    decoded = images.decode(saved(Pillow.fromarray(stored), "PNG", exif=exif))
    red = [(0, 0), (0, -1), (-1, -1), (-1, 0), (0, 0), (0, -1), (-1, -1), (-1, 0)][orientation - 1]
    assert decoded.shape == ((20, 30, 3) if orientation < 5 else (30, 20, 3))
    corners = {(i, j): tuple(decoded[i, j]) for i in (0, -1) for j in (0, -1)}
    assert [corner for corner, colour in corners.items() if colour == RED] == [red]


def test_a_broken_exif_block_is_ignored() -> None:
    data = saved(Pillow.fromarray(photo()), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert np.array_equal(images.decode(data), photo())


def srgb() -> ImageCms.core.CmsProfile:
    return ImageCms.createProfile("sRGB")


def swapped_profile() -> bytes:
    """sRGB with the red and green primaries exchanged, under a name of its own."""
    profile = ImageCms.ImageCmsProfile(srgb()).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp0").replace(b"gXYZ", b"rXYZ").replace(b"tmp0", b"gXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be")).replace(b"sRGB built", b"test built")


def test_an_embedded_profile_is_converted_to_srgb() -> None:
    picture = Pillow.new("RGB", (4, 4), (250, 10, 10))
    plain = images.decode(saved(picture, "PNG"))[0, 0]
    through = images.decode(saved(picture, "PNG", icc_profile=swapped_profile()))[0, 0]
    assert tuple(plain) == (250, 10, 10)
    assert through[1] > 200 > 60 > through[0]


def test_an_srgb_profile_changes_no_pixel() -> None:
    data = saved(Pillow.fromarray(photo()), "PNG", icc_profile=ImageCms.ImageCmsProfile(srgb()).tobytes())
    assert np.array_equal(images.decode(data), photo())


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_broken_or_foreign_profile_is_ignored(mode: str) -> None:
    picture = Pillow.fromarray(photo()).convert(mode)
    expected = np.array(picture.convert("RGB"))
    for profile in (b"garbage", swapped_profile()[:200], swapped_profile()):
        if profile == swapped_profile() and mode == "RGB":
            continue
        assert np.array_equal(images.decode(saved(picture, "PNG", icc_profile=profile)), expected)


def test_cmyk() -> None:
    picture = Pillow.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(images.decode(saved(picture, "JPEG", quality=95)).astype(int) - RED).max() < 12
    assert np.array_equal(images.decode(saved(picture, "TIFF"))[0, 0], RED)


def test_sixteen_bits_become_eight() -> None:
    grey = np.full((3, 5), 0x8040, np.uint16)
    assert (images.decode(saved(Pillow.fromarray(grey), "PNG")) == 0x80).all()
    assert (images.decode(saved(Pillow.fromarray(grey), "TIFF")) == 0x80).all()
    assert (images.decode(sixteen_bit_rgb(0xC0FF)) == 0xC0).all()


def test_thirty_two_bits_are_refused() -> None:
    with pytest.raises(UnreadableImageError, match="32 bits"):
        images.decode(saved(Pillow.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


def test_transparency_is_laid_on_white() -> None:
    picture = Pillow.new("RGBA", (2, 1), (*RED, 0))
    picture.putpixel((1, 0), (*RED, 255))
    for format in ("PNG", "WEBP"):
        decoded = images.decode(saved(picture, format, lossless=True))
        assert [tuple(p) for p in decoded[0]] == [WHITE, RED]
    half = images.decode(saved(Pillow.new("LA", (1, 1), (0, 128)), "PNG"))
    assert np.abs(half.astype(int) - 127).max() <= 1


def test_palettes_with_and_without_transparency() -> None:
    picture = Pillow.new("P", (2, 1))
    picture.putpalette([*RED, *GREEN])
    picture.putpixel((1, 0), 1)
    for format in ("PNG", "GIF", "BMP"):
        assert [tuple(p) for p in images.decode(saved(picture, format))[0]] == [RED, GREEN]
    for transparency in (1, b"\xff\x00"):
        decoded = images.decode(saved(picture, "PNG", transparency=transparency))
        assert [tuple(p) for p in decoded[0]] == [RED, WHITE]


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_black_and_white(mode: str) -> None:
    picture = Pillow.fromarray(photo()).convert(mode)
    decoded = images.decode(saved(picture, "PNG"))
    assert np.array_equal(decoded, np.array(picture.convert("RGB")))


def test_one_pixel() -> None:
    for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        assert images.decode(saved(Pillow.new("RGB", (1, 1), WHITE), format)).tolist() == [[[255, 255, 255]]]


def test_the_first_picture_of_a_phone_jpeg_is_taken() -> None:
    data = frames("MPO")
    assert np.abs(images.decode(data).astype(int) - photo()).mean() < 4


def test_still_pictures_of_animated_formats() -> None:
    for format in ("GIF", "WEBP", "AVIF", "TIFF"):
        assert images.decode(saved(Pillow.fromarray(photo()), format)).shape == (24, 32, 3)


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_is_refused_is_refused_in_one_line(name: str) -> None:
    make, reason = BAD[name]
    with pytest.raises(UnreadableImageError, match=reason) as caught:
        images.decode(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_is_read_is_read(name: str) -> None:
    decoded = images.decode(GOOD[name]())
    assert decoded.dtype == np.uint8
    assert decoded.ndim == 3


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_picture_cut_short_gives_no_pixels(format: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(Pillow.fromarray(noise), format)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(UnreadableImageError) as caught:
            images.decode(data[: int(len(data) * share)])
        assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """These files end after their headers: whoever tries to decode one says "cut short"."""
    for width, height in ((30_000, 30_000), (11_000, 9_000), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(UnreadableImageError, match="more than 64000000"):
            images.decode(png(width, height))


def test_the_limit_is_the_callers() -> None:
    data = saved(Pillow.fromarray(photo()), "PNG")
    assert images.decode(data, max_pixels=24 * 32).shape == (24, 32, 3)
    with pytest.raises(UnreadableImageError, match="32x24 pixels, more than 767"):
        images.decode(data, max_pixels=24 * 32 - 1)


SEEDS = {f: saved(Pillow.fromarray(photo()), f) for f in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")}


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(SEEDS)), st.data())
def test_damaged_bytes_raise_nothing_else(format: str, data: st.DataObject) -> None:
    body = bytearray(SEEDS[format])
    for position in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=6)):
        body[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UnreadableImageError):
        decoded = images.decode(bytes(body), max_pixels=1_000_000)
        assert decoded.dtype == np.uint8
        assert decoded.ndim == 3


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        images.decode(data)
