"""A clip opened and looked at: its picture stream, what lies beside it, and its frames in order."""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import IO, Any, Protocol

import av
from av import VideoFrame
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.stream import VideoStream

from pcakd.errors import NotFoundError, UsageError
from pcakd.video.colours import ColourTags

_PLAIN_RATE = Fraction(25)
"""Frames a second of a clip that says nothing of it."""
_AHEAD_S = 1.0
"""Reading begins so long before a mark: a file's index may tell when a frame is decoded, not when it is shown."""


class ClipPlace(Protocol):
    """Where a clip lies that is no local file; as text, its name in messages."""

    def open(self) -> IO[bytes]:
        """A seekable file, opened anew for each reading."""


@dataclass(frozen=True)
class Clip:
    """What a clip is, read from its first frame and its header.

    index: of the picture stream. width, height: of its frames as they are stored. pixels: their format. deep: more
    than 8 bits a channel. frames: as the header estimates, None where it does not say; counted, duration: what it says
    of them exactly, else 0. start: the first frame's time stamp. Both times are in `time_base`. matrix: the display
    matrix that players turn it by, nine numbers, or None. notes: what is not as one might think, in words.
    """

    path: Path | ClipPlace
    index: int
    codec: str
    width: int
    height: int
    pixels: str
    deep: bool
    alpha: bool
    rate: Fraction
    time_base: Fraction
    frames: int | None
    counted: int
    duration: int
    start: int
    tags: ColourTags
    aspect: Fraction | None
    matrix: tuple[int, ...] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timed:
    """A decoded frame and when it is shown. number: from 0; time: in the clip's time base, always growing."""

    number: int
    time: int
    frame: VideoFrame = field(repr=False)


@dataclass(frozen=True)
class Mark:
    """A frame that reading may begin at: its number and time, and what tells it from others, without its pixels."""

    number: int
    time: int
    print: int

    @classmethod
    def of(cls, timed: Timed) -> "Mark":
        """The mark of a frame."""
        small = timed.frame.reformat(width=64, height=64, format="gray").to_ndarray()
        return cls(timed.number, timed.time, zlib.crc32(small.tobytes()))


def open_clip(path: str | os.PathLike | ClipPlace) -> Clip:
    """Look at a clip. Raises NotFoundError, UsageError in one line: no clip, no picture stream, no frame, HDR."""
    if isinstance(path, str | os.PathLike):
        path = Path(path)
        if path.is_dir():
            raise UsageError(f"{path}: is a folder, not a clip")
    with closing(opened(path)) as container:
        stream = _picture_stream(container, path)
        first = next(_decoded(container, stream), None)
        if first is None:
            raise UsageError(f"{path}: has no frame that can be decoded")
        return _described(path, container, stream, first)


def opened(path: Path | ClipPlace) -> InputContainer:
    """The file, open for reading. Raises NotFoundError, UsageError."""
    try:
        file: Any = str(path) if isinstance(path, Path) else path.open()
        return av.open(file, "r", metadata_errors="ignore")
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such clip") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: is no clip that can be read ({said})") from None


def frames_of(clip: Clip, mark: Mark | None = None) -> Iterator[Timed]:
    """The frames of a clip in order, all or from a mark on; what is damaged is left out, as players do."""
    start = 0 if mark is None else mark.number
    if mark is not None and start:
        with closing(opened(clip.path)) as container:
            found = _timed(clip, _sought(container, _stream(container, clip), mark.time), start)
            first = next(found, None)
            if first is not None and Mark.of(first) == mark:
                yield from chain([first], found)
                return
    # Where a jump does not end at the mark, which files allow, all before it is decoded.
    with closing(opened(clip.path)) as container:
        yield from islice(_timed(clip, _decoded(container, _stream(container, clip)), 0), start, None)


def _stream(container: InputContainer, clip: Clip) -> VideoStream:
    stream = container.streams[clip.index]
    assert isinstance(stream, VideoStream)
    return stream


def _sought(container: InputContainer, stream: VideoStream, time: int) -> Iterator[VideoFrame]:
    assert stream.time_base is not None
    try:
        container.seek(time - round(_AHEAD_S / stream.time_base), stream=stream)
    except av.FFmpegError:
        return
    yield from dropwhile(lambda frame: frame.pts is None or frame.pts < time, _decoded(container, stream))


def _timed(clip: Clip, frames: Iterable[VideoFrame], start: int) -> Iterator[Timed]:
    last: int | None = None
    step = max(1, round(1 / (clip.rate * clip.time_base)))
    for number, frame in enumerate(frames, start):
        time = frame.pts
        # Without a time stamp, or with one that goes back, a frame is shown where its turn is.
        if time is None or (last is not None and time <= last):
            time = 0 if last is None else last + step
        last = time
        if (frame.width, frame.height) != (clip.width, clip.height) or frame.format.name != clip.pixels:
            frame = frame.reformat(width=clip.width, height=clip.height, format=clip.pixels)
        yield Timed(number, time, frame)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    stream.thread_type = "AUTO"
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # truncated: the frames so far are those that there are
            packet = None
        try:
            yield from stream.decode(packet)
        except av.EOFError:
            return
        except av.FFmpegError:
            if packet is not None:
                continue
            return
        if packet is None:
            return


def _picture_stream(container: InputContainer, path: Path | ClipPlace) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            if stream.codec_context is None:
                raise UsageError(f"{path}: its pictures are in a codec that cannot be read")
            return stream
    raise UsageError(f"{path}: has no video stream")


def _described(path: Path | ClipPlace, container: InputContainer, stream: VideoStream, first: VideoFrame) -> Clip:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate or _PLAIN_RATE
    assert stream.time_base is not None
    frames = stream.frames or _estimated(container, stream, rate)
    components = first.format.components
    clip = Clip(
        path=path,
        index=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        width=first.width,
        height=first.height,
        pixels=first.format.name,
        deep=max(component.bits for component in components) > 8,
        alpha=any(component.is_alpha for component in components) and _transparent(first),
        rate=rate,
        time_base=stream.time_base,
        frames=frames,
        counted=stream.frames,
        duration=stream.duration or 0,
        start=first.pts or 0,
        tags=ColourTags.of(first),
        aspect=stream.sample_aspect_ratio,
        matrix=_matrix(first),
    )
    clip.tags.check(str(path))
    return (
        replace(clip, notes=("interlaced: its fields stay lines of whole frames",)) if first.interlaced_frame else clip
    )


def _transparent(first: VideoFrame) -> bool:
    """Of a GIF every frame has alpha by its format: its first one says whether it is meant."""
    return not first.format.is_rgb or bool((first.to_ndarray(format="rgba")[..., 3] < 255).any())


def _estimated(container: InputContainer, stream: VideoStream, rate: Fraction) -> int | None:
    if stream.duration and stream.time_base:
        return round(stream.duration * stream.time_base * rate)
    return round(container.duration * rate / av.time_base) if container.duration else None


def _matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    beside: Any = frame.side_data  # a mapping by type, which its stubs do not say
    found = beside.get(Type.DISPLAYMATRIX)
    return None if found is None else tuple(memoryview(found).cast("i"))
