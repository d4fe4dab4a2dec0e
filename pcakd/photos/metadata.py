"""What a photo says beside its pixels, carried to its result: EXIF, XMP, IPTC, resolution, comment."""

import struct
from dataclasses import dataclass, field, replace

from PIL import Image

from pcakd.photos.exif import Exif, FoundExif, read_exif
from pcakd.photos.tags import open_tags
from pcakd.photos.words import comment_of, described_by, extended_xmp, unpack_blocks, xmp_in_gif
from pcakd.photos.xmp import MOST_BYTES, clean_xmp

_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG = 0x02BC, 0x83BB, 0x8649
_IPTC_RESOURCE, _RESOLUTION_RESOURCE = 0x0404, 0x03ED


@dataclass(frozen=True, kw_only=True)
class PhotoMetadata:
    """What is carried. exif: descriptive tags; xmp: a cleaned packet; iptc: the IPTC block as it was;
    resolution: (x, y) in pixels an inch; comment: of JPEG, GIF or PNG."""

    exif: Exif = field(default_factory=Exif)
    xmp: bytes = b""
    iptc: bytes = b""
    resolution: tuple[float, float] | None = None
    comment: str = ""

    def __bool__(self) -> bool:
        return bool(self.exif or self.xmp or self.iptc or self.resolution or self.comment)


NONE = PhotoMetadata()


@dataclass(frozen=True)
class FoundMetadata:
    """Metadata, and what it says of the pixels: adobe_rgb, see `FoundExif`."""

    metadata: PhotoMetadata = NONE
    adobe_rgb: bool = False


def read_metadata(image: Image.Image, data: bytes = b"") -> FoundMetadata:
    """Of an opened image (and its file's bytes, where there are any). Damaged parts are left out, never an error."""
    info = image.info
    xmp, iptc = _bytes(info.get("xmp") or info.get("XML:com.adobe.xmp")), b""
    extension = extended_xmp(image, xmp) if xmp else b""
    if image.format == "TIFF":
        xmp, iptc = _tiff_blocks(image, xmp)
    if image.format == "PNG":
        packed, packed_resources = unpack_blocks(image)
        xmp, iptc = xmp or packed, _iptc_of(packed_resources)
    if image.format == "GIF":
        xmp = xmp_in_gif(data)
    found = _exif_of(image, data)
    exif = found.exif
    if image.format == "PNG":
        exif = replace(exif, main=described_by(info) | exif.main)
    resources = info.get("photoshop")
    if isinstance(resources, dict):
        iptc = _bytes(resources.get(_IPTC_RESOURCE)) or iptc
    if len(iptc) > MOST_BYTES:
        iptc = b""
    return FoundMetadata(
        PhotoMetadata(
            exif=exif,
            xmp=clean_xmp(xmp, extension=extension) if xmp else b"",
            iptc=iptc,
            resolution=_resolution(image) or found.resolution or _resolution_of(resources),
            comment=comment_of(image),
        ),
        found.adobe_rgb,
    )


def tiff_metadata(data: bytes) -> PhotoMetadata:
    """Of a TIFF that Pillow does not open."""
    found, reader = read_exif(data), open_tags(data)
    table = reader.table(reader.first)[0] if reader is not None else {}
    xmp, iptc, resources = (table[tag].data if tag in table else b"" for tag in (_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG))
    iptc = _iptc_of(iptc) or _iptc_of(resources)
    return PhotoMetadata(
        exif=found.exif,
        xmp=clean_xmp(xmp),
        iptc=iptc if len(iptc) <= MOST_BYTES else b"",
        resolution=found.resolution,
    )


def _iptc_of(block: bytes) -> bytes:
    """IPTC as it is, or out of Photoshop's resources."""
    if block.startswith(b"Photoshop 3.0\0"):
        block = block[14:]
    return block if block.startswith(b"\x1c") else _resource(block, _IPTC_RESOURCE)


def _exif_of(image: Image.Image, data: bytes) -> FoundExif:
    if image.format == "TIFF" and data:
        return read_exif(data)
    block = image.info.get("exif")
    return read_exif(block) if isinstance(block, bytes) and block else FoundExif()


def _tiff_blocks(image: Image.Image, xmp: bytes) -> tuple[bytes, bytes]:
    """(XMP, IPTC) of the page that is shown."""
    tags = getattr(image, "tag_v2", {})

    def block(tag: int) -> bytes:
        try:
            value = tags.get(tag)
            if isinstance(value, tuple) and all(isinstance(v, int) and v < 2**32 for v in value):
                return struct.pack(f"<{len(value)}I", *value)  # IPTC is wrongly stored as LONG more often than not
            return _bytes(value)
        except Exception:  # damaged metadata must not cost the photo
            return b""

    return xmp or block(_XMP_TAG), _iptc_of(block(_IPTC_TAG)) or _iptc_of(block(_PHOTOSHOP_TAG))


def _resource(block: bytes, wanted: int) -> bytes:
    """One of Photoshop's image resources."""
    at = 0
    while block[at : at + 4] == b"8BIM" and at + 12 <= len(block):
        number, name = int.from_bytes(block[at + 4 : at + 6]), block[at + 6] + 1
        at += 6 + name + name % 2
        size = int.from_bytes(block[at : at + 4])
        if number == wanted:
            return block[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
    return b""


def _bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes(value) if isinstance(value, bytes | bytearray) else b""


def _resolution_of(resources: object) -> tuple[float, float] | None:
    """What Photoshop's resources of a JPEG say: pixels an inch, whatever unit an editor shows them in."""
    found = resources.get(_RESOLUTION_RESOURCE) if isinstance(resources, dict) else None
    if not isinstance(found, dict):
        return None
    x, y = float(found["XResolution"]), float(found["YResolution"])
    return (x, y) if 1 < x < 1e6 and 1 < y < 1e6 else None


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Pixels an inch. Numbers of 1 or less are what writers put where they know nothing."""
    try:
        if image.format == "JPEG" and not image.info.get("jfif_unit"):
            return None  # Pillow fills in 72; what EXIF says is read there
        x, y = (float(v) for v in image.info["dpi"])
        return (x, y) if 1 < x < 1e6 and 1 < y < 1e6 else None
    except (KeyError, TypeError, ValueError):
        return None
