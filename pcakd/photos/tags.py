"""The tag tables (IFDs) of TIFF and EXIF, read defensively and written anew, value bytes untouched.

Pillow decodes text on reading and writes it back as ASCII: a copyright line with an umlaut would not survive.
Here a value is its type, how many there are, and its bytes (turned to little-endian), nothing more.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8, 129: 1}
"""Type → bytes of one value. 129 is UTF-8 text (EXIF 3)."""

_UNITS = {3: 2, 8: 2, 4: 4, 5: 4, 9: 4, 10: 4, 11: 4, 13: 4, 12: 8, 16: 8, 17: 8, 18: 8}  # bytes that are swapped
MOST_ENTRIES = 4096
"""More entries in one table are damage, not description."""


class Value(NamedTuple):
    """One tag's value. data: `number` values of `type`, little-endian."""

    type: int
    number: int
    data: bytes

    def numbers(self) -> tuple[float, ...]:
        """The values as numbers; of bytes and text, the bytes. A rational over 0 is 0."""
        if self.type in (5, 10):
            parts = struct.unpack(f"<{2 * self.number}{'I' if self.type == 5 else 'i'}", self.data)
            return tuple(a / b if b else 0.0 for a, b in zip(parts[::2], parts[1::2], strict=True))
        code = {3: "H", 8: "h", 4: "I", 13: "I", 9: "i", 11: "f", 12: "d", 16: "Q", 17: "q", 18: "Q", 6: "b"}
        return struct.unpack(f"<{self.number}{code.get(self.type, 'B')}", self.data)

    def text(self) -> str:
        """Text up to the first NUL: UTF-8, else Latin-1."""
        raw = self.data.split(b"\0", 1)[0]
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")


Table = dict[int, Value]


def short(value: int) -> Value:
    return Value(SHORT, 1, struct.pack("<H", value))


def shorts(*values: int) -> Value:
    return Value(SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def long(*values: int) -> Value:
    return Value(LONG, len(values), struct.pack(f"<{len(values)}I", *values))


def rational(value: float) -> Value:
    """To a hundredth of a thousandth where that fits 32 bits, else whole."""
    scale = 100_000 if value < 40_000 else 1
    number, below = round(value * scale), scale
    while below > 1 and not number % 10:
        number, below = number // 10, below // 10
    return Value(RATIONAL, 1, struct.pack("<II", min(number, 0xFFFFFFFF), below))


def ascii_text(value: str) -> Value:
    data = value.encode() + b"\0"
    return Value(ASCII, len(data), data)


def undefined(data: bytes) -> Value:
    return Value(UNDEFINED, len(data), data)


@dataclass(frozen=True)
class Reader:
    """A TIFF structure in memory: classic or BigTIFF, either byte order."""

    data: bytes = field(repr=False)
    order: str
    big: bool
    first: int
    """Offset of the first table."""

    @property
    def is_cut(self) -> bool:
        """Whether the first table, which often is a file's last part, is not there whole."""
        head, entry = ("Q", 20) if self.big else ("H", 12)
        try:
            (count,) = struct.unpack_from(self.order + head, self.data, self.first)
        except struct.error:
            return self.first > 0
        return self.first + struct.calcsize("<" + head) + count * entry > len(self.data)

    def table(self, offset: int) -> tuple[Table, int]:
        """The table at an offset, and the offset of the next (0: none). Entries that point outside are left out."""
        head, entry, pointer = ("Q", "HHQ8s", "Q") if self.big else ("H", "HHI4s", "I")
        inline = 8 if self.big else 4
        try:
            (count,) = struct.unpack_from(self.order + head, self.data, offset)
        except struct.error:
            return {}, 0
        found: Table = {}
        at, step = offset + struct.calcsize("<" + head), struct.calcsize("<" + entry)
        if count > MOST_ENTRIES:
            return {}, 0
        for _ in range(count):
            try:
                tag, kind, number, raw = struct.unpack_from(self.order + entry, self.data, at)
            except struct.error:
                return found, 0
            at += step
            size = SIZES.get(kind, 0) * number
            if not size or size > len(self.data):
                continue
            if size > inline:
                (start,) = struct.unpack(self.order + pointer, raw)
                raw = self.data[start : start + size]
            if len(raw) >= size:
                found.setdefault(tag, Value(kind, number, _little(raw[:size], kind, self.order)))
        try:
            (following,) = struct.unpack_from(self.order + pointer, self.data, at)
        except struct.error:
            following = 0
        return found, following


def open_tags(data: bytes) -> Reader | None:
    """A reader of what begins with a TIFF header; None for anything else."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 8:
        return None
    (magic,) = struct.unpack_from(order + "H", data, 2)
    if magic == 43 and len(data) >= 16:
        return Reader(data, order, True, struct.unpack_from(order + "Q", data, 8)[0])
    # 42 is the standard's; Panasonic, Olympus and Fuji have numbers of their own, which are not for us.
    return Reader(data, order, False, struct.unpack_from(order + "I", data, 4)[0]) if magic == 42 else None


def _little(raw: bytes, kind: int, order: str) -> bytes:
    unit = _UNITS.get(kind, 1)
    if order == "<" or unit == 1:
        return bytes(raw)
    swapped = bytearray(len(raw))
    for i in range(unit):
        swapped[i::unit] = raw[unit - 1 - i :: unit]
    return bytes(swapped)


def pack_table(table: Mapping[int, Value], offset: int, *, following: int = 0) -> bytes:
    """A classic little-endian table for that (even) offset, its long values behind it; even length."""
    size = 2 + 12 * len(table) + 4
    head, tail = [struct.pack("<H", len(table))], bytearray()
    for tag in sorted(table):
        kind, number, data = table[tag]
        if len(data) <= 4:
            where = data.ljust(4, b"\0")
        else:
            where = struct.pack("<I", offset + size + len(tail))
            tail += data + b"\0" * (len(data) % 2)
        head.append(struct.pack("<HHI", tag, kind, number) + where)
    return b"".join([*head, struct.pack("<I", following), tail])
