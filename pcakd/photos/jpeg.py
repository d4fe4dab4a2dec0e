"""What the markers of a JPEG file tell: kinds that are not read, and whether a picture without its end is whole.

ITU-T T.81, annexes B and G.
"""

import re
from collections.abc import Callable, Iterator

from PIL import Image

_END = b"\xff\xd9"
_RESTARTS = range(0xD0, 0xD8)
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # tables and an extension, numbered among the frames
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
_COEFFICIENTS = 64
_MOST_SEGMENTS = 10_000  # more are no photo's
_FILL = re.compile(b"\xff+")
_AFTER_SCAN = re.compile(b"\xff[^\0\xd0-\xd7]", re.DOTALL)  # in a scan, 0 or a restart's number follows 0xFF


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of each segment with a length, scans' headers among them; stops at the end or at damage."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        fill = _FILL.match(data, at)
        if fill is None or fill.end() + 3 > len(data):
            return
        at = fill.end() - 1
        marker = data[at + 1]
        if marker == 0xD9:
            return
        size = int.from_bytes(data[at + 2 : at + 4])
        yield marker, data[at + 4 : at + 2 + size]
        at += 2 + size
        if marker == 0xDA:
            end = _AFTER_SCAN.search(data, at)
            if end is None:
                return
            at = end.start()


def unread_kind(data: bytes) -> str:
    """ "JPEG of 12 bits a sample", "JPEG-LS" of a JPEG file that no decoder here opens; "" for others."""
    if not data.startswith(b"\xff\xd8\xff"):
        return ""
    for marker, content in segments(data):
        if marker == 0xF7:
            return "JPEG-LS"
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES and content:
            kind = "lossless JPEG" if marker in _LOSSLESS else "JPEG"
            return f"{kind} of {content[0]} bits a sample" if content[0] != 8 else ""
    return ""


def without_end_marker(data: bytes, open_image: Callable[[bytes], Image.Image]) -> Image.Image | None:
    """The picture of a JPEG that lacks its end marker alone, loaded; None where more is missing.

    What is missing of the last scan, a decoder makes up from whatever follows: different ends give different
    pictures. Where nothing is missing, they are the same. One of the ends goes on after each restart marker, since
    a decoder fills up the rest of a scan that stops at one with nothing.
    """
    if not _has_all_scans(data):
        return None
    first = None
    for end in _ENDS:
        image = open_image(data + end + _END)
        try:
            image.load()
        except OSError:
            return None
        if first is not None and image.tobytes() != first.tobytes():
            return None
        first = first or image
    return first


_NOISE = bytes((i * 89 + 32) % 255 for i in range(255))
_ENDS = [b"", *(_NOISE[start:] + _NOISE[:start] for start in (0, 60, 120, 180))]
_ENDS += [b"".join(bytes([0xFF, number]) + end for number in _RESTARTS) * 2 for end in _ENDS[1:3]]


def _has_all_scans(data: bytes) -> bool:
    """Whether the scans that a file has begun bring every coefficient of every component to its last bit.

    A progressive file cut between two scans is a whole picture, only a worse one.
    """
    missing: dict[int, list[bool]] = {}
    for marker, content in segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES and len(content) > 5:
            missing = {number: [True] * _COEFFICIENTS for number in content[6 : 6 + 3 * content[5] : 3]}
        if marker == 0xDA and content:
            count = content[0]
            if len(content) < 4 + 2 * count:
                return False
            low, high, bits = content[1 + 2 * count : 4 + 2 * count]
            for number in content[1 : 1 + 2 * count : 2]:
                if number in missing and not bits & 0xF:
                    missing[number][low : high + 1] = [False] * (min(high, _COEFFICIENTS - 1) - low + 1)
    return bool(missing) and not any(any(bits) for bits in missing.values())
