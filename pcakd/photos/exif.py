"""EXIF as it is carried from a photo to its result: what describes the picture, nothing that lays out a file.

Kept are camera, exposure, lens, dates, place, author and rights. Left behind are thumbnails, makers' private
notes (their offsets break when they are moved), editors' blocks, and everything that speaks of the source's own
pixels: orientation, sizes, strips, areas in its coordinates. What the result is, is written anew.
"""

from dataclasses import dataclass, field

from pcakd.photos.tags import Table, Value, long, open_tags, pack_table, rational, short, undefined

ORIENTATION, EXIF_TABLE, GPS_TABLE, INTEROP_TABLE = 0x0112, 0x8769, 0x8825, 0xA005
COLOUR_SPACE, WIDTH, HEIGHT, INTEROP_INDEX = 0xA001, 0xA002, 0xA003, 0x0001
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128

# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, DocumentName, PageName, Copyright,
# ratings, the five "XP" fields of Windows, serial number and lens of TIFF/EP.
_MAIN = {0x010D, 0x010E, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298}
_MAIN |= {0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F, 0xC62F, 0xC630}

# Of the EXIF table, all that the standard (3.0) defines but: CompressedBitsPerPixel, SubjectArea, MakerNote,
# ColorSpace, sizes, RelatedSoundFile, interoperability, SubjectLocation.
_EXIF = {0x829A, 0x829D, 0x8822, 0x8824, 0x8828, *range(0x8830, 0x8836), 0x9000, 0x9003, 0x9004, *range(0x9010, 0x9013)}
_EXIF |= {
    *range(0x9201, 0x920B),
    0x9286,
    *range(0x9290, 0x9293),
    *range(0x9400, 0x9406),
    0xA20B,
    0xA20C,
    0xA20E,
    0xA20F,
}
_EXIF |= {0xA210, 0xA215, 0xA217, 0xA300, 0xA301, 0xA302, *range(0xA401, 0xA40D), 0xA420, *range(0xA430, 0xA43D)}
_EXIF |= {0xA460, 0xA461, 0xA462, 0xA500}
_GPS = set(range(32))

MOST_BYTES = 1 << 20
"""A longer value describes nothing; a TIFF written with it would hardly open."""


@dataclass(frozen=True)
class Exif:
    """Descriptive tags. main: of the first table; photo: of the EXIF table; gps: of the GPS table."""

    main: Table = field(default_factory=dict)
    photo: Table = field(default_factory=dict)
    gps: Table = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.main or self.photo or self.gps)


@dataclass(frozen=True)
class FoundExif:
    """What a photo's EXIF says. adobe_rgb: that the pixels are Adobe RGB (by interoperability R03, or ColorSpace 2);
    resolution: (x, y) in pixels an inch, or None."""

    exif: Exif = field(default_factory=Exif)
    adobe_rgb: bool = False
    resolution: tuple[float, float] | None = None


def read_exif(block: bytes) -> FoundExif:
    """What a block (with or without its "Exif" prefix, or a whole TIFF file) says; damaged parts are left out."""
    reader = open_tags(block[6:] if block[:6] == b"Exif\0\0" else block)
    if reader is None:
        return FoundExif()
    first, _ = reader.table(reader.first)
    photo = _sub_table(reader, first.get(EXIF_TABLE))
    gps = _sub_table(reader, first.get(GPS_TABLE))
    interop = _sub_table(reader, photo.get(INTEROP_TABLE))
    index = interop[INTEROP_INDEX].text() if INTEROP_INDEX in interop else ""
    space = _number(photo.get(COLOUR_SPACE))
    return FoundExif(
        Exif(_chosen(first, _MAIN), _chosen(photo, _EXIF), _chosen(gps, _GPS)),
        adobe_rgb=space == 2 or (index == "R03" and space != 1),
        resolution=_resolution(first),
    )


def _sub_table(reader, pointer: Value | None) -> Table:
    offset = _number(pointer)
    return reader.table(int(offset))[0] if offset else {}


def _number(value: Value | None) -> float | None:
    numbers = value.numbers() if value is not None else ()
    return numbers[0] if numbers else None


def _chosen(table: Table, tags: set[int]) -> Table:
    return {tag: value for tag, value in table.items() if tag in tags and len(value.data) <= MOST_BYTES}


def _resolution(table: Table) -> tuple[float, float] | None:
    x, y = _number(table.get(X_RESOLUTION)), _number(table.get(Y_RESOLUTION))
    unit = _number(table.get(RESOLUTION_UNIT, short(2)))
    if not x or not y or unit not in (2, 3) or min(x, y) <= 1:  # 1: what writers put where they know nothing
        return None
    scale = 2.54 if unit == 3 else 1.0
    return x * scale, y * scale


def photo_table(exif: Exif, width: int, height: int, srgb: bool) -> Table:
    """The EXIF table of a result of that size."""
    own = {
        0x9000: undefined(b"0232"),
        COLOUR_SPACE: short(1 if srgb else 0xFFFF),
        WIDTH: long(width),
        HEIGHT: long(height),
    }
    return own | exif.photo | {tag: own[tag] for tag in (COLOUR_SPACE, WIDTH, HEIGHT)}


def main_table(exif: Exif, resolution: tuple[float, float] | None) -> Table:
    """The first table's descriptive tags and resolution, without pointers to the others."""
    table = dict(exif.main)
    if resolution:
        table |= {
            X_RESOLUTION: rational(resolution[0]),
            Y_RESOLUTION: rational(resolution[1]),
            RESOLUTION_UNIT: short(2),
        }
    return table


def pack_tables(main: Table, photo: Table, gps: Table, offset: int) -> tuple[bytes, Table]:
    """The EXIF and GPS tables for an (even) offset, and the main table with pointers to them."""
    block, main = b"", dict(main)
    for pointer, table in ((EXIF_TABLE, photo), (GPS_TABLE, gps)):
        if table:
            main[pointer] = long(offset + len(block))
            block += pack_table(table, offset + len(block))
    return block, main


def pack_exif(exif: Exif, width: int, height: int, *, srgb: bool, resolution: tuple[float, float] | None) -> bytes:
    """A serialised block (with its "Exif" prefix) for a result of that size; b"" where there is nothing to say."""
    if not exif:
        return b""
    photo = photo_table(exif, width, height, srgb)
    main = {ORIENTATION: short(1), **main_table(exif, resolution)}
    pointers = (EXIF_TABLE, *((GPS_TABLE,) if exif.gps else ()))
    first = len(pack_table(main | {pointer: long(0) for pointer in pointers}, 8))
    block, main = pack_tables(main, photo, exif.gps, 8 + first)
    return b"Exif\0\0II*\0\x08\0\0\0" + pack_table(main, 8) + block
