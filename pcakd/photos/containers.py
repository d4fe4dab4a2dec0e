"""What a file is, by its content: its format by name where it is not read, raw files, how many pictures it holds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from pcakd.errors import PhotoError
from pcakd.photos.jpeg import unread_kind
from pcakd.photos.tags import Reader, Table, Value, open_tags

# Brands of ISO media files (HEIF and its kin) → name.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "Canon CR3 raw",
    b"jxl ": "JPEG XL",
}
_BEGINNINGS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"8BPS", "Photoshop (PSD)"),
    (b"gimp xcf", "GIMP (XCF)"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"FUJIFILMCCD-RAW", "Fujifilm raw"),
    (b"FOVb", "Sigma raw"),
    (b"\0MRM", "Minolta raw"),
    (b"IIRO", "Olympus raw"),
    (b"IIRS", "Olympus raw"),
    (b"MMOR", "Olympus raw"),
    (b"IIU\0", "Panasonic raw"),
    (b"\0\0\x01\0", "Windows icon"),
    (b"DDS ", "DDS"),
    (b"icns", "Apple icon"),
    (b"SIMPLE  =", "FITS"),
    (b"II\xbc", "JPEG XR"),
    (b"BPG\xfb", "BPG"),
    (b"qoif", "QOI"),
    (b"farbfeld", "farbfeld"),
    (b"AT&TFORM", "DjVu"),
    (b"PF\n", "a colour float map (PFM)"),
    (b"P7\n", "PAM"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"\x01\xda\0\x01", "SGI"),
    (b"\x01\xda\x01\x01", "SGI"),
    (b"\x0a\x05\x01\x08", "PCX"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI", "PNG as Apple packs it into apps (CgBI)"),
)
_TGA_END = b"TRUEVISION-XFILE.\0"
_VIDEO_BRANDS = (b"qt  ", b"isom", b"mp41", b"mp42", b"M4V ", b"avc1", b"3gp4", b"3gp5")


@dataclass(frozen=True)
class Unread:
    """A file that is not read. name: of its format; picture: whether it is a picture at all; cut: whether its format
    is read, and this file is damaged where that begins."""

    name: str
    picture: bool = True
    cut: bool = False


def identify(data: bytes) -> Unread | None:
    """What a file is that no decoder opens; None where it is unknown."""
    if data[4:8] == b"ftyp":
        brands = [data[8:12], *(data[i : i + 4] for i in range(16, min(int.from_bytes(data[:4]), 64), 4))]
        for brand in brands:
            if brand in _BRANDS:
                return Unread(_BRANDS[brand], cut=_BRANDS[brand] == "AVIF")
        return Unread("a video", picture=False) if any(brand in _VIDEO_BRANDS for brand in brands) else None
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return Unread(name)
    if data[128:132] == b"DICM":
        return Unread("DICOM")
    if data.startswith(b"version https://git-lfs"):
        return Unread("a pointer of Git LFS (git lfs pull fetches what it stands for)", picture=False)
    reader = open_tags(data)
    if reader is not None and reader.is_cut:
        return Unread("TIFF", cut=True)
    if reader is not None and (table := reader.table(reader.first)[0]).keys() >= {256, 257}:
        # Values that lie behind the file's end are not in the table.
        cut = not table.keys() & {273, 324} or (_one(table.get(_PHOTOMETRIC)) == 2 and 258 not in table)
        raw = raw_kind(data)
        return Unread(raw) if raw else Unread("TIFF" if cut else _tiff_kind(table), cut=cut)
    if kind := unread_kind(data):
        return Unread(kind)
    if data.endswith(_TGA_END):
        return Unread("TGA")
    for beginning, name in _READ:
        if data.startswith(beginning):
            return Unread(name, cut=True)
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"<svg", b"<?xml", b"<!DOCTYPE svg")) and b"<svg" in head:
        return Unread("SVG, a drawing")
    return None


_READ = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"\0\0\0\x0cjP  ", "JPEG 2000"))


def _tiff_kind(table: Table) -> str:
    """Of a TIFF that is not read, what decides it."""
    bits = {int(number) for number in table[258].numbers()} if 258 in table else {1}
    kind = {2: "signed ", 3: "float "}.get(_one(table.get(339)), "")
    return (
        f"TIFF of {_one(table.get(277)) or 1} × {' and '.join(map(str, sorted(bits)))} {kind}bits a pixel "
        f"(colour kind {_one(table.get(_PHOTOMETRIC))}, compression {_one(table.get(_COMPRESSION)) or 1})"
    )


_DNG_VERSION, _SUBFILE, _SUB_TABLES, _COMPRESSION, _PHOTOMETRIC, _MAKE = 0xC612, 254, 330, 259, 262, 271
_RAW_COMPRESSIONS = {34713: "Nikon raw", 32767: "Sony raw", 65535: "Pentax raw", 65000: "Kodak raw", 32769: "Epson raw"}
_RAW_PHOTOMETRICS = (32803, 34892)  # colour filter array, linear raw
_MOST_TABLES = 64


def raw_kind(data: bytes) -> str | None:
    """ "DNG raw", "Nikon raw", ... of a camera's raw file in TIFF clothes, whose first picture is a preview."""
    reader = open_tags(data)
    if reader is None:
        return None
    if data[8:10] == b"CR":
        return "Canon CR2 raw"
    first, _ = reader.table(reader.first)
    if _DNG_VERSION in first:
        return "DNG raw"
    maker = (
        f"{first[_MAKE].text().split(' ')[0].title()} raw" if _MAKE in first and first[_MAKE].text() else "camera raw"
    )
    for table in (first, *_sub_tables(reader, first)):
        if _one(table.get(_COMPRESSION)) in _RAW_COMPRESSIONS:
            return _RAW_COMPRESSIONS[_one(table.get(_COMPRESSION))]
        if _one(table.get(_PHOTOMETRIC)) in _RAW_PHOTOMETRICS:
            return maker
    # The first picture is a smaller version of one further in.
    return maker if _one(first.get(_SUBFILE)) & 1 and _SUB_TABLES in first else None


def _sub_tables(reader: Reader, table: Table) -> Iterator[Table]:
    if _SUB_TABLES in table:
        for offset in table[_SUB_TABLES].numbers()[:_MOST_TABLES]:
            yield reader.table(int(offset))[0]


def _one(value: Value | None) -> int:
    numbers = value.numbers() if value is not None and value.type != 2 else ()
    return int(numbers[0]) if numbers else 0


def tiff_pages(data: bytes) -> list[int]:
    """Numbers of the pages that are pictures of their own: no smaller versions, no masks."""
    reader = open_tags(data)
    if reader is None:
        return [0]
    pages, offset, seen, number = [], reader.first, set(), 0
    while offset and offset not in seen and number < 100_000:
        seen.add(offset)
        table, offset = reader.table(offset)
        kind = _one(table.get(_SUBFILE))
        if not kind & 0b101 and _one(table.get(255)) != 2:
            pages.append(number)
        number += 1
    return pages or [0]


def frame_numbers(image: Image.Image, data: bytes) -> list[int]:
    """The frames or pages of an opened file that are to be stylized; [0] for one picture, and of MPO the first."""
    count = getattr(image, "n_frames", 1)
    if count <= 1 or image.format in ("MPO", "JPEG"):
        return [0]
    if image.format == "TIFF":
        return [page for page in tiff_pages(data) if page < count] or [0]
    if image.format == "PNG" and image.info.get("default_image"):
        return list(range(1, count))  # the first is for viewers that show no animation
    return list(range(count))


_GAP, _NUMBER = rb"(?:\s|#[^\r\n]*[\r\n])+", rb"(\d{1,9})"
_BITMAP = re.compile(rb"\s*P4" + _GAP + _NUMBER + _GAP + _NUMBER + rb"\s")
_PIXMAP = re.compile(rb"\s*P([56])" + _GAP + _NUMBER + _GAP + _NUMBER + _GAP + _NUMBER + rb"\s")


def pixmaps(data: bytes) -> int:
    """How many binary PNM pictures stand one behind the other."""
    count, at = 0, 0
    while True:
        if found := _BITMAP.match(data, at):
            width, height = map(int, found.groups())
            size = (width + 7) // 8 * height
        elif found := _PIXMAP.match(data, at):
            kind, width, height, most = map(int, found.groups())
            size = width * height * (3 if kind == 6 else 1) * (2 if most > 255 else 1)
        else:
            return count
        count, at = count + 1, found.end() + size


def refuse_by_content(image: Image.Image, data: bytes, name: str) -> None:
    """Raise PhotoError "unsupported" for a file that Pillow opens, but takes for less than it is."""
    if image.format == "TIFF" and (kind := raw_kind(data)):
        raise PhotoError(
            f"{name}: is a {kind} file, which is not read; develop it to TIFF or JPEG", reason="unsupported"
        )
    if image.format == "PPM" and (count := pixmaps(data)) > 1:
        raise PhotoError(
            f"{name}: has {count} pictures one behind the other, and of PNM files those with one are read; save it as "
            f"TIFF with {count} pages, or split it",
            reason="unsupported",
        )


def further_pictures(image: Image.Image, data: bytes) -> str:
    """What else a JPEG file holds, in words; "" for a plain one."""
    count = getattr(image, "n_frames", 1) if image.format == "MPO" else 1
    if count > 1:
        return f"the first of {count} pictures in it"
    if image.format == "JPEG" and _has_video(data):
        return "the picture, not the video behind it"
    return ""


def _has_video(data: bytes) -> bool:
    at = data.rfind(b"ftyp")
    return at > 4 and int.from_bytes(data[at - 4 : at]) <= 256 and data.rfind(b"\xff\xd9", 0, at) > 0


def webp_is_lossless(data: bytes) -> bool:
    """Whether the first picture of a WebP file is of the lossless kind."""
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        at += 8 + 16 if name == b"ANMF" else 8 + size + size % 2  # a frame's own chunks stand in it
    return False
