"""Photos in and out, whatever they come as: files, bytes, arrays, PIL images.

A photo is decoded by its content, never by its name. What cannot be decoded whole raises
`PhotoError` with a one-line message and a stable `reason`.
"""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pcakd.checks import one_of
from pcakd.environment import whole_number
from pcakd.errors import PhotoError, UsageError
from pcakd.photos.colour import SRGB_PROFILE
from pcakd.photos.containers import frame_numbers, refuse_by_content
from pcakd.photos.decode import (
    Reading,
    check_pixels,
    decode,
    decoder_errors,
    open_image,
    photo_from_image,
    plain_tiff_pages,
    with_bits,
)
from pcakd.photos.depth import is_deep, is_in_deep_planes
from pcakd.photos.image import PhotoImage
from pcakd.photos.metadata import read_metadata
from pcakd.photos.photo import DEPTHS, GAMUTS, Depth, Gamut, Photo
from pcakd.photos.png import without_damaged
from pcakd.photos.write import FORMATS, encode, format_for, to_image

__all__ = [
    "FORMATS",
    "SRGB_PROFILE",
    "Photo",
    "PhotoImage",
    "PhotoSource",
    "check_pixels",
    "encode",
    "encode_photo",
    "format_for",
    "read_photo",
    "to_image",
]

DEFAULT_MAX_PIXELS = 1 << 28
"""268 million pixels: above 16K (15360×8640, 133 million), far below what a bomb expands to."""

PhotoSource = str | os.PathLike | bytes | Image.Image | np.ndarray | Photo
"""A path, the encoded bytes, a PIL image, a uint8 or uint16 array H×W×3 (RGB), H×W×4 or H×W, or a decoded photo."""


def max_pixels_default() -> int:
    """The pixel limit of a photo: PCAKD_MAX_PIXELS, else `DEFAULT_MAX_PIXELS`."""
    return whole_number("PCAKD_MAX_PIXELS", unit="pixels") or DEFAULT_MAX_PIXELS


def read_photo(
    source: PhotoSource,
    *,
    name: str | None = None,
    max_pixels: int | None = None,
    convert_profile: bool = True,
    depth: Depth = "same",
    gamut: Gamut = "srgb",
) -> Photo:
    """Decode a photo whole, all its frames: JPEG, PNG, WebP, TIFF, GIF, BMP, PNM, AVIF, JPEG 2000; HEIC where
    pillow-heif is installed.

    Orientation is applied, colours are converted to sRGB wherever they are told (docs/photos.md), 16 bits stay 16.
    `name` is what error messages call the photo (default: its path); `convert_profile=False` takes the samples as
    sRGB whatever they are said to be; `max_pixels` counts all frames together. depth: bits of the result, "same" as
    the photo's. gamut "source": the result is written in the photo's own RGB space, see `Photo.beyond`.

    Raises PhotoError (see its `reason`), UsageError for a source of another type.
    """
    if isinstance(source, Photo):
        return source
    one_of("depth", depth, DEPTHS)
    one_of("colour", gamut, GAMUTS)
    reading = Reading(
        name=name or "photo",
        max_pixels=max_pixels_default() if max_pixels is None else max_pixels,
        profiles=convert_profile,
        bits=None if depth == "same" else int(depth),
        keep_gamut=gamut == "source",
    )
    if isinstance(source, np.ndarray):
        return with_bits(_photo_from_array(source, name or "array"), reading)
    if isinstance(source, Image.Image):
        return photo_from_image(source, replace(reading, name=name or "image"))
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        reading = replace(reading, name=name or str(path))
        data = _read_file(path, reading.name)
    else:
        raise UsageError(f"a photo is a path, bytes, a PIL image or a uint8 array, not {type(source).__name__}")
    return decode(data, reading)


@dataclass(frozen=True)
class Peeked:
    """What a header says. size: (height, width) as stored; frames: how many pictures are to be stylized;
    plain: one picture of 8 bits a sample; format: Pillow's name of what it is."""

    size: tuple[int, int]
    frames: int
    plain: bool
    format: str


def peek(data: bytes, name: str = "photo") -> Peeked:
    """What an encoded photo's header says. Raises PhotoError."""
    if not data:
        raise PhotoError(f"{name}: is empty (0 bytes)", reason="empty")
    data, _ = without_damaged(data)
    with decoder_errors(name, data), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = open_image(data)
        except UnidentifiedImageError:
            pages = plain_tiff_pages(data)
            if not pages:
                raise
            return Peeked(pages[0].size, len(pages), len(pages) == 1 and pages[0].samples.itemsize == 1, "TIFF")
        refuse_by_content(image, data, name)
        frames = len(frame_numbers(image, data))
        plain = frames == 1 and not (is_deep(image) or is_in_deep_planes(image))
        return Peeked((image.height, image.width), frames, plain, image.format or "")


def _read_file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PhotoError(f"{name}: no such file", reason="missing") from None
    except IsADirectoryError:
        raise PhotoError(f"{name}: is a folder, not a photo", reason="missing") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        detail = getattr(error, "strerror", None) or error
        raise PhotoError(f"{name}: cannot be read ({detail})", reason="missing") from None


def _photo_from_array(array: np.ndarray, name: str) -> Photo:
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3) or 0 in array.shape:
        raise UsageError(
            f"{name}: a photo array is uint8 or uint16 H×W×3, not {array.dtype} {'×'.join(map(str, array.shape))}"
        )
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.shape[2] not in (3, 4):
        raise UsageError(f"{name}: a photo array has 3 channels (RGB) or 4 (RGBA), not {array.shape[2]}")
    alpha = np.ascontiguousarray(array[:, :, 3]) if array.shape[2] == 4 else None
    bits = 8 * array.itemsize
    return Photo(rgb=np.array(array[:, :, :3], dtype=array.dtype.type, order="C"), alpha=alpha, bits=bits)


def encode_photo(image: Image.Image, format: str, *, quality: int = 95) -> bytes:
    """Encode a PIL image (RGB or RGBA, 8 bits) with the metadata and profile of its `info`; see `encode`."""
    if isinstance(image, PhotoImage):
        return encode(image.current(), format, quality=quality).data
    pixels = np.asarray(image if image.mode in ("RGB", "RGBA") else image.convert("RGB"))
    photo = _photo_from_array(pixels, "image")
    profile = bytes(image.info.get("icc_profile") or b"")
    return encode(replace(photo, metadata=read_metadata(image).metadata, profile=profile), format, quality=quality).data
