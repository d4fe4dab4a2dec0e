"""Photos in and out: defensive decoding to upright 8-bit sRGB, encoding that keeps size, EXIF and alpha.

A photo is decoded by its content, never by its name. What cannot be decoded whole raises
`PhotoError` with a one-line message and a stable `reason`.
"""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from pcakd.environment import whole_number
from pcakd.errors import PhotoError, UsageError

DEFAULT_MAX_PIXELS = 1 << 28
"""268 million pixels: above 16K (15360×8640, 133 million), far below what a bomb expands to."""

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""File name suffixes that a result can be written under, and Pillow's name of the format."""

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB_PROFILE = _SRGB.tobytes()
"""The sRGB colour profile, for results of photos that came with a profile of their own."""

# JPEG stands for MPO, too: Pillow has no opener of that name.
_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM")
_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One decoded photo, upright.

    rgb:    uint8 array H×W×3, sRGB.
    alpha:  uint8 array H×W, or None for an opaque photo.
    exif:   serialised EXIF block without orientation (it is applied), or b"".
    format: Pillow's name of the encoding the photo came in, or None (array, PIL image).
    profiled: whether it came with a colour profile (its pixels have been converted to sRGB).
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes = field(default=b"", repr=False)
    format: str | None = None
    profiled: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]


PhotoSource = str | os.PathLike | bytes | Image.Image | np.ndarray | Photo
"""A path, the encoded bytes, a PIL image, a uint8 array H×W×3 (RGB), H×W×4 or H×W, or a decoded photo."""


def max_pixels_default() -> int:
    """The pixel limit of a photo: PCAKD_MAX_PIXELS, else `DEFAULT_MAX_PIXELS`."""
    return whole_number("PCAKD_MAX_PIXELS", unit="pixels") or DEFAULT_MAX_PIXELS


def read_photo(
    source: PhotoSource, *, name: str | None = None, max_pixels: int | None = None, convert_profile: bool = True
) -> Photo:
    """Decode a photo whole; JPEG, PNG (8/16 bit), WebP, TIFF, GIF, BMP; grey, CMYK, palette, alpha.

    EXIF orientation is applied, an embedded colour profile is converted to sRGB, 16-bit samples
    are scaled to 8 bits. `name` is what error messages call the photo (default: its path);
    `convert_profile=False` takes the samples as sRGB whatever the profile says.

    Raises PhotoError (see its `reason`), UsageError for a source of another type.
    """
    if isinstance(source, Photo):
        return source
    limit = max_pixels_default() if max_pixels is None else max_pixels
    if isinstance(source, np.ndarray):
        return _photo_from_array(source, name or "array")
    if isinstance(source, Image.Image):
        return _photo_from_image(source, name or "image", limit, convert_profile)
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), name or "photo"
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        name = name or str(path)
        data = _read_file(path, name)
    else:
        raise UsageError(f"a photo is a path, bytes, a PIL image or a uint8 array, not {type(source).__name__}")
    return _decode(data, name, limit, convert_profile)


def peek_size(data: bytes, name: str = "photo") -> tuple[int, int]:
    """(height, width) of an encoded photo from its header alone, as stored: not upright. Raises PhotoError."""
    if not data:
        raise PhotoError(f"{name}: is empty (0 bytes)", reason="empty")
    with _decoder_errors(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _open(data)
        return image.height, image.width


def _read_file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PhotoError(f"{name}: no such file", reason="missing") from None
    except IsADirectoryError:
        raise PhotoError(f"{name}: is a folder, not a photo", reason="missing") from None
    except OSError as error:
        raise PhotoError(f"{name}: cannot be read ({error.strerror})", reason="missing") from None


def _decode(data: bytes, name: str, max_pixels: int, convert_profile: bool) -> Photo:
    if not data:
        raise PhotoError(f"{name}: is empty (0 bytes)", reason="empty")
    with _decoder_errors(name), warnings.catch_warnings():
        # Pillow warns at a limit of its own (ours is checked below, before any pixel is decoded) and of damaged EXIF.
        warnings.simplefilter("ignore")
        image = _open(data)
        check_pixels(image.width, image.height, name, max_pixels)
        image.load()
        return _photo_from_image(image, name, max_pixels, convert_profile)


def _open(data: bytes) -> Image.Image:
    """`Image.open` without Pillow's process-wide bomb limit, which raises at 179 million pixels."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        return Image.open(io.BytesIO(data), formats=_READABLE)
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    """Turn what Pillow's decoders raise on damaged files into a PhotoError."""
    try:
        yield
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(
            f"{name}: is not an image in a known format (JPEG, PNG, WebP, TIFF, GIF, BMP)", reason="not-an-image"
        ) from None
    except MemoryError:
        raise PhotoError(f"{name}: does not fit in memory", reason="too-large") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        # Pillow has no error class of its own: plugins leak whatever the damaged bytes provoke.
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"{name}: is truncated or damaged ({detail})", reason="truncated") from None


def check_pixels(width: int, height: int, name: str, max_pixels: int) -> None:
    """Raise PhotoError "too-large" when width × height is over the limit."""
    if width * height > max_pixels:
        raise PhotoError(
            f"{name}: has {width}×{height} pixels, over the limit of {max_pixels:,} (--max-pixels raises it)",
            reason="too-large",
        )


def _photo_from_array(array: np.ndarray, name: str) -> Photo:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise UsageError(f"{name}: a photo array is uint8 H×W×3, not {array.dtype} {'×'.join(map(str, array.shape))}")
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.shape[2] not in (3, 4):
        raise UsageError(f"{name}: a photo array has 3 channels (RGB) or 4 (RGBA), not {array.shape[2]}")
    alpha = np.ascontiguousarray(array[:, :, 3]) if array.shape[2] == 4 else None
    return Photo(rgb=np.array(array[:, :, :3], order="C"), alpha=alpha)


def _photo_from_image(image: Image.Image, name: str, max_pixels: int, convert_profile: bool) -> Photo:
    with _decoder_errors(name):
        check_pixels(image.width, image.height, name, max_pixels)
        profile = image.info.get("icc_profile") if convert_profile else None
        encoding = "JPEG" if image.format == "MPO" else image.format
        image = _upright(image)
        exif = _upright_exif(image)  # after turning: it takes the orientation out of the image's own EXIF
        alpha = _alpha(image)
        rgb = _to_srgb(image, profile)
        return Photo(rgb=np.array(rgb, dtype=np.uint8), alpha=alpha, exif=exif, format=encoding, profiled=bool(profile))


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(_ORIENTATION, 1) == 1:
            return image  # exif_transpose copies even then: 4 ms at 1920×1080
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata must not cost the photo
        return image


def _upright_exif(image: Image.Image) -> bytes:
    try:
        exif = image.getexif()
        exif.pop(_ORIENTATION, None)
        return exif.tobytes() if len(exif) else b""
    except Exception:  # damaged metadata must not cost the photo
        return b""


def _alpha(image: Image.Image) -> np.ndarray | None:
    if "A" in image.getbands():
        return np.asarray(image.getchannel("A"), dtype=np.uint8)
    if "transparency" in image.info and image.mode in ("P", "L", "RGB", "1"):
        return np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.uint8)
    return None


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_scale_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("P", "PA", "1", "LA", "La", "RGBA", "RGBa", "RGBX", "YCbCr", "LAB", "HSV"):
        image = image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
    if profile and image.mode in ("RGB", "L", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")  # type: ignore[return-value]
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged or mismatched profile: take the samples as sRGB, as browsers do
    return image if image.mode == "RGB" else image.convert("RGB")


def _scale_to_8_bits(samples: np.ndarray) -> np.ndarray:
    """Grey samples of 16 bits (0..65535), 32 bits or float (0..1 or 0..255) as uint8."""
    if samples.dtype == np.uint16 or samples.dtype.kind in "iu":
        samples = samples.clip(0, 65535)
        return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    samples = np.nan_to_num(samples)
    scale = 255.0 if samples.max(initial=0.0) <= 1.0 else 1.0
    return (samples * scale).round().clip(0, 255).astype(np.uint8)


def to_image(rgb: np.ndarray, alpha: np.ndarray | None = None) -> Image.Image:
    """A PIL image, RGB or RGBA, from uint8 H×W×3 and an optional uint8 H×W alpha."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    return image


def format_for(path: str | os.PathLike) -> str:
    """Pillow's format name for an output path. Raises UsageError naming the suffixes that can be written."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path}: cannot write {suffix or 'a file without suffix'}; use one of {', '.join(FORMATS)}")
    return FORMATS[suffix]


def encode_photo(image: Image.Image, format: str, *, quality: int = 95) -> bytes:
    """Encode a PIL image (RGB or RGBA, sRGB) with the "exif" and "icc_profile" of its `info`.

    JPEG has no alpha: the image is laid over white. quality: 1..100 for JPEG and WebP. Deterministic for the
    same pixels and library versions.
    """
    options: dict = {key: image.info[key] for key in ("exif", "icc_profile") if image.info.get(key)}
    if format == "JPEG" and image.mode == "RGBA":
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        image = paper
    if format == "JPEG":
        options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    elif format == "WEBP":
        options |= {"quality": quality}
    elif format == "TIFF":
        options |= {"compression": "tiff_lzw"}
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()
