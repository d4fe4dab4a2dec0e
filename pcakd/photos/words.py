"""What photos say in their formats' own words: comments, PNG's texts, blocks packed into texts, XMP in GIF."""

import re
import struct

from PIL import Image

from pcakd.photos.tags import Table, ascii_text

# PNG's keywords → tags of EXIF's first table.
_KEYWORDS = {"Author": 0x013B, "Copyright": 0x8298, "Description": 0x010E, "Title": 0x010E}
_PACKED = "Raw profile type "
_MOST_CHARACTERS = 1 << 20
"""More is no description. What a format has no room for is cut when it is written."""


def comment_of(image: Image.Image) -> str:
    """The comment of an opened image, several of them by lines; "" for none, or for what a codec left of itself."""
    found = [content for marker, content in getattr(image, "applist", ()) if marker == "COM"]
    if not found:
        found = [image.info.get("comment") or image.info.get("Comment") or ""]
    texts = [_readable(value) for value in found]
    # What codecs leave of themselves is no comment.
    texts = [text for text in texts if text and not text.startswith(("Created by OpenJPEG", "CREATOR: gd-jpeg"))]
    return "\n".join(dict.fromkeys(texts))[:_MOST_CHARACTERS]


def described_by(info: dict) -> Table:
    """Author, rights and description that a PNG says by keyword, as tags of EXIF."""
    found: Table = {}
    for keyword, tag in _KEYWORDS.items():
        if text := _readable(info.get(keyword) or ""):
            found.setdefault(tag, ascii_text(text[:_MOST_CHARACTERS]))
    return found


def unpack_blocks(image: Image.Image) -> tuple[bytes, bytes]:
    """(XMP, Photoshop's resources or IPTC) that a PNG has as hexadecimal text, as ImageMagick and exiftool write them.

    Its EXIF is put where Pillow looks for it: the orientation is in it.
    """
    info = image.info
    xmp, iptc = _unpacked(info, "xmp"), _unpacked(info, "iptc") or _unpacked(info, "8bim")
    exif, other = _unpacked(info, "exif"), _unpacked(info, "APP1")
    if other.startswith(_XMP_BEGINS):
        xmp = xmp or other[len(_XMP_BEGINS) :]
    elif other:
        exif = exif or other
    if exif and not info.get("exif"):
        info["exif"] = exif
    return xmp, iptc


_XMP_BEGINS = b"http://ns.adobe.com/xap/1.0/\0"


def _unpacked(info: dict, kind: str) -> bytes:
    """A name, the length and the bytes, each on lines of their own."""
    try:
        lines = str(info.get(_PACKED + kind, "")).strip().split("\n")
        return bytes.fromhex("".join(lines[2:]))
    except ValueError:
        return b""


def extended_xmp(image: Image.Image, packet: bytes) -> bytes:
    """What of an XMP packet stands in JPEG's further segments; b"" where that is not all there."""
    name = _EXTENDED_BY.search(packet)
    begins = _EXTENSION + (name[1] if name else b"?")
    parts: dict[int, bytes] = {}
    size = 0
    for marker, content in getattr(image, "applist", ()):
        if marker == "APP1" and content.startswith(begins) and len(content) > len(begins) + 8:
            size, at = struct.unpack_from(">II", content, len(begins))
            parts[at] = content[len(begins) + 8 :]
    whole = b"".join(parts[at] for at in sorted(parts))
    return whole if len(whole) == size else b""


_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENDED_BY = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})")


def xmp_in_gif(data: bytes) -> bytes:
    """The packet, which stands in a GIF as it is, up to the bytes that count down from 255."""
    name = b"\x21\xff\x0bXMP DataXMP"
    at = data.find(name)
    end = data.find(b"\x01\xff\xfe\xfd", at)
    return data[at + len(name) : end] if 0 <= at < end else b""


def _readable(value: object) -> str:
    """Text: UTF-8, else Latin-1, without what cannot be shown."""
    text = str(value)
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
    return "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
