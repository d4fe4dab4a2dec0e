"""A decoded photo: the one thing that every path through the project takes and gives."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from pcakd.photos.colour import SRGB_PROFILE, in_profile
from pcakd.photos.depth import to_8_bits, to_16_bits
from pcakd.photos.metadata import NONE, PhotoMetadata

Depth = Literal["same", "8", "16"]
DEPTHS: tuple[Depth, ...] = ("same", "8", "16")
"""Bits a channel that a result may be asked for."""

Gamut = Literal["srgb", "source"]
GAMUTS: tuple[Gamut, ...] = ("srgb", "source")
"""Colour spaces that a result may be asked for: sRGB, or the photo's own."""


@dataclass(frozen=True)
class Timing:
    """Of an animation. durations: milliseconds, one a frame; loop: how often it is shown, 0 for ever."""

    durations: tuple[float, ...]
    loop: int = 0


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One decoded photo, upright.

    rgb:    array H×W×3, uint8, or uint16 (0..65535) for deep photos; sRGB-encoded.
    alpha:  array H×W of the same type, straight (not multiplied into `rgb`), or None for an opaque photo.
    bits:   what the result is to have a channel, where its format has it: 8 or 16.
    metadata: what is carried to the result.
    format: Pillow's name of the encoding the photo came in, or None (array, PIL image).
    profile: the ICC profile of the result, b"" for none (then sRGB is meant). sRGB's for photos that came with a
            profile; the photo's own where its gamut is kept.
    beyond: where the gamut is kept: what of the photo lies outside sRGB, float16 H×W×3 to be added to `rgb` / 65535
            before the way back into `profile`; else None.
    lossless: whether it came in a lossless kind of a format that has both (WebP).
    frames: the further frames of an animation or pages of a TIFF, each a photo without frames of its own.
    timing: of an animation; None for pages.
    notes:  what is not as one might think, in words: "the first of 2 pictures in it".

    A path that changes colours puts its result in place with `with_pixels` and gives everything else on.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8
    metadata: PhotoMetadata = field(default=NONE, repr=False)
    format: str | None = None
    profile: bytes = field(default=b"", repr=False)
    beyond: np.ndarray | None = field(default=None, repr=False)
    lossless: bool = False
    frames: tuple["Photo", ...] = field(default=(), repr=False)
    timing: Timing | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def rgb8(self) -> np.ndarray:
        """The colours as uint8, whatever the depth."""
        return self.rgb if self.rgb.dtype == np.uint8 else to_8_bits(self.rgb)

    @property
    def plain(self) -> bool:
        """Whether colours and alpha of 8 bits are all the pixels there are: no further frames, nothing beyond sRGB."""
        return self.rgb.dtype == np.uint8 and not self.frames and self.beyond is None and self.bits == 8

    @property
    def pages(self) -> tuple["Photo", ...]:
        """All frames, this one first."""
        return (self, *self.frames)

    def with_pixels(self, rgb: np.ndarray) -> "Photo":
        """This photo with other colours: uint8 or uint16 H×W×3 of the same size; alpha is adapted to the type."""
        alpha = self.alpha
        if alpha is not None and alpha.dtype != rgb.dtype:
            alpha = to_8_bits(alpha) if rgb.dtype == np.uint8 else to_16_bits(alpha)
        return replace(self, rgb=rgb, alpha=alpha)

    def visible(self) -> np.ndarray | None:
        """How much each pixel counts in statistics: float32 H×W in 0..1.

        None where all count alike: the photo is opaque, or nothing of it is seen.
        """
        if self.alpha is None:
            return None
        top = np.iinfo(self.alpha.dtype).max
        if self.alpha.min() == top or not self.alpha.any():
            return None
        return self.alpha.astype(np.float32) / top

    def encoded(self, bits: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(colours, alpha) as they are written with `profile`: uint8 or uint16, rounded once."""
        rgb = self.rgb
        if self.beyond is not None or (self.profile and self.profile != SRGB_PROFILE):
            rgb = in_profile(rgb if rgb.dtype == np.uint16 else to_16_bits(rgb), self.beyond, self.profile)
        return _as_bits(rgb, bits), None if self.alpha is None else _as_bits(self.alpha, bits)


def _as_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    if (samples.dtype == np.uint16) == (bits == 16):
        return samples
    return to_16_bits(samples) if bits == 16 else to_8_bits(samples)
