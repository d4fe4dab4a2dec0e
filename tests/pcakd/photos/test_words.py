"""What photos say in their formats' own words goes into results of every format."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pcakd.photos.images import read_photo
from pcakd.photos.write import encode
from tests import kinds
from tests.corpus import encode as pillow_encode

PICTURE = Image.fromarray(kinds.base())
UPRIGHT = np.asarray(PICTURE.transpose(Image.Transpose.ROTATE_90))  # what orientation 6 turns back


def test_comments_of_a_jpeg_are_all_kept_whatever_their_encoding():
    plain = pillow_encode(PICTURE, "JPEG")
    comments = ("Müller".encode("latin-1"), "Søren".encode(), "Müller".encode("latin-1"))
    parts = [b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text for text in comments]
    photo = read_photo(plain[:2] + b"".join(parts) + plain[2:])
    assert photo.metadata.comment == "Müller\nSøren"
    assert Image.open(io.BytesIO(encode(photo, "JPEG").data)).info["comment"].decode() == "Müller\nSøren"


def test_a_comment_too_long_for_jpeg_is_cut_between_characters_and_that_is_said():
    text = "ü".encode() * 32_000
    part = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
    second = part.replace(b"\xbc", b"\xb6")
    plain = pillow_encode(PICTURE, "JPEG")
    photo = read_photo(plain[:2] + part + second + plain[2:])
    assert len(photo.metadata.comment) == 64_001
    encoded = encode(photo, "JPEG")
    assert encoded.notes == ("the comment cut at JPEG's 64 kB",)
    assert photo.metadata.comment.startswith(read_photo(encoded.data).metadata.comment)
    assert not encode(photo, "PNG").notes


def test_xmp_with_the_rest_of_a_longer_packet_behind_it_is_kept():
    photo = read_photo(pillow_encode(PICTURE, "JPEG", xmp=kinds.rights_xmp() + b"\0\0</rdf:li></x:xmp"))
    assert "Müller".encode() in photo.metadata.xmp


def extended(rights: bytes, *, parts: int, missing: bool = False) -> bytes:
    """A JPEG whose packet says that the rest of it is in further segments."""
    name = b"0123456789ABCDEF" * 2
    main = kinds.rights_xmp()
    begin, end = main.index(b"<dc:rights>"), main.index(b"</dc:rights>") + len(b"</dc:rights>")
    note = b' xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="' + name + b'"'
    main = main[:begin] + main[end:]
    main = main.replace(b'rdf:about=""', b'rdf:about=""' + note, 1)
    step = -(-len(rights) // parts)
    segments = [b"http://ns.adobe.com/xap/1.0/\0" + main]
    for at in list(range(0, len(rights), step))[::-1][missing:]:  # in any order
        head = b"http://ns.adobe.com/xmp/extension/\0" + name + struct.pack(">II", len(rights), at)
        segments.append(head + rights[at : at + step])
    plain = pillow_encode(PICTURE, "JPEG")
    return plain[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments) + plain[2:]


def test_rights_in_the_further_segments_of_a_long_xmp_packet_are_kept():
    for parts in (1, 3):
        metadata = read_photo(extended(kinds.rights_xmp(), parts=parts)).metadata
        assert "Müller".encode() in metadata.xmp
        assert b"HasExtendedXMP" not in metadata.xmp
        assert b"Exposure2012" not in metadata.xmp
    cut = read_photo(extended(kinds.rights_xmp(), parts=3, missing=True)).metadata
    assert "Müller".encode() not in cut.xmp


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "WEBP", "PNG"])
def test_author_and_rights_by_a_pngs_keywords_are_kept(format):
    words = {"Title": "Title", "Author": "Müller", "Copyright": "(c) Müller", "Description": "A street"}
    chunks = [(b"tEXt", key.encode() + b"\0" + value.encode("latin-1")) for key, value in words.items()]
    exif = read_photo(encode(read_photo(kinds.png_chunks(kinds.base(), *chunks)), format).data).metadata.exif.main
    assert (exif[0x013B].text(), exif[0x8298].text(), exif[0x010E].text()) == ("Müller", "(c) Müller", "A street")


def test_a_resolution_that_photoshops_block_alone_tells_is_kept():
    numbers = struct.pack(">IHHIHH", 300 << 16, 1, 1, 250 << 16, 1, 1)
    body = b"Photoshop 3.0\x008BIM\x03\xed\0\0" + struct.pack(">I", len(numbers)) + numbers
    extra = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    photo = read_photo(pillow_encode(PICTURE, "JPEG", extra=extra))
    assert photo.metadata.resolution == (300.0, 250.0)
    assert Image.open(io.BytesIO(encode(photo, "JPEG").data)).info["dpi"] == (300, 250)


def packed(kind: str, block: bytes) -> tuple[bytes, bytes]:
    """A block as ImageMagick writes it into PNG."""
    digits = block.hex()
    lines = [kind, f"{len(block):8d}", *(digits[at : at + 72] for at in range(0, len(digits), 72))]
    text = "\n" + "\n".join(lines) + "\n"
    return b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(text.encode())


@pytest.mark.parametrize("samples", [UPRIGHT, UPRIGHT.astype(np.uint16) * 257], ids=["8", "16"])
@pytest.mark.parametrize("kind", ["exif", "APP1"])
def test_exif_packed_into_text_is_obeyed_and_kept(samples, kind):
    photo = read_photo(kinds.png_chunks(samples, packed(kind, kinds.camera_exif(6))))
    assert np.array_equal(photo.rgb8, kinds.base())
    assert photo.metadata.exif.main[0x010F].text() == "Maker"


@pytest.mark.parametrize("samples", [UPRIGHT, UPRIGHT.astype(np.uint16) * 257], ids=["8", "16"])
def test_exif_behind_the_pixels_is_obeyed_and_kept(samples):
    body = b"eXIf" + kinds.camera_exif(6)[6:]
    plain = kinds.png_chunks(samples)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    photo = read_photo(plain[:-12] + chunk + plain[-12:])
    assert np.array_equal(photo.rgb8, kinds.base())
    assert photo.metadata.exif.main[0x010F].text() == "Maker"


def test_xmp_and_iptc_packed_into_text_are_kept():
    resources = kinds.photoshop_segment(kinds.iptc_block())[4:]
    chunks = packed("xmp", kinds.rights_xmp()), packed("8bim", resources), packed("iptc", b"not hexadecimal"[:0])
    photo = read_photo(kinds.png_chunks(kinds.base(), *chunks))
    assert b"M\xc3\xbcller" in photo.metadata.xmp
    assert photo.metadata.iptc == kinds.iptc_block()
    photo = read_photo(
        kinds.png_chunks(kinds.base(), packed("iptc", resources[14:]), (b"tEXt", b"Raw profile type xmp\0?"))
    )
    assert photo.metadata.iptc == kinds.iptc_block()
    assert not photo.metadata.xmp


def test_rights_in_a_gif_are_kept():
    plain = pillow_encode(PICTURE.quantize(64), "GIF")
    packet = b"\x21\xff\x0bXMP DataXMP" + kinds.rights_xmp() + b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    at = 13 + 3 * 2 ** ((plain[10] & 7) + 1)
    photo = read_photo(plain[:at] + packet + plain[at:])
    assert b"M\xc3\xbcller" in photo.metadata.xmp
    assert not read_photo(plain).metadata.xmp


@pytest.mark.parametrize("tag", [700, 33723, 34377], ids=["xmp", "iptc", "photoshop"])
def test_rights_in_a_tiff_that_pillow_does_not_open_are_kept(tag):
    block = {
        700: kinds.rights_xmp(),
        33723: kinds.iptc_block(),
        34377: kinds.photoshop_segment(kinds.iptc_block())[18:],
    }
    extra = [(tag, 1, len(block[tag]), block[tag], True)]
    photo = read_photo(kinds.tiff((kinds.base() / 255).astype(np.float32), photometric="rgb", extratags=extra))
    assert "Müller".encode() in photo.metadata.xmp + photo.metadata.iptc
