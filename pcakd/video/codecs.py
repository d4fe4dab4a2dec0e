"""Which encoder writes what, in which pixel format, how well; and which file takes which codec."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import av
from av import Codec
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from pcakd.errors import UsageError
from pcakd.video.clip import Clip
from pcakd.video.options import SUFFIXES, VideoOptions

_THREADS = 4
"""Of an encoder: a fixed number, since its bytes depend on it."""


@dataclass(frozen=True)
class _Kind:
    """An encoder. crf: its default quality; preset: options between fast and small; reorder: frames that it may hold
    back to send them in another order."""

    encoder: str
    crf: int | None
    preset: Mapping[str, str]
    reorder: int = 0


_NO_AVX512 = "asm=MMX2,SSE2Fast,SSSE3,SSE4.2,AVX,FMA3,BMI2,AVX2"
"""x264's code for AVX-512 takes memory into account that it has not written: now and then the same frames become other
bytes (seen in its build 165, in the tree of macroblocks). Where there is AVX-512, all of these are."""

_X265 = f"log-level=error:frame-threads=2:pools={_THREADS}"
_KINDS = {
    "h264": _Kind("libx264", 18, {"preset": "fast"}, 2),
    "hevc": _Kind("libx265", 20, {"preset": "fast", "x265-params": _X265}, 2),
    "vp9": _Kind("libvpx-vp9", 24, {"deadline": "good", "cpu-used": "4", "row-mt": "1", "b": "0"}),
    "av1": _Kind("libsvtav1", 26, {"preset": "8", "svtav1-params": f"lp={_THREADS}"}),
    "prores": _Kind("prores_ks", None, {}),
    "ffv1": _Kind("ffv1", None, {"level": "3", "g": "1"}),
}

_EVEN = ("libx264", "libx265", "libsvtav1")
"""These take odd sizes where every pixel has a colour of its own, if at all."""

_TAKEN = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".m4v": ("h264", "hevc"),
    ".mov": ("h264", "hevc", "prores"),
    ".mkv": tuple(_KINDS),
    ".webm": ("vp9", "av1"),
}
_TAGS = {("hevc", ".mp4"): "hvc1", ("hevc", ".mov"): "hvc1", ("hevc", ".m4v"): "hvc1"}  # what Apple's players ask for


@dataclass(frozen=True)
class Writing:
    """How a result is encoded: everything that an encoder is told, the same for each segment.

    name: of the codec; pixels: format of the frames; settings: encoder's own options; tag: of the codec in the file.
    """

    name: str
    pixels: str
    settings: Mapping[str, str]
    alpha: bool
    tag: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def encoder(self) -> str:
        """FFmpeg's name of it."""
        return _KINDS[self.name].encoder

    @property
    def reorder(self) -> int:
        """Frames that it may hold back."""
        return _KINDS[self.name].reorder

    def context(self, clip: Clip) -> VideoCodecContext:
        """A fresh encoder for frames of the clip's size."""
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 tells its settings on standard error, unless told to err alone
        context = cast(VideoCodecContext, av.CodecContext.create(self.encoder, "w"))
        self.set_up(context, clip)
        context.open()
        return context

    def set_up(self, context: VideoCodecContext, clip: Clip) -> None:
        """Tell an encoder all there is, its thread count, too."""
        context.width, context.height, context.pix_fmt = clip.width, clip.height, self.pixels
        context.time_base, context.framerate = clip.time_base, Fraction(clip.rate)
        context.flags |= Flags.global_header
        context.thread_count, context.thread_type = _THREADS, "AUTO"  # PyAV's own choice cuts frames into slices
        context.options = dict(self.settings)
        tags = clip.tags
        context.colorspace, context.color_range = tags.matrix, tags.range
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if self.pixels.startswith(("gbr", "rgb", "bgr")):
            context.colorspace = 0
        if clip.aspect:
            context.sample_aspect_ratio = clip.aspect


def check_target(target: Path) -> str:
    """The suffix of a result. Raises UsageError for one that no clip is written with."""
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        hint = "; `pcakd stylize` writes animated pictures" if suffix in (".gif", ".webp", ".png") else ""
        raise UsageError(f"{target}: clips are written as {', '.join(SUFFIXES)}{hint}")
    return suffix


def choose_writing(clip: Clip, target: Path, options: VideoOptions) -> Writing:
    """How a clip's result is encoded into a file of that name. Raises UsageError for a codec it has no room for."""
    suffix = check_target(target)
    taken = _TAKEN[suffix]
    name: str = options.codec
    if name == "same":
        name = clip.codec if clip.codec in taken else taken[0]
    if name not in taken:
        raise UsageError(f"{target}: {suffix} has no room for {name}; it takes {', '.join(taken)}")
    kind = _KINDS[name]
    if options.crf is not None and kind.crf is None:
        raise UsageError(f"crf is {options.crf}: {name} has none; leave it out")
    pixels, notes = _pixels(kind, clip)
    settings = dict(kind.preset)
    if kind.encoder == "libx264" and _has_avx512():
        settings["x264-params"] = _NO_AVX512
    if kind.crf is not None:
        settings["crf"] = str(kind.crf if options.crf is None else options.crf)
    alpha = clip.alpha and any(c.is_alpha for c in av.VideoFormat(pixels).components)
    if clip.alpha and not alpha:
        notes = (*notes, f"transparency is left out: {name} is written without")
    return Writing(name, pixels, settings, alpha, _TAGS.get((name, suffix)), notes)


def _pixels(kind: _Kind, clip: Clip) -> tuple[str, tuple[str, ...]]:
    """The clip's pixel format where the encoder takes it, else the nearest that it does; and what to say of it."""
    offered = [offer.name for offer in Codec(kind.encoder, "w").video_formats or ()]
    own, sampling = clip.pixels, _sampling(av.VideoFormat(clip.pixels))
    odd = kind.encoder in _EVEN and (clip.width % 2 or clip.height % 2)
    if own in offered and not (odd and sampling != "444"):
        return own, ()
    order = ("444", "422", "420") if odd or sampling == "444" else (sampling, "444", "422", "420")
    depths = ("10le", "12le", "16le", "") if clip.deep else ("", "10le")
    families = ("yuva", "yuv") if clip.alpha else ("yuv", "yuva")
    names = [f"{family}{chroma}p{depth}" for family in families for chroma in order for depth in depths]
    found = next((name for name in names if name in offered), offered[0])
    said = "odd size: colours are kept at full resolution (4:4:4), which some players do not show"
    return found, (said,) if odd and "444" in found else ()


@cache
def _has_avx512() -> bool:
    try:
        return " avx512f" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _sampling(pixels: av.VideoFormat) -> str:
    """444, 422 or 420. RGB counts as 420, which every player shows."""
    if pixels.is_rgb or len(pixels.components) < 3:
        return "420"
    across, down = pixels.chroma_width(16), pixels.chroma_height(16)
    return "444" if across == 16 else "422" if down == 16 else "420"
