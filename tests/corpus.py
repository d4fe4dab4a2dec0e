"""Photographs in every state that a folder of them holds, made in memory: good, odd, damaged, hostile.

for sample in bad_photos() + odd_photos(): (folder / sample.name).write_bytes(sample.data)
"""

import functools
import importlib.util
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An encoded photo.

    reason: what `read_photo` refuses it with, None where it reads it.
    size:   (height, width) of the upright photo that is read.
    """

    name: str
    data: bytes
    reason: str | None = None
    size: tuple[int, int] | None = None


@functools.cache
def source_photo(name: str) -> Image.Image:
    """A photograph that scikit-learn brings, 640×427 RGB; its file is read without importing scikit-learn, which
    takes seconds."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return Image.open(Path(package.origin).parent / "datasets" / "images" / name).convert("RGB")


@functools.cache
def photograph(number: int = 0, height: int = 96, width: int = 128) -> Image.Image:
    """A real photograph (a temple, a flower; then other cuts of them), RGB."""
    source = source_photo(("china.jpg", "flower.jpg")[number % 2])
    # Other numbers see other parts, so that no two have the same content.
    left, top = 3 * (number // 2 % 100), 3 * (number // 200)
    return source.crop((left, top, source.width, source.height)).resize((width, height), Image.Resampling.LANCZOS)


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def jpeg(number: int = 0, height: int = 96, width: int = 128, **options) -> bytes:
    return encode(photograph(number, height, width), "JPEG", quality=90, **options)


def good_photos(count: int, height: int = 96, width: int = 128, start: int = 0) -> list[Sample]:
    """Plain JPEGs, all different."""
    return [
        Sample(name=f"good-{number:04d}.jpg", data=jpeg(number, height, width), size=(height, width))
        for number in range(start, start + count)
    ]


@functools.cache
def odd_photos() -> list[Sample]:
    """Photos of every kind that must be read; all of different content."""
    height, width = 96, 128

    def sample(name: str, data: bytes, size: tuple[int, int] = (height, width)) -> Sample:
        return Sample(name=name, data=data, size=size)

    photo = functools.partial(photograph, height=height, width=width)
    alpha = photo(107).convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize((width, height)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    grey16 = np.asarray(photo(108).convert("L")).astype(np.uint16) * 257
    palette = photo(109).quantize(64)
    transparent = photo(110).quantize(64)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return [
        sample("cmyk.jpg", encode(photo(100).convert("CMYK"), "JPEG")),
        sample("grey.jpg", encode(photo(101).convert("L"), "JPEG")),
        sample("progressive.jpg", encode(photo(102), "JPEG", progressive=True)),
        sample("rotated.jpg", encode(photo(103), "JPEG", exif=exif), (width, height)),
        sample("profile.jpg", encode(photo(104), "JPEG", icc_profile=profile)),
        sample("bad-profile.jpg", encode(photo(105), "JPEG", icc_profile=b"no profile at all")),
        sample("bad-exif.jpg", encode(photo(106), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 40)),
        sample("alpha.png", encode(alpha, "PNG")),
        sample("grey-16-bit.png", encode(Image.fromarray(grey16), "PNG")),
        sample("palette.png", encode(palette, "PNG")),
        sample("transparent-palette.png", encode(transparent, "PNG", transparency=0)),
        sample("black-and-white.png", encode(photo(111).convert("1"), "PNG")),
        sample("grey-alpha.png", encode(photo(112).convert("LA"), "PNG")),
        sample("photo.webp", encode(photo(113), "WEBP")),
        sample("photo.tif", encode(photo(114), "TIFF")),
        sample("photo.gif", encode(photo(115).quantize(64), "GIF")),
        sample("photo.bmp", encode(photo(116), "BMP")),
        sample("png-named-as.jpg", encode(photo(117), "PNG")),
        sample("no-suffix", encode(photo(118), "JPEG")),
        sample("one-pixel.png", encode(photograph(119, 1, 1), "PNG"), (1, 1)),
        sample("one-row.png", encode(photograph(120, 1, 200), "PNG"), (1, 200)),
        sample("large.jpg", jpeg(121, 600, 800), (600, 800)),
    ]


@functools.cache
def bad_photos() -> list[Sample]:
    """Objects that must be refused, each with its reason."""
    whole, png = jpeg(2), encode(photograph(4), "PNG")
    return [
        Sample(name="empty.jpg", data=b"", reason="empty"),
        Sample(name="cut-in-the-middle.jpg", data=whole[: len(whole) // 2], reason="truncated"),
        Sample(name="cut-near-the-end.jpg", data=whole[:-200], reason="truncated"),
        Sample(name="cut-in-the-middle.png", data=png[: len(png) // 2], reason="truncated"),
        Sample(name="header-only.jpg", data=whole[:24], reason="truncated"),
        Sample(name="text-named-as.jpg", data=b"this is no photo\n" * 20, reason="not-an-image"),
        Sample(name="page-named-as.jpg", data=b"<!DOCTYPE html><html><body>404</body></html>", reason="not-an-image"),
        Sample(name="drawing.svg", data=b'<svg xmlns="http://www.w3.org/2000/svg"/>', reason="unsupported"),
        Sample(name="zeros.jpg", data=bytes(4096), reason="not-an-image"),
        Sample(name="bomb.png", data=bomb(), reason="too-large"),
    ]


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few KB that claims 3.6 billion pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
