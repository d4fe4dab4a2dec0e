"""Frames of a clip as RGB and back, by the clip's own matrix and range: what goes out is tagged as what came in.

RGB here is the clip's own, as it is displayed: gamma-encoded, in its own primaries. Those of SDR (BT.601, BT.709) are
so near to sRGB that a style photo speaks of the same colours; wider ones (BT.2020, P3) are taken as if they were.
"""

from dataclasses import dataclass

import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from pcakd.errors import UsageError

PQ, HLG = 16, 18
_TRANSFERS = {PQ: "PQ", HLG: "HLG"}
_BT709, _FCC, _BT601, _SMPTE170M, _SMPTE240M, _BT2020 = 1, 4, 5, 6, 7, 9
_RGB, _UNKNOWN = 0, 2
_LIMITED, _FULL = 1, 2
_HD_HEIGHT = 720
"""From this height on a clip that does not say its matrix is BT.709, below BT.601, as players have it."""

# Without these, swscale rounds chroma down and takes every second pixel's.
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_SHRINK = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True)
class ColourTags:
    """What a clip says of its colours, as FFmpeg numbers it: written to the result as it is."""

    matrix: int
    range: int
    primaries: int
    transfer: int

    @classmethod
    def of(cls, frame: VideoFrame) -> "ColourTags":
        """What a decoded frame says."""
        return cls(int(frame.colorspace), int(frame.color_range), int(frame.color_primaries), int(frame.color_trc))

    def check(self, name: str) -> None:
        """Raises UsageError for high dynamic range: a style photo says nothing of it."""
        if self.transfer in _TRANSFERS:
            raise UsageError(
                f"{name}: is HDR ({_TRANSFERS[self.transfer]}), and looks are made for SDR; map it to SDR first"
            )


class FrameColours:
    """Conversions for the frames of one clip. Not thread-safe."""

    def __init__(self, tags: ColourTags, height: int, *, deep: bool) -> None:
        self.tags, self.deep = tags, deep
        known = tags.matrix in (_BT709, _FCC, _BT601, _SMPTE170M, _SMPTE240M, _BT2020)
        self._matrix = tags.matrix if known else _BT709 if height >= _HD_HEIGHT else _BT601
        self._to, self._back, self._small = VideoReformatter(), VideoReformatter(), VideoReformatter()

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """uint8 H×W×3, uint16 where the clip has more than 8 bits."""
        return self._converted(self._to, frame, "rgb48le" if self.deep else "rgb24", _EXACT).to_ndarray()

    def small(self, frame: VideoFrame, longest: int) -> np.ndarray:
        """uint8 h×w×3, at most `longest` pixels a side."""
        scale = min(1.0, longest / max(frame.width, frame.height))
        size = {"width": max(1, round(frame.width * scale)), "height": max(1, round(frame.height * scale))}
        return self._converted(self._small, frame, "rgb24", _SHRINK, **size).to_ndarray()

    def frame(self, rgb: np.ndarray, pixels: str, alpha: np.ndarray | None = None) -> VideoFrame:
        """RGB as `rgb` gives it as a frame of a pixel format, tagged."""
        if alpha is None:
            whole = VideoFrame.from_ndarray(rgb, "rgb48le" if rgb.dtype == np.uint16 else "rgb24")
        else:
            joined = np.concatenate([rgb, alpha[..., None]], -1)
            whole = VideoFrame.from_ndarray(joined, "rgba64le" if rgb.dtype == np.uint16 else "rgba")
        out = self._back.reformat(
            whole,
            format=pixels,
            dst_colorspace=self._matrix,
            src_color_range=_FULL,
            dst_color_range=self._range(pixels),
            interpolation=_EXACT,
        )
        out.colorspace, out.color_range = self.tags.matrix, self.tags.range
        out.color_primaries, out.color_trc = self.tags.primaries, self.tags.transfer
        return out

    def alpha(self, frame: VideoFrame) -> np.ndarray:
        """uint8 or uint16 H×W."""
        return self._converted(self._to, frame, "rgba64le" if self.deep else "rgba", _EXACT).to_ndarray()[..., 3]

    def _converted(self, by: VideoReformatter, frame: VideoFrame, wanted: str, how: int, **size: int) -> VideoFrame:
        return by.reformat(
            frame,
            format=wanted,
            src_colorspace=self._matrix,
            src_color_range=self._range(frame.format.name),
            dst_color_range=_FULL,
            interpolation=how,
            **size,
        )

    def _range(self, pixels: str) -> int:
        if pixels.startswith(("rgb", "bgr", "gbr", "pal8", "argb", "abgr", "yuvj")):
            return _FULL
        return _FULL if self.tags.range == _FULL else _LIMITED
