"""Colour spaces as mathematics: from ICC profiles of the matrix and grey kinds, from primaries and a gamma.

Little CMS, through Pillow, converts 8 bits of RGB, grey and CMYK; deep samples, PNG's chroma chunks and the way
back into a wide-gamut space are computed here, in float32. ICC.1:2022, sections 8.3, 10.6 and 10.18.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Curve = Callable[[np.ndarray], np.ndarray]

_TO_D50 = np.array(
    [[1.0478112, 0.0228866, -0.0501270], [0.0295424, 0.9904844, -0.0170491], [-0.0092345, 0.0150436, 0.7521316]]
)
"""Bradford, D65 → D50."""
_SRGB_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
SRGB_TO_XYZ = _TO_D50 @ _SRGB_XYZ
"""Linear sRGB → XYZ of ICC's connection space (D50)."""
XYZ_TO_SRGB = np.linalg.inv(SRGB_TO_XYZ)


@dataclass(frozen=True)
class Space:
    """An RGB or grey space. matrix: linear RGB → XYZ (D50), 3×3, None for grey; curves: sample 0..1 → linear light,
    one a channel; inverses: the other way, for linear light 0..1."""

    matrix: np.ndarray | None
    curves: tuple[Curve, ...]
    inverses: tuple[Curve, ...]

    def to_srgb(self, samples: np.ndarray) -> np.ndarray:
        """Samples float H×W×3 (grey: H×W) in 0..1 → sRGB-encoded float32 H×W×3; what lies outside sRGB's gamut is
        below 0 or above 1 (encoded with the curve mirrored at 0)."""
        if self.matrix is None:
            grey = srgb_encode(self.curves[0](samples))
            return np.repeat(grey[..., None], 3, axis=-1)
        linear = np.stack([curve(samples[..., i]) for i, curve in enumerate(self.curves)], axis=-1)
        return srgb_encode(linear @ (XYZ_TO_SRGB @ self.matrix).T.astype(np.float32))

    def from_srgb(self, encoded: np.ndarray) -> np.ndarray:
        """The way back, clipped to 0..1. Of an RGB space."""
        assert self.matrix is not None
        linear = srgb_decode(encoded) @ (np.linalg.inv(self.matrix) @ SRGB_TO_XYZ).T.astype(np.float32)
        linear = linear.clip(0, 1)
        return np.stack([inverse(linear[..., i]) for i, inverse in enumerate(self.inverses)], axis=-1)


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    """Linear light → sRGB's encoding, mirrored at 0."""
    size = np.abs(linear).astype(np.float32)
    curve = np.where(size <= 0.0031308, size * 12.92, 1.055 * np.maximum(size, 1e-9) ** (1 / 2.4) - 0.055)
    return np.copysign(curve, linear).astype(np.float32)


def srgb_decode(encoded: np.ndarray) -> np.ndarray:
    size = np.abs(encoded).astype(np.float32)
    curve = np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    return np.copysign(curve, encoded).astype(np.float32)


def parse_profile(profile: bytes) -> Space | None:
    """The space of a profile of the matrix or grey kind; None for other kinds, and for what is no profile."""
    try:
        kind, connection = profile[16:20], profile[20:24]
        tags = _tags(profile)
        if kind == b"GRAY" and b"kTRC" in tags:
            curve = _curve(tags[b"kTRC"])
            return Space(None, (curve,), (_inverse(curve),))
        # With a table (A2B0) beside the matrix, the table is what counts.
        if kind != b"RGB " or connection != b"XYZ " or b"A2B0" in tags:
            return None
        columns = [_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = tuple(_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        matrix = np.array(columns).T
        if abs(np.linalg.det(matrix)) < 1e-6:
            return None
        return Space(matrix, curves, tuple(_inverse(curve) for curve in curves))
    except (struct.error, KeyError, ValueError, IndexError):
        return None


def is_srgb(space: Space) -> bool:
    """Whether a space is sRGB but for rounding (an 8-bit level)."""
    if space.matrix is None:
        return False
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    cube = np.stack(np.meshgrid(ramp[::9], ramp[::9], ramp[::9], indexing="ij"), -1).reshape(1, -1, 3)
    colours = np.concatenate([cube, np.repeat(ramp[None, :, None], 3, -1)], axis=1)
    return bool(np.abs(space.to_srgb(colours) - colours).max() < 1 / 255)


def gamma_space(primaries: np.ndarray, white: tuple[float, float], gamma: float) -> Space:
    """Space of primaries 3×2 (x, y of red, green, blue), white (x, y) and sample ** gamma = linear light.

    Raises ValueError for primaries that span nothing.
    """
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in np.maximum(primaries, 1e-6)]).T
    point = np.array([white[0] / white[1], 1.0, (1 - white[0] - white[1]) / white[1]])
    if abs(np.linalg.det(columns)) < 1e-6:
        raise ValueError("primaries span nothing")
    matrix = _adapt(point) @ (columns * np.linalg.solve(columns, point))
    return Space(matrix, (_power(gamma),) * 3, (_power(1 / gamma),) * 3)


def _adapt(white: np.ndarray) -> np.ndarray:
    """Bradford adaptation from a white's XYZ to D50."""
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    ratio = (cone @ np.array([0.9642, 1.0, 0.8249])) / (cone @ white)
    return np.linalg.inv(cone) @ np.diag(ratio) @ cone


def _power(gamma: float) -> Curve:
    return lambda x: np.maximum(x, 0).astype(np.float32) ** np.float32(gamma)


def matrix_profile(space: Space, gamma: float, name: str) -> bytes:
    """An ICC profile (version 2.1, display) of a space with one gamma."""
    assert space.matrix is not None

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def text(kind: bytes, value: str) -> bytes:
        raw = value.encode("ascii") + b"\0"
        return (
            b"text\0\0\0\0" + raw
            if kind == b"text"
            else b"desc\0\0\0\0" + struct.pack(">I", len(raw)) + raw + bytes(78)
        )

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    parts = {b"desc": text(b"desc", name), b"cprt": text(b"text", "No copyright, use freely")}
    parts[b"wtpt"] = b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249)
    for letter, column in zip("rgb", space.matrix.T, strict=True):
        parts[f"{letter}XYZ".encode()] = b"XYZ \0\0\0\0" + fixed(*column)
        parts[f"{letter}TRC".encode()] = curve
    offset, table, body = 128 + 4 + 12 * len(parts), b"", b""
    for tag, content in parts.items():
        table += tag + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = offset + len(body)
    head = struct.pack(">I4xI4s4s4s12s4s", size, 0x02100000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp")
    head = head.ljust(68, b"\0") + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


ADOBE_GAMMA = 563 / 256
ADOBE_RGB = gamma_space(np.array([[0.64, 0.33], [0.21, 0.71], [0.15, 0.06]]), (0.3127, 0.3290), ADOBE_GAMMA)
ADOBE_PROFILE = matrix_profile(ADOBE_RGB, ADOBE_GAMMA, "Compatible with Adobe RGB (1998)")


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    found = {}
    for i in range(min(count, 200)):
        tag, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * i)
        found[tag] = profile[offset : offset + size]
    return found


def _xyz(tag: bytes) -> list[float]:
    if tag[:4] != b"XYZ ":
        raise ValueError("not XYZ")
    return [value / 65536 for value in struct.unpack_from(">3i", tag, 8)]


def _curve(tag: bytes) -> Curve:
    """A "curv" or "para" tag as a function."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return _power(1.0)
        if count == 1:
            return _power(struct.unpack_from(">H", tag, 12)[0] / 256)
        table = np.frombuffer(tag, ">u2", count, 12).astype(np.float64) / 65535
        steps = np.linspace(0, 1, count)
        return lambda x: np.interp(x, steps, table).astype(np.float32)
    if tag[:4] != b"para":
        raise ValueError("not a curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    number = (1, 3, 4, 5, 7)[kind]
    values = [value / 65536 for value in struct.unpack_from(f">{number}i", tag, 12)]
    g, a, b, c, d, e, f = (values + [0.0] * 7)[:7]
    if kind == 0:
        return _power(g)
    if kind in (1, 2):
        e = f = c if kind == 2 else 0.0  # Y = (aX+b)^g + c above -b/a, c below
        c, d = 0.0, -b / a
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f).astype(np.float32)


def _inverse(curve: Curve) -> Curve:
    """By table: curves rise. Denser near 0, where encodings are steep."""
    steps = np.linspace(0, 1, 4096) ** 2
    values = np.maximum.accumulate(curve(steps).astype(np.float64))
    return lambda y: np.interp(y, values, steps).astype(np.float32)
