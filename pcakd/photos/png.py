"""PNG where Pillow is short of it: 16 bits a sample, of which it writes grey ones only, and damage beside the pixels.

W3C PNG (third edition).
"""

import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

_ROWS_BYTES = 4 << 20  # filtered at a time


def write_png16(samples: np.ndarray, *, chunks: Sequence[tuple[bytes, bytes]] = (), level: int = 6) -> bytes:
    """uint16 H×W×3 (RGB) or H×W×4 (RGBA, straight) as a PNG file.

    chunks: (name, content) written before the pixels, in order. level: zlib's.
    """
    height, width, channels = samples.shape
    kind = {3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    compressor = zlib.compressobj(level)
    packed = [compressor.compress(rows) for rows in _filtered(samples)]
    pixels = b"".join([*packed, compressor.flush()])
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _filtered(samples: np.ndarray) -> Iterable[bytes]:
    """Rows with the filter (Sub, Up or Paeth) whose differences sum to least, as libpng chooses."""
    height, width, channels = samples.shape
    step, size = 2 * channels, 2 * channels * width
    rows = max(1, _ROWS_BYTES // size)
    above_block = np.zeros((1, size), np.uint8)
    for start in range(0, height, rows):
        block = samples[start : start + rows].astype(">u2").view(np.uint8).reshape(-1, size)
        above = np.concatenate([above_block, block[:-1]])
        above_block = block[-1:]
        left, corner = np.zeros_like(block), np.zeros_like(block)
        left[:, step:], corner[:, step:] = block[:, :-step], above[:, :-step]
        a, b, c = (plane.astype(np.int16) for plane in (left, above, corner))
        to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
        paeth = np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, above, corner))
        choices = np.stack([block - left, block - above, block - paeth])  # uint8, wraps as PNG wants it
        costs = np.abs(choices.view(np.int8).astype(np.int16)).sum(-1, dtype=np.int64)
        best = costs.argmin(0)
        out = np.empty((len(block), size + 1), np.uint8)
        out[:, 0] = np.array([1, 2, 4], np.uint8)[best]
        out[:, 1:] = choices[best, np.arange(len(block))]
        yield out.tobytes()


def text_chunk(keyword: str, text: str) -> tuple[bytes, bytes]:
    """An uncompressed iTXt chunk: UTF-8, without language."""
    return b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", "replace")


def profile_chunk(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)


def resolution_chunk(resolution: tuple[float, float]) -> tuple[bytes, bytes]:
    """(x, y) in pixels an inch."""
    x, y = (round(value / 0.0254) for value in resolution)
    return b"pHYs", struct.pack(">IIB", x, y, 1)


_BEGINS = b"\x89PNG\r\n\x1a\n"
_FRAMES = (b"acTL", b"fcTL", b"fdAT")  # an animation's: without them it is another picture
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
MOST_TEXT = 1 << 20
"""Bytes that a compressed text or profile may expand to; for more, Pillow refuses the picture."""


def without_damaged(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A PNG file without the chunks beside its pixels that are damaged, as viewers take it, and those chunks' names.

    Left out are ancillary chunks before the pixels with a wrong checksum, and texts and profiles that expand to more
    than `MOST_TEXT`. Other files come back as they are.
    """
    if not data.startswith(_BEGINS):
        return data, ()
    at, kept, names = len(_BEGINS), [_BEGINS], []
    while at + 12 <= len(data):
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if name == b"IDAT":
            break
        chunk = data[at : at + 12 + size]
        ancillary = name.isalpha() and name[0] >= 0x61
        if ancillary and name not in _FRAMES and len(chunk) == 12 + size and _is_damaged(name, chunk):
            names.append(name.decode())
        else:
            kept.append(chunk)
        at += 12 + size
    return (b"".join([*kept, data[at:]]), tuple(names)) if names else (data, ())


def _is_damaged(name: bytes, chunk: bytes) -> bool:
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
        return True
    if name not in _COMPRESSED or len(chunk) * 1100 < MOST_TEXT:  # deflate packs 1032 bytes into one at most
        return False
    _, _, rest = chunk[8:-4].partition(b"\0")
    if name == b"iTXt" and rest[:1] != b"\1":
        return False
    packed = rest[2:].split(b"\0", 2)[-1] if name == b"iTXt" else rest[1:]
    try:
        return len(zlib.decompressobj().decompress(packed, MOST_TEXT + 1)) > MOST_TEXT
    except zlib.error:
        return False


def says_more_behind(data: bytes) -> bool:
    """Whether something but the end follows a PNG's pixels: a decoder comes to it only after them."""
    at, pixels = 8, False
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if pixels and name not in (b"IDAT", b"IEND"):
            return True
        pixels = pixels or name == b"IDAT"
        at += 12 + size
    return False
