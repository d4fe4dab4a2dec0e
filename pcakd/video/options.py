"""How clips are cut into shots, followed and encoded, as options: without PyAV and PyTorch."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Literal

from pcakd.errors import UsageError
from pcakd.fields import Bounds, check_fields

VideoCodec = Literal["same", "h264", "hevc", "vp9", "av1", "prores", "ffv1"]

INSTALL = 'pip install "pcakd[video]"'

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
"""Of results. Everything that FFmpeg reads is read."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How a clip is cut into shots, and how its result is encoded."""

    cut: Annotated[float, Bounds(1, 255)] = 12.0
    """A frame begins a shot where its thumbnail differs by so much from the one before, in levels of 255 in the mean,
    and three times as much as the frames around do."""
    one_shot: bool = False
    """The whole clip is one shot: one look for all of it."""
    follow: Annotated[float, Bounds(0, 3600)] = 0.0
    """Seconds over which a look follows changing light within a shot; 0 holds one look for the whole shot."""
    light: Literal["keep", "ignore"] = "keep"
    """Where light changes within a shot whose look is held. keep: the result brightens and darkens as the clip does;
    ignore: every brightness becomes what the look makes of it, whenever it is seen."""
    codec: VideoCodec = "same"
    """Of the result. same: the clip's own where it can be written, else h264 (.webm: vp9)."""
    crf: Annotated[int | None, Bounds(0, 63)] = None
    """Quality of the encoder, lower is better and larger; not given: 18 (h264), 20 (hevc), 24 (vp9), 26 (av1)."""

    def __post_init__(self) -> None:
        check_fields(self)


def need_video(what: str) -> None:
    """Called before `what` touches a clip. Raises UsageError where the extra is missing."""
    if find_spec("av") is None:
        raise UsageError(f"{what} needs av, not installed here; install the extra: {INSTALL}")
