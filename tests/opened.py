"""Whether a file that was written opens anywhere, as its photo looked: by Pillow, and by a reader of other code."""

import io

import numpy as np
import tifffile
from PIL import Image

from pcakd.photos.images import Photo, read_photo
from pcakd.photos.write import DEEP, FORMATS
from tests import kinds
from tests.kinds import Kind

SUFFIXES = {format: suffix for suffix, format in FORMATS.items()}
"""Format → a suffix that says it."""

LOSSY = {"JPEG": 4.0, "WEBP": 6.0, "AVIF": 4.0, "GIF": 12.0}
"""Mean levels that a format's own loss may add at quality 95 (GIF: 256 colours, dithered)."""


_read: dict[str, Photo] = {}


def as_read(kind: Kind) -> Photo:
    """A kind's photo, decoded once."""
    if kind.name not in _read:
        _read[kind.name] = read_photo(kind.data, name=kind.name)
    return _read[kind.name]


def fits(kind: Kind, format: str) -> bool:
    """Whether a format holds all pictures of a kind."""
    return kind.frames == 1 or format != "JPEG"


def second_reader(data: bytes, format: str) -> np.ndarray:
    """Colours of the first picture by a reader that shares no code with the writer: H×W×3, 0..255."""
    if format == "TIFF":
        return _in_8_bits(tifffile.imread(io.BytesIO(data), key=0)[..., :3])
    import cv2

    count, pictures = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert count
    return _in_8_bits(pictures[0][..., 2::-1])


def _in_8_bits(samples: np.ndarray) -> np.ndarray:
    return samples / (257.0 if samples.dtype == np.uint16 else 1.0)


def check_opened(kind: Kind, data: bytes, format: str, *, second: bool = True) -> None:
    """Assert that a photo of a kind, written without a change, is whole: size, frames, colours, alpha, depth, and
    what it says of itself. second: by the second reader, too."""
    image = Image.open(io.BytesIO(data))
    size = kind.colours.shape[:2]
    assert (image.format, image.size, getattr(image, "n_frames", 1)) == (format, size[::-1], kind.frames)
    photo, again = as_read(kind), read_photo(data, name=format)
    expected, seen = kind.colours.astype(float), again.rgb8.astype(float)
    if kind.alpha and format == "JPEG":
        share = photo.encoded(8)[1][..., None] / 255
        expected = expected * share + 255 * (1 - share)
    elif kind.alpha:
        assert again.alpha is not None
        opaque = photo.encoded(8)[1] > 250
        expected, seen = expected[opaque], seen[opaque]
    loss = 0.0 if photo.lossless and format == "WEBP" else LOSSY.get(format, 0.0)
    assert np.abs(expected - seen).mean() <= loss + kind.tolerance
    assert again.bits == (kind.bits if format in DEEP else 8)
    if format != "GIF":
        check_described(kind, data, again)
    if second:
        other = second_reader(data, format)
        assert other.shape[:2] == size
        differs = np.abs(other - again.rgb8)[again.encoded(8)[1] > 250 if again.alpha is not None else ...]
        assert differs.mean() < 1.0


def check_described(kind: Kind, data: bytes, again: Photo) -> None:
    """Assert that what describes a photo is kept, and agrees with the pixels that were written."""
    photo = as_read(kind)
    if kind.exif:
        assert again.metadata.exif.main == photo.metadata.exif.main
        assert again.metadata.exif.gps == photo.metadata.exif.gps
        exif = Image.open(io.BytesIO(data)).getexif()
        assert exif.get(0x0112, 1) == 1
        block = exif.get_ifd(0x8769)
        assert (block[0xA002], block[0xA003]) == photo.size[::-1]
        assert 0x927C not in block
        assert block[0x9003] == "2024:01:02 03:04:05"
    if kind.rights:
        assert kinds.RIGHTS.encode() in again.metadata.iptc or "Müller".encode() in again.metadata.xmp
    if kind.dpi:
        assert np.abs(np.array(again.metadata.resolution) - kind.dpi).max() <= 0.1
