"""Samples of more than 8 bits out of Pillow, which has no RGB mode for them.

Pillow decodes 16-bit RGB with unpackers that take one byte of the two. Decoded once for the high and once for the
low bytes, by the same C code, the whole samples come out: for PNG and TIFF, every filter and compression.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

_BITS, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339

_NATIVE = "L" if sys.byteorder == "little" else "B"

# Pillow's raw mode without its byte order → (mode, channels).
_WIDE = {"RGB;16": ("RGB", 3), "RGBA;16": ("RGBA", 4), "RGBX;16": ("RGB", 3), "RGBa;16": ("RGBA", 4)}
_WIDE |= {"CMYK;16": ("CMYK", 4)}


def is_deep(image: Image.Image) -> bool:
    """Whether an image that was opened, not yet loaded, has more than 8 bits a sample."""
    if image.mode.startswith("I") or image.mode == "F":
        return True
    return wide_raw_mode(image) is not None or _is_grey_alpha(image) or _is_deep_pixmap(image)


def is_signed(image: Image.Image) -> bool:
    """Whether an opened image is a TIFF of signed samples."""
    formats = getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, ()) if image.format == "TIFF" else ()
    return 2 in (formats if isinstance(formats, tuple) else (formats,))


def is_in_deep_planes(image: Image.Image) -> bool:
    """Whether an opened image is a TIFF of 16 bits a sample in planes, which Pillow misreads."""
    tags = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and tags.get(_PLANES) == 2 and 16 in tags.get(_BITS, ())


def bits_beyond(image: Image.Image, data: bytes) -> int:
    """Bits a sample of an opened picture whose decoder gives 8 of more; 0 for others."""
    if image.format == "AVIF" and (at := data.find(b"av1C", 0, _HEADERS)) > 0 and len(data) > at + 6:
        flags = data[at + 6]
        return 0 if not flags & 0x40 else 12 if flags & 0x20 else 10
    if image.format == "HEIF" and (at := data.find(b"hvcC", 0, _HEADERS)) > 0 and len(data) > at + 21:
        return bits if (bits := 8 + (data[at + 21] & 7)) > 8 else 0
    if image.format == "JPEG2000" and (at := data.find(b"\xff\x4f\xff\x51", 0, _HEADERS)) >= 0 and len(data) > at + 42:
        bits = 1 + (data[at + 42] & 0x7F)
        return bits if bits > 8 and not image.mode.startswith("I") else 0
    return 0


_HEADERS = 1 << 16


def wide_raw_mode(image: Image.Image) -> str | None:
    """The raw mode, such as "RGB;16B", of an unloaded image with 16 bits of RGB(A) a sample; None for others."""
    raw = _raw_mode(image)
    return raw if raw is not None and raw[:-1] in _WIDE else None


def _raw_mode(image: Image.Image) -> str | None:
    tiles = getattr(image, "tile", None)
    if not tiles:
        return None
    args = tiles[0][3]
    raw = args if isinstance(args, str) else args[0] if isinstance(args, tuple) and args else None
    return raw if isinstance(raw, str) else None


def _is_grey_alpha(image: Image.Image) -> bool:
    return _raw_mode(image) == "LA;16B"


def _is_deep_pixmap(image: Image.Image) -> bool:
    """Whether it is a binary pixmap (PNM "P6") of more than 8 bits."""
    return image.format == "PPM" and image.mode == "RGB" and _most(image) > 255 and image.tile[0][0] == "ppm"  # type: ignore[attr-defined]


def _most(image: Image.Image) -> int:
    args = image.tile[0][3] if getattr(image, "tile", None) else None  # type: ignore[attr-defined]
    return args[1] if isinstance(args, tuple) and len(args) > 1 and isinstance(args[1], int) else 0


def _pixmap_samples(image: Any) -> np.ndarray:
    most, offset = _most(image), image.tile[0][2]
    image.fp.seek(offset)
    count = 3 * image.width * image.height
    raw = image.fp.read(2 * count)
    if len(raw) < 2 * count:
        raise OSError("image file is truncated")
    samples = np.frombuffer(raw, ">u2").reshape(image.height, image.width, 3).astype(np.uint32)
    return ((np.minimum(samples, most) * 65535 + most // 2) // most).astype(np.uint16)


def deep_samples(open_image: Callable[[], Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """(colour, alpha) of a deep image as uint16: H×W×3, of CMYK H×W×4 or, of grey, H×W; alpha H×W, straight, or None.

    open_image: opens the image anew, unloaded and at its frame. 32-bit whole numbers are scaled down by their type's
    range; float samples are 0..1, what lies outside is clipped.
    """
    image = open_image()
    if _is_grey_alpha(image):
        both = _decode(image, "RGBA", "RGBA").astype(np.uint16)
        return both[..., 0] << 8 | both[..., 1], both[..., 2] << 8 | both[..., 3]
    if _is_deep_pixmap(image):
        return _pixmap_samples(image), None
    raw = wide_raw_mode(image)
    if raw is None:
        image.load()
        samples = grey_samples(image)
        if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
            samples = 65535 - samples  # white is zero
        return samples, _transparent_grey(image)
    mode, channels = _WIDE[raw[:-1]]
    premultiplied = raw.startswith("RGBa")
    kind = "RGBA;16" if premultiplied else raw[:-1]  # that of RGBa divides by alpha, each byte by itself
    native = raw[-1] == "N" or _is_libtiff(image)
    order = _NATIVE if native else raw[-1]
    # The unpacker "L" takes the second byte of each pair, "B" the first.
    high, low = (kind + "L", kind + "B") if order == "L" else (kind + "B", kind + "L")
    top = _decode(image, mode, kind + "N" if native else high)
    bottom = _decode(open_image(), mode, (kind + ("B" if _NATIVE == "L" else "L")) if native else low)
    samples = top.astype(np.uint16) << 8 | bottom
    transparent = image.info.get("transparency")
    if channels == 3:
        alpha = None
        if isinstance(transparent, tuple) and len(transparent) == 3:
            alpha = np.where((samples == np.array(transparent, np.uint16)).all(-1), 0, 65535).astype(np.uint16)
        return samples[..., :3], alpha
    if kind == "CMYK;16":
        return samples, None
    colour, alpha = samples[..., :3], samples[..., 3]
    if premultiplied:
        scale = 65535 / np.maximum(alpha, 1)[..., None].astype(np.float32)
        colour = (colour * scale).round().clip(0, 65535).astype(np.uint16)
    return colour, alpha


def _is_libtiff(image: Any) -> bool:
    return image.tile[0][0] == "libtiff"


def _decode(image: Any, mode: str, raw: str) -> np.ndarray:
    """Load an unloaded image with another unpacker."""
    image._mode = mode
    tiles = []
    for tile in image.tile:
        args = tile[3]
        tiles.append(tile._replace(args=raw if isinstance(args, str) else (raw, *args[1:])))
    image.tile = tiles
    image.load()
    return np.asarray(image)


def grey_samples(image: Image.Image) -> np.ndarray:
    """A loaded image of mode I;16 (any byte order), I or F as uint16 H×W."""
    samples = np.asarray(image)
    if samples.dtype.kind == "f":
        return (np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1) * 65535).round().astype(np.uint16)
    if samples.dtype.itemsize == 2:
        if _bits(image) == (12,):
            return ((samples.astype(np.uint32) * 65535 + 2047) // 4095).astype(np.uint16)
        return samples.astype(np.uint16)
    if 32 in _bits(image):
        return (samples.astype(np.int64) % 2**32 // 65537).astype(np.uint16)
    return samples.clip(0, 65535).astype(np.uint16)


def _bits(image: Image.Image) -> tuple[int, ...]:
    """Bits a sample, as TIFF tells them."""
    bits = getattr(image, "tag_v2", {}).get(_BITS, (0,))
    return bits if isinstance(bits, tuple) else (bits,)


def _transparent_grey(image: Image.Image) -> np.ndarray | None:
    value = image.info.get("transparency")
    if not isinstance(value, int):
        return None
    return np.where(np.asarray(image) == value, 0, 65535).astype(np.uint16)


def to_8_bits(samples: np.ndarray) -> np.ndarray:
    """uint16 → uint8, rounded (65535 is 255)."""
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_16_bits(samples: np.ndarray) -> np.ndarray:
    """uint8 → uint16, exactly."""
    return samples.astype(np.uint16) * np.uint16(257)
