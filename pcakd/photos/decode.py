"""Encoded photos → `Photo`: upright, in sRGB, with all frames and everything that goes back out beside the pixels."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from pcakd.errors import PhotoError
from pcakd.photos import colour, libtiff
from pcakd.photos.colour import SRGB_PROFILE
from pcakd.photos.containers import (
    frame_numbers,
    further_pictures,
    identify,
    raw_kind,
    refuse_by_content,
    tiff_pages,
    webp_is_lossless,
)
from pcakd.photos.depth import bits_beyond, deep_samples, is_deep, is_in_deep_planes, is_signed, to_8_bits, to_16_bits
from pcakd.photos.icc import is_srgb
from pcakd.photos.jpeg import without_end_marker
from pcakd.photos.metadata import read_metadata, tiff_metadata
from pcakd.photos.photo import Photo, Timing
from pcakd.photos.plain_tiff import PlainTiff, plain_tiff, read_plain
from pcakd.photos.png import says_more_behind, without_damaged

# JPEG stands for MPO, too: Pillow has no opener of that name.
_READABLE = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000"]
_KNOWN = "JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000"
_ORIENTATION = 0x0112

libtiff.quiet()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a photo is read. bits: as `Photo` has it, None as it came; keep_gamut: its own space goes into the result."""

    name: str
    max_pixels: int
    profiles: bool = True
    bits: int | None = None
    keep_gamut: bool = False


def decode(data: bytes, reading: Reading) -> Photo:
    name = reading.name
    if not data:
        raise PhotoError(f"{name}: is empty (0 bytes)", reason="empty")
    data, damaged = without_damaged(data)
    if damaged:
        note = f"without its damaged {' and '.join(sorted({*damaged}))}"
        found = decode(data, reading)
        return replace(found, notes=(*found.notes, note))
    with decoder_errors(name, data), warnings.catch_warnings():
        # Pillow warns at a limit of its own (ours is checked below, before any pixel is decoded) and of damaged EXIF.
        warnings.simplefilter("ignore")
        try:
            image = open_image(data)
        except UnidentifiedImageError:
            if (photo := _plain_tiff_photo(data, reading)) is None:
                raise
            return photo
        check_pixels(image.width, image.height, name, reading.max_pixels)
        refuse_by_content(image, data, name)
        numbers = frame_numbers(image, data)
        if len(numbers) == 1:
            return _decode_frame(data, image, numbers[0], reading)
        return _decode_frames(data, image, numbers, reading)


def _decode_frames(data: bytes, image: Image.Image, numbers: list[int], reading: Reading) -> Photo:
    pixels, frames, durations = 0, [], []
    for number in numbers:
        image.seek(number)
        pixels += image.width * image.height
        if pixels > reading.max_pixels:
            raise PhotoError(
                f"{reading.name}: has {len(numbers)} frames of {image.width}×{image.height} pixels, together over the "
                f"limit of {reading.max_pixels:,} (--max-pixels raises it)",
                reason="too-large",
            )
        if image.format == "TIFF":
            frames.append(_decode_frame(data, open_image(data), number, reading))
            continue
        image.load()
        durations.append(float(image.info.get("duration") or 0))
        frames.append(photo_from_image(image.copy() if image.format == "GIF" else image, reading, data))
    if image.format != "TIFF" and all(_is_opaque(frame) for frame in frames):
        frames = [replace(frame, alpha=None) for frame in frames]  # animations are decoded with alpha, needed or not
    elif any(frame.alpha is not None for frame in frames):
        frames = [_with_alpha(frame) for frame in frames]
    first, rest, timing = frames[0], tuple(frames[1:]), None
    if image.format != "TIFF":
        timing = Timing(tuple(durations), int(image.info.get("loop", 1)))
    return replace(first, frames=rest, timing=timing, format=image.format)


def _is_opaque(photo: Photo) -> bool:
    return photo.alpha is None or bool((photo.alpha == np.iinfo(photo.alpha.dtype).max).all())


def _with_alpha(photo: Photo) -> Photo:
    if photo.alpha is not None:
        return photo
    return replace(photo, alpha=np.full(photo.size, np.iinfo(photo.rgb.dtype).max, photo.rgb.dtype))


def _decode_frame(data: bytes, image: Image.Image, number: int, reading: Reading) -> Photo:
    """One picture of a file, from its image just opened."""
    if number:
        image.seek(number)
    again = partial(_frame_again, data, number)
    page = plain_tiff(data, number) if image.format == "TIFF" else None
    if page is not None and page.planar and page.samples.itemsize == 2:
        # Pillow misreads planes of 16 bits.
        return _deep_photo(image, data, read_plain(page), reading, page.orientation)
    if page is not None and page.planar and page.colours == 1 and page.alpha:
        return _plain_page(page, data, reading)  # nor does Pillow know grey and alpha in planes
    if image.format == "JPEG2000" and (bits := bits_beyond(image, data)):
        # Pillow rounds before it cuts to 8 bits: what is nearly white comes out black.
        raise PhotoError(
            f"{reading.name}: is JPEG 2000 of {bits} bits a channel in colour, which is not read here; save it as "
            "TIFF or PNG",
            reason="unsupported",
        )
    if is_in_deep_planes(image):
        raise PhotoError(
            f"{reading.name}: has its 16 bits a channel in planes of a compression that is not read here; save it as "
            "TIFF with the channels together, or as PNG",
            reason="unsupported",
        )
    if is_deep(image):
        if image.format == "PNG" and says_more_behind(data):
            image.load()
        return _deep_photo(image, data, deep_samples(again), reading)
    try:
        image.load()
    except OSError:
        if image.format != "JPEG" or (whole := without_end_marker(data, open_image)) is None:
            raise
        image = whole
    return photo_from_image(image, reading, data)


def _frame_again(data: bytes, number: int) -> ImageFile.ImageFile:
    image = open_image(data)
    image.seek(number)
    return image


def open_image(data: bytes) -> ImageFile.ImageFile:
    """`Image.open` without Pillow's process-wide bomb limit, which raises at 179 million pixels."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        image = Image.open(io.BytesIO(data), formats=_READABLE)
        if is_signed(image):
            raise UnidentifiedImageError("signed samples")  # their range is anybody's guess
        return image
    except UnidentifiedImageError:
        if not _register_heif(data):
            raise
        return Image.open(io.BytesIO(data), formats=["HEIF"])
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _register_heif(data: bytes) -> bool:
    """Whether this is HEIC, and the extra that reads it is installed."""
    found = identify(data)
    return found is not None and found.name == "HEIC" and _heif()


def _heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@contextmanager
def decoder_errors(name: str, data: bytes = b"") -> Iterator[None]:
    """Turn what Pillow's decoders raise on damaged files into a PhotoError."""
    try:
        yield
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise _not_read(name, data) from None
    except MemoryError:
        raise PhotoError(f"{name}: does not fit in memory", reason="too-large") from None
    except Exception as error:
        # Pillow has no error class of its own: plugins leak whatever the damaged bytes provoke.
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"{name}: is truncated or damaged ({detail})", reason="truncated") from None


def _not_read(name: str, data: bytes) -> PhotoError:
    found = identify(data)
    if found is None:
        return PhotoError(f"{name}: is not an image in a known format ({_KNOWN})", reason="not-an-image")
    if not found.picture:
        return PhotoError(f"{name}: is {found.name}, not a photo", reason="not-an-image")
    if found.cut:
        return PhotoError(f"{name}: is truncated or damaged (at the beginning of its {found.name})", reason="truncated")
    more = f"; convert it to one of {_KNOWN}"
    if found.name.startswith("TIFF of"):
        more = "; save it as TIFF of 8 or 16 unsigned bits a channel, or as PNG"
    if found.name == "HEIC":
        more = " (damaged, or of a kind that pillow-heif lacks)" if _heif() else '; pip install "pcakd[heic]" reads it'
    return PhotoError(f"{name}: is {found.name}, which is not read here{more}", reason="unsupported")


def check_pixels(width: int, height: int, name: str, max_pixels: int) -> None:
    """Raise PhotoError "too-large" when width × height is over the limit."""
    if width * height > max_pixels:
        raise PhotoError(
            f"{name}: has {width}×{height} pixels, over the limit of {max_pixels:,} (--max-pixels raises it)",
            reason="too-large",
        )


def with_bits(photo: Photo, reading: Reading) -> Photo:
    """The photo with the bits that are asked for; more of them let its result be rounded once."""
    bits = reading.bits or photo.bits
    if bits == 16 and photo.rgb.dtype == np.uint8:
        photo = photo.with_pixels(to_16_bits(photo.rgb))
    return photo if bits == photo.bits else replace(photo, bits=bits)


def photo_from_image(image: Image.Image, reading: Reading, data: bytes = b"") -> Photo:
    """Of a loaded image (or one that Python code made)."""
    with decoder_errors(reading.name, data):
        check_pixels(image.width, image.height, reading.name, reading.max_pixels)
        if image.mode.startswith("I") or image.mode == "F":
            return _deep_photo(image, data, deep_samples(lambda: image), reading)
        found = read_metadata(image, data)
        colours = colour.told(image, data, found.adobe_rgb, reading.name) if reading.profiles else colour.ToldColours()
        encoding = "JPEG" if image.format == "MPO" else image.format
        notes = [further_pictures(image, data)]
        if bits := bits_beyond(image, data):
            notes.append(f"8 of its {bits} bits a channel, which is what {encoding} is read with")
        image, format = _upright(image), image.format
        if image.format is None:
            image.format = format  # turning loses it
        alpha = _alpha(image, data)
        profile, beyond = SRGB_PROFILE if colours.profile or colours.own else b"", None
        space = colour.space_of(colours) if reading.keep_gamut else None
        if colour.keeps_gamut(space) and image.mode != "CMYK":
            rgb, beyond = colour.to_srgb16(np.asarray(image.convert("RGB")), space, beyond=True)
            profile = colours.profile or colours.own
            alpha = None if alpha is None else to_16_bits(alpha)
        else:
            rgb = np.array(colour.to_srgb8(image, colours), dtype=np.uint8)
        photo = Photo(
            rgb=rgb,
            alpha=alpha,
            metadata=found.metadata,
            format=encoding,
            profile=profile,
            beyond=beyond,
            lossless=encoding == "WEBP" and webp_is_lossless(data),
            notes=tuple(filter(None, notes)),
        )
        return with_bits(photo, reading)


def _deep_photo(
    image: Image.Image,
    data: bytes,
    samples: tuple[np.ndarray, np.ndarray | None],
    reading: Reading,
    orientation: int | None = None,
) -> Photo:
    """Of (colours, alpha) as uint16, and the image that they belong to, which says the rest: the orientation, too,
    where it is not given."""
    found = read_metadata(image, data)
    orientation = _orientation(image) if orientation is None else orientation
    told = colour.told(image, data, found.adobe_rgb, reading.name) if reading.profiles else colour.ToldColours()
    return _deep(samples, told, Photo(rgb=_NONE, metadata=found.metadata, format=image.format), reading, orientation)


_NONE = np.zeros((0, 0, 3), np.uint16)


def _deep(
    samples: tuple[np.ndarray, np.ndarray | None],
    told: colour.ToldColours,
    shell: Photo,
    reading: Reading,
    orientation: int,
) -> Photo:
    colours, alpha = samples
    space, keep_gamut = colour.space_of(told), reading.keep_gamut
    if colours.ndim == 3 and colours.shape[2] == 4:
        space = colour.table_space(told.profile, "CMYK") if told.profile else None
        colours = colours if space is not None else colour.cmyk_as_rgb(colours)
        keep_gamut = False
    keeps = keep_gamut and colour.keeps_gamut(space)
    if space is not None and is_srgb(space):
        space = None  # to the last of 16 bits
    elif space is None and told.profile and colours.ndim == 3:
        space = colour.table_space(told.profile)
    rgb, beyond = colour.to_srgb16(colours, space, beyond=keeps)
    rgb = _turned(rgb, orientation)
    alpha, beyond = (None if plane is None else _turned(plane, orientation) for plane in (alpha, beyond))
    profile = SRGB_PROFILE if told.profile or told.own else b""
    if keeps:
        profile = told.profile or told.own
    return with_bits(replace(shell, rgb=rgb, alpha=alpha, bits=16, profile=profile, beyond=beyond), reading)


def plain_tiff_pages(data: bytes) -> list[PlainTiff]:
    """The pages of a TIFF that this package reads itself; none where one of them is of another kind, or it is raw."""
    if raw_kind(data) is not None:
        return []
    found = [plain_tiff(data, number) for number in tiff_pages(data)]
    pages = [page for page in found if page is not None]
    return pages if len(pages) == len(found) else []


def _plain_tiff_photo(data: bytes, reading: Reading) -> Photo | None:
    """Of a TIFF that Pillow does not open; None where this package's own reader does not know it either."""
    pages = plain_tiff_pages(data)
    if not pages:
        return None
    if sum(page.size[0] * page.size[1] for page in pages) > reading.max_pixels:
        check_pixels(pages[0].size[1], sum(page.size[0] for page in pages), reading.name, reading.max_pixels)
    photos = [_plain_page(page, data, reading) for page in pages]
    return replace(photos[0], frames=tuple(photos[1:]))


def _plain_page(page: PlainTiff, data: bytes, reading: Reading) -> Photo:
    told = colour.ToldColours(page.profile) if reading.profiles else colour.ToldColours()
    shell = Photo(rgb=_NONE, metadata=tiff_metadata(data), format="TIFF")
    photo = _deep(read_plain(page), told, shell, reading, page.orientation)
    if page.samples.itemsize > 1 or photo.beyond is not None or reading.bits:
        return photo
    return replace(photo.with_pixels(to_8_bits(photo.rgb)), bits=8)


def _orientation(image: Image.Image) -> int:
    """1..8; 1 where Pillow turns the picture itself while loading, as it does for TIFF."""
    if image.format == "TIFF":
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata must not cost the photo
        return 1


def _turned(plane: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        plane = np.swapaxes(plane, 0, 1)
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    return np.ascontiguousarray(plane)


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(_ORIENTATION, 1) == 1:
            return image  # exif_transpose copies even then: 4 ms at 1920×1080
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata must not cost the photo
        return image


def _alpha(image: Image.Image, data: bytes) -> np.ndarray | None:
    bits, value = int.from_bytes(data[24:25]), image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and bits in (2, 4) and isinstance(value, int):
        # Pillow scales grey samples of so few bits to 0..255, but not the one that is transparent.
        image.info["transparency"] = value * (255 // (2**bits - 1))
    if image.mode == "LAB":
        return None  # one of its colours is called A
    if "A" in image.getbands():
        return np.asarray(image.getchannel("A"), dtype=np.uint8)
    if "transparency" in image.info and image.mode in ("P", "L", "RGB", "1"):
        return np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.uint8)
    return None
