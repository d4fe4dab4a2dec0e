"""Where a photo says what its colours are, and the way from there to sRGB and back.

In the order of trust: an ICC profile; PNG's cICP, then sRGB, then gAMA and cHRM chunks; AVIF's colour box; EXIF's
word for Adobe RGB. A photo that says nothing is sRGB.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from pcakd.errors import PhotoError
from pcakd.photos.icc import ADOBE_PROFILE, ADOBE_RGB, Space, gamma_space, is_srgb, matrix_profile, parse_profile


def _dated(profile: bytes) -> bytes:
    """An ICC profile made on a fixed day: the library writes this very second into it, and two runs over one photo are
    to give the same bytes."""
    return profile[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + profile[36:]


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB_PROFILE = _dated(SRGB.tobytes())
"""The sRGB colour profile, for results of photos that came with a profile of their own."""

_D65 = (0.3127, 0.3290)
_REC709 = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])
_P3 = np.array([[0.680, 0.320], [0.265, 0.690], [0.150, 0.060]])
_REC2020 = np.array([[0.708, 0.292], [0.170, 0.797], [0.131, 0.046]])
_PRIMARIES = {1: _REC709, 9: _REC2020, 12: _P3}
_HDR = {16: "PQ", 18: "HLG"}
_ROWS_PIXELS = 1 << 18  # converted at a time


@dataclass(frozen=True)
class ToldColours:
    """What a photo says of its colours. profile: the ICC profile in it, b"" for none; space: where it is told
    otherwise, or None: then it is sRGB; own: an ICC profile of that space, for results that keep it."""

    profile: bytes = b""
    space: Space | None = None
    own: bytes = b""


def told(image: Image.Image, data: bytes, adobe_rgb: bool, name: str) -> ToldColours:
    """What an opened image says. Raises PhotoError "unsupported" for high dynamic range, which sRGB cannot show."""
    code = _cicp(image.format, data)
    if code is not None and code[1] in _HDR:
        raise PhotoError(
            f"{name}: is a high-dynamic-range picture ({_HDR[code[1]]}), which is not read; export it as SDR",
            reason="unsupported",
        )
    if profile := image.info.get("icc_profile"):
        return ToldColours(bytes(profile))
    if code is not None and code[0] in _PRIMARIES and code[0] != 1:
        return _primaries_told(_PRIMARIES[code[0]], "Display P3" if code[0] == 12 else "Rec. 2020 primaries")
    if code is None and image.format == "PNG" and "gamma" in image.info and "srgb" not in image.info:
        return _chunks_told(image.info)
    return ToldColours(space=ADOBE_RGB, own=ADOBE_PROFILE) if adobe_rgb else ToldColours()


def _primaries_told(primaries: np.ndarray, name: str) -> ToldColours:
    """A space with sRGB's curve (told by number, as phones do)."""
    space = gamma_space(primaries, _D65, 2.2)
    curves = parse_profile(SRGB_PROFILE)
    assert curves is not None
    return ToldColours(space=Space(space.matrix, curves.curves, curves.inverses), own=matrix_profile(space, 2.2, name))


def _chunks_told(info: dict) -> ToldColours:
    gamma, points = info.get("gamma"), info.get("chromaticity")
    try:
        exponent = 1 / float(gamma) if gamma else None
        primaries, white = _REC709, _D65
        if points and len(points) == 8:
            white, primaries = tuple(map(float, points[:2])), np.array(points[2:], float).reshape(3, 2)  # type: ignore[assignment]
        if exponent is None or not 0.2 < exponent < 5 or min(white) <= 0:
            return ToldColours()  # cHRM without gAMA says nothing of the curve
        plain = np.abs(primaries - _REC709).max() < 0.002 and abs(white[0] - _D65[0]) < 0.002
        if abs(exponent * 0.45455 - 1) < 0.05:
            # 0.45455 stands for sRGB's own curve, which no exponent can say.
            if plain:
                return ToldColours()
            curves = parse_profile(SRGB_PROFILE)
            assert curves is not None
            space = gamma_space(primaries, white, 2.2)
            own = matrix_profile(space, 2.2, "PNG chunks")
            return ToldColours(space=Space(space.matrix, curves.curves, curves.inverses), own=own)
        space = gamma_space(primaries, white, exponent)
        return ToldColours(space=space, own=matrix_profile(space, exponent, "PNG chunks"))
    except (TypeError, ValueError, np.linalg.LinAlgError):
        return ToldColours()


def _cicp(format: str | None, data: bytes) -> tuple[int, int] | None:
    """(primaries, transfer) by the numbers of ITU-T H.273, where a PNG or AVIF says them."""
    if format == "PNG":
        at = data.find(b"cICP", 0, 1 << 16)
        pixels = data.find(b"IDAT", 0, 1 << 16)
        if at >= 0 and len(data) >= at + 6 and (pixels < 0 or at < pixels):
            return data[at + 4], data[at + 5]
    if format == "AVIF":
        at = data.find(b"colrnclx", 0, 1 << 16)
        if at >= 0 and len(data) >= at + 12:
            return struct.unpack_from(">HH", data, at + 8)
    return None


def space_of(colours: ToldColours) -> Space | None:
    """The space of a photo's samples where it is known as mathematics; None: sRGB, or a profile of tables."""
    return colours.space or (parse_profile(colours.profile) if colours.profile else None)


def to_srgb8(image: Image.Image, colours: ToldColours) -> np.ndarray:
    """A loaded 8-bit image of any mode as sRGB uint8 H×W×3 (a new array or a view that can be read)."""
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return np.asarray(ImageCms.profileToProfile(image, lab, SRGB, outputMode="RGB"))
    if image.mode in ("P", "PA", "1", "LA", "La", "RGBA", "RGBa", "RGBX", "YCbCr", "HSV"):
        image = image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
    if image.mode not in ("RGB", "L", "CMYK"):
        return np.asarray(image.convert("RGB"))
    if colours.space is not None and image.mode != "CMYK":
        return _by_table(np.asarray(image.convert("RGB")), colours.space)
    if colours.profile:
        if image.mode == "L":
            return _grey_by_profile(image, colours.profile)
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(colours.profile))
            return np.asarray(ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB"))
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged or mismatched profile: take the samples as sRGB, as browsers do
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _grey_by_profile(image: Image.Image, profile: bytes) -> np.ndarray:
    space = parse_profile(profile)
    if space is None or (space.matrix is not None and is_srgb(space)):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return np.asarray(ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB"))
        except (ImageCms.PyCMSError, OSError, ValueError):
            return np.asarray(image.convert("RGB"))
    # Little CMS takes 8-bit grey through a table too coarse for linear profiles: six levels off in the shadows.
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    curve = space.to_srgb(ramp if space.matrix is None else np.repeat(ramp[..., None], 3, -1))[0]
    return (curve.clip(0, 1) * 255).round().astype(np.uint8)[np.asarray(image)]


def _by_table(rgb: np.ndarray, space: Space) -> np.ndarray:
    out = np.empty_like(rgb)
    for rows in _row_slices(rgb):
        part = rgb[rows].astype(np.float32) / 255
        out[rows] = (space.to_srgb(part).clip(0, 1) * 255).round()
    return out


def _row_slices(array: np.ndarray) -> list[slice]:
    step = max(1, _ROWS_PIXELS // max(1, array.shape[1]))
    return [slice(start, start + step) for start in range(0, array.shape[0], step)]


def to_srgb16(
    samples: np.ndarray, space: Space | None, *, beyond: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples uint8 or uint16, H×W×3 or grey H×W, of a space (None: sRGB) → (sRGB uint16 H×W×3, what lies beyond).

    beyond: also give what is cut off at 0 and 1, float16 H×W×3 in sRGB's encoding, None where there is nothing.
    """
    height, width = samples.shape[:2]
    top = 65535 if samples.dtype == np.uint16 else 255
    out = np.empty((height, width, 3), np.uint16)
    rest = np.zeros((height, width, 3), np.float16) if beyond else None
    for rows in _row_slices(samples):
        part = samples[rows]
        if space is None:
            part = part if part.ndim == 3 else np.repeat(part[..., None], 3, axis=-1)
            out[rows] = part if top == 65535 else part.astype(np.uint16) * 257
            continue
        if space.matrix is not None and part.ndim == 2:
            part = np.repeat(part[..., None], 3, axis=-1)
        if space.matrix is None and part.ndim == 3:  # a grey profile on a colour picture: mismatched
            out[rows] = part if top == 65535 else part.astype(np.uint16) * 257
            continue
        encoded = space.to_srgb(part.astype(np.float32) / top)
        inside = encoded.clip(0, 1)
        out[rows] = (inside * 65535).round()
        if rest is not None:
            rest[rows] = encoded - inside
    return out, rest if rest is not None and rest.any() else None


def table_space(profile: bytes, mode: str = "RGB") -> Space | None:
    """A space that asks Little CMS: for profiles of tables, of RGB or CMYK. None where the profile is of another mode.

    From 52 nodes a channel (18 of CMYK), which 8 bits hit exactly; between them linear.
    """
    channels = len(mode)
    steps = np.arange(0, 256, 5 if channels == 3 else 15, dtype=np.uint8)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        cube = np.stack(np.meshgrid(*[steps] * channels, indexing="ij"), -1)
        image = Image.frombytes(mode, (cube.size // channels, 1), cube.tobytes())
        picture = ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    nodes = np.asarray(picture).reshape(*[len(steps)] * channels, 3).astype(np.float32) / 255
    return _TableSpace(np.eye(3), (), (), nodes)


def cmyk_as_rgb(samples: np.ndarray) -> np.ndarray:
    """uint16 CMYK H×W×4 that has no profile as RGB H×W×3: what paper of that white leaves, as Pillow has it."""
    out = np.empty((*samples.shape[:2], 3), np.uint16)
    for rows in _row_slices(samples):
        paper = 65535 - samples[rows].astype(np.int64)
        out[rows] = (paper[..., :3] * paper[..., 3:] + 32767) // 65535
    return out


@dataclass(frozen=True)
class _TableSpace(Space):
    nodes: np.ndarray

    def to_srgb(self, samples: np.ndarray) -> np.ndarray:
        if samples.ndim == 2:
            samples = np.repeat(samples[..., None], 3, axis=-1)
        channels, last = self.nodes.ndim - 1, len(self.nodes) - 1
        at = samples * last
        low = np.minimum(at.astype(np.int64), last - 1)
        share = at - low
        out = np.zeros((*samples.shape[:-1], 3), np.float32)
        for corner in np.ndindex(*[2] * channels):
            weight = np.prod(np.where(corner, share, 1 - share), axis=-1, keepdims=True)
            out += weight * self.nodes[tuple(low[..., i] + corner[i] for i in range(channels))]
        return out


def in_profile(rgb: np.ndarray, beyond: np.ndarray | None, profile: bytes) -> np.ndarray:
    """sRGB uint16 H×W×3, and what lies beyond, in a matrix profile's own encoding: uint16 H×W×3."""
    space = parse_profile(profile)
    assert space is not None
    out = np.empty_like(rgb)
    for rows in _row_slices(rgb):
        encoded = rgb[rows].astype(np.float32) / 65535
        if beyond is not None:
            encoded += beyond[rows].astype(np.float32)
        out[rows] = (space.from_srgb(encoded) * 65535).round()
    return out


def keeps_gamut(space: Space | None) -> bool:
    """Whether a space is worth keeping in a result: RGB, and not sRGB."""
    return space is not None and space.matrix is not None and not is_srgb(space)
