"""TIFF of the kinds that Pillow lacks or misreads: float RGB, half and double floats, 16-bit planes, grey or CMYK
with alpha.

Strips and tiles, in planes or not, uncompressed or deflated, or of what else Pillow's libtiff expands (LZW, PackBits,
LZMA, Zstandard); with or without differences. TIFF 6.0, and Adobe's technical note 3 for differences of floats.
"""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import TiffImagePlugin, features

from pcakd.photos.tags import Reader, Table, long, open_tags, pack_table, short

_UNCOMPRESSED, _DEFLATES = 1, (8, 32946)
_LZW, _PACKBITS, _LZMA, _ZSTANDARD = 5, 32773, 34925, 50000
_CHANNELS = {0: 1, 1: 1, 2: 3, 5: 4}  # of colour: grey (white is zero, black is zero), RGB, CMYK
_KINDS = {(1, 8): "u1", (1, 16): "u2", (1, 32): "u4", (3, 16): "f2", (3, 32): "f4", (3, 64): "f8"}


@dataclass(frozen=True)
class PlainTiff:
    """One page's layout. samples: their type; colours: 1, 3 or 4 (CMYK) channels; alpha: "", "straight" or
    "premultiplied"."""

    reader: Reader
    table: Table
    samples: np.dtype
    colours: int
    alpha: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return _one(self.table, 257), _one(self.table, 256)

    @property
    def orientation(self) -> int:
        """1..8, as EXIF has it."""
        return _one(self.table, 274, 1)

    @property
    def profile(self) -> bytes:
        """The ICC profile, b"" for none."""
        return self.table[34675].data if 34675 in self.table else b""

    @property
    def planar(self) -> bool:
        return _one(self.table, 284, 1) == 2


def plain_tiff(data: bytes, page: int = 0) -> PlainTiff | None:
    """The layout of a page that this module reads; None for all others."""
    reader = open_tags(data)
    if reader is None:
        return None
    offset, table = reader.first, Table()
    for _ in range(page + 1):
        if not offset:
            return None
        table, offset = reader.table(offset)
    try:
        bits, formats = _all(table, 258, (1,)), _all(table, 339, (1,))
        photometric, channels = _one(table, 262), _one(table, 277, 1)
        colours = _CHANNELS.get(photometric, 0)
        known = colours and channels >= colours and len({*bits}) == 1 and len({*formats}) == 1
        kind = _KINDS.get((formats[0], bits[0]))
        compression = _one(table, 259, 1)
        if (
            not known
            or kind is None
            or not (compression in (_UNCOMPRESSED, *_DEFLATES) or _is_libtiffs(compression))
            or _predictor(table) not in ((1, 2, 3) if kind[0] == "f" else (1, 2))
            or min(_one(table, 256), _one(table, 257)) < 1
        ):
            return None
        extra = _all(table, 338, ())
        alpha = {1: "premultiplied", 2: "straight"}.get(extra[0] if extra else 0, "") if channels > colours else ""
        return PlainTiff(reader, table, np.dtype(kind), colours, alpha)
    except (KeyError, IndexError):
        return None


def read_plain(page: PlainTiff) -> tuple[np.ndarray, np.ndarray | None]:
    """(colours, alpha) as uint16: H×W×3, CMYK H×W×4 or grey H×W; straight alpha H×W or None.

    Floats are 0..1, what lies outside is clipped. Raises ValueError or zlib.error for damaged ones.
    """
    table, (height, width) = page.table, page.size
    channels = _one(table, 277, 1)
    planes = channels if page.planar else 1
    inner = 1 if page.planar else channels
    out = np.zeros((planes, height, width, inner), page.samples)
    tiled = 322 in table
    rows, columns = (_one(table, 323), _one(table, 322)) if tiled else (min(_one(table, 278, height), height), width)
    offsets, counts = _all(table, 324 if tiled else 273, ()), _all(table, 325 if tiled else 279, ())
    if rows < 1 or columns < 1:
        raise ValueError("tiles without size")
    down, across = -(-height // rows), -(-width // columns)
    if min(len(offsets), len(counts)) < planes * down * across:
        raise ValueError("strips are missing")
    for number in range(planes * down * across):
        plane, rest = divmod(number, down * across)
        top, left = rest // across * rows, rest % across * columns
        tall = rows if tiled else min(rows, height - top)
        block = _block(page, offsets[number], counts[number], (tall, columns, inner))
        part = block[: height - top, : width - left]
        out[plane, top : top + part.shape[0], left : left + part.shape[1]] = part
    samples = np.moveaxis(out[..., 0], 0, -1) if page.planar else out[0]
    return _finished(page, _to_uint16(samples))


def _block(page: PlainTiff, offset: int, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    raw = page.reader.data[offset : offset + count]
    size = int(np.prod(shape)) * page.samples.itemsize
    if _one(page.table, 259, 1) in _DEFLATES:
        raw = zlib.decompressobj().decompress(raw, size)  # no more than belongs here
    elif _one(page.table, 259, 1) != _UNCOMPRESSED:
        raw = _expanded(raw, _one(page.table, 259, 1), shape[0], size // shape[0])
    if len(raw) < size:
        raise ValueError("a strip is too short")
    order = page.samples.newbyteorder(page.reader.order)  # type: ignore[arg-type]
    predictor = _predictor(page.table)
    if predictor == 3:
        # Bytes of a row by significance, highest first, as differences.
        lines = np.frombuffer(raw, np.uint8, size).reshape(shape[0], -1, shape[2])
        whole = np.cumsum(lines, axis=1, dtype=np.uint8).reshape(shape[0], page.samples.itemsize, -1)
        return np.moveaxis(whole, 1, 2).copy().view(page.samples.newbyteorder(">")).reshape(shape)
    if predictor == 2:
        # Of floats, too, differences are those of their bytes taken as whole numbers.
        number = np.dtype(f"u{page.samples.itemsize}")
        order = number.newbyteorder(page.reader.order)  # type: ignore[arg-type]
        steps = np.frombuffer(raw, order, size // number.itemsize)
        return np.cumsum(steps.reshape(shape), axis=1, dtype=number).view(page.samples)
    return np.frombuffer(raw, order, size // page.samples.itemsize).reshape(shape)


def _is_libtiffs(compression: int) -> bool:
    return compression in (_LZW, _PACKBITS, _LZMA, _ZSTANDARD) and bool(features.check("libtiff"))


def _expanded(raw: bytes, compression: int, rows: int, row_bytes: int) -> bytes:
    """A strip's or tile's bytes: libtiff expands them as a grey picture of 8 bits, which any samples' bytes are."""
    table = {256: long(row_bytes), 257: long(rows), 258: short(8), 259: short(compression), 262: short(1)}
    table |= {273: long(8), 277: short(1), 278: long(rows), 279: long(len(raw))}
    body = raw + b"\0" * (len(raw) % 2)
    file = b"II*\0" + struct.pack("<I", 8 + len(body)) + body + pack_table(table, 8 + len(body))
    return TiffImagePlugin.TiffImageFile(io.BytesIO(file)).tobytes()


def _predictor(table: Table) -> int:
    """1: samples as they are; 2: differences; 3: differences of floats. It counts where there is compression."""
    return _one(table, 317, 1) if _one(table, 259, 1) in (*_DEFLATES, _LZW, _LZMA, _ZSTANDARD) else 1


def _to_uint16(samples: np.ndarray) -> np.ndarray:
    if samples.dtype.kind == "f":
        clipped = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
        return (clipped * 65535).round().astype(np.uint16)
    if samples.dtype.itemsize == 1:
        return samples.astype(np.uint16) * np.uint16(257)
    return samples.astype(np.uint16) if samples.dtype.itemsize == 2 else (samples >> 16).astype(np.uint16)


def _finished(page: PlainTiff, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    colours, alpha = samples[..., : page.colours], None
    if page.alpha:
        alpha = np.ascontiguousarray(samples[..., page.colours])
    if page.alpha == "premultiplied":
        assert alpha is not None
        scale = 65535 / np.maximum(alpha, 1)[..., None].astype(np.float32)
        colours = (colours * scale).round().clip(0, 65535).astype(np.uint16)
    if page.colours == 1:
        colours = colours[..., 0]
        if _one(page.table, 262) == 0:
            colours = 65535 - colours
    return np.ascontiguousarray(colours), alpha


def _one(table: Table, tag: int, usual: int | None = None) -> int:
    values = _all(table, tag, () if usual is None else (usual,))
    return values[0]


def _all(table: Table, tag: int, usual: tuple[int, ...]) -> tuple[int, ...]:
    if tag not in table:
        return usual
    return tuple(int(value) for value in table[tag].numbers())
