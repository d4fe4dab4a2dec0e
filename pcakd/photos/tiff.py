"""TIFF as results are written: RGB or RGBA of 8 or 16 bits, deflate with differences, in strips, any number of pages.

Written here and not by Pillow, which has no 16-bit RGB, and hands tags of the source to libtiff that make a file
unreadable. TIFF 6.0; Adobe's supplements for deflate and EXIF.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from pcakd.errors import PhotoError
from pcakd.photos.exif import pack_tables
from pcakd.photos.tags import Table, long, pack_table, rational, short, shorts, undefined

_STRIP_BYTES = 1 << 18
_MOST_BYTES = 0xFFFF0000
_DEFLATE, _HORIZONTAL = 8, 2


@dataclass(frozen=True)
class Tags:
    """Tags of the first page. main: descriptive, resolution; photo, gps: the EXIF and GPS tables; xmp, iptc, profile:
    blocks, b"" for none."""

    main: Table = field(default_factory=dict)
    photo: Table = field(default_factory=dict)
    gps: Table = field(default_factory=dict)
    xmp: bytes = b""
    iptc: bytes = b""
    profile: bytes = b""


def write_tiff(pages: Sequence[np.ndarray], tags: Tags, *, name: str = "photo") -> bytes:
    """Pages H×W×3 or H×W×4 (straight alpha), uint8 or uint16, as a TIFF file.

    Raises PhotoError "unsupported" for more than 4 GB, which TIFF has no room for.
    """
    parts = [b"II*\0", b""]  # the second: where the first table is
    size = 8
    tables: list[tuple[Table, bytes]] = []
    for number, page in enumerate(pages):
        strips, rows = _strips(page)
        offsets = []
        for strip in strips:
            offsets.append(size)
            parts.append(strip + b"\0" * (len(strip) % 2))
            size += len(parts[-1])
        table = _layout(page, offsets, [len(strip) for strip in strips], rows)
        if len(pages) > 1:
            table |= {254: long(2), 297: shorts(number, len(pages))}
        block = b""
        if number == 0:
            block, main = pack_tables(tags.main, tags.photo, tags.gps, size)
            table = {282: rational(1), 283: rational(1), 296: short(1)} | main | table
            table |= {700: undefined(tags.xmp)} if tags.xmp else {}
            table |= {33723: undefined(tags.iptc)} if tags.iptc else {}
        if tags.profile:
            table[34675] = undefined(tags.profile)
        parts.append(block)
        size += len(block)
        tables.append((table, block))
        if size > _MOST_BYTES:
            raise PhotoError(f"{name}: is over 4 GB as TIFF, which has no room for more", reason="unsupported")
    parts[1] = struct.pack("<I", size)
    for number, (table, _) in enumerate(tables):
        length = len(pack_table(table, size))
        following = size + length if number + 1 < len(tables) else 0
        parts.append(pack_table(table, size, following=following))
        size += length
    return b"".join(parts)


def _layout(page: np.ndarray, offsets: list[int], counts: list[int], rows: int) -> Table:
    height, width, channels = page.shape
    table = {
        256: long(width),
        257: long(height),
        258: shorts(*[8 * page.itemsize] * channels),
        259: short(_DEFLATE),
        262: short(2),  # RGB
        273: long(*offsets),
        277: short(channels),
        278: long(rows),
        279: long(*counts),
        284: short(1),  # samples of a pixel together
        317: short(_HORIZONTAL),
    }
    return table | ({338: short(2)} if channels == 4 else {})  # straight alpha


def _strips(page: np.ndarray) -> tuple[list[bytes], int]:
    """Compressed strips, and the rows of each."""
    height = page.shape[0]
    rows = max(1, min(height, _STRIP_BYTES // (page.nbytes // height)))

    def packed(start: int) -> bytes:
        part = page[start : start + rows]
        steps = np.empty(part.shape, part.dtype.newbyteorder("<"))
        steps[:, :1] = part[:, :1]
        np.subtract(part[:, 1:], part[:, :-1], out=steps[:, 1:])
        return zlib.compress(steps.tobytes(), 6)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        return list(threads.map(packed, range(0, height, rows))), rows
