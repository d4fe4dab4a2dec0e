"""A stretch of frames → packets, by an encoder of its own: what it is does not depend on what came before."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av
from av import Packet, VideoFrame

from pcakd.errors import FatalError
from pcakd.video.clip import Clip
from pcakd.video.codecs import Writing

SEGMENT = 240
"""Frames that share an encoder. Each begins with a key frame."""


class EncodedPacket(NamedTuple):
    """A packet of pictures. time, duration: of its frame, in the clip's time base; 0 where that is not known."""

    data: bytes
    time: int
    duration: int
    key: bool


def encode_segment(clip: Clip, writing: Writing, frames: Iterable[VideoFrame]) -> Iterator[EncodedPacket]:
    """The packets of some frames, in the order that they are decoded in. Raises FatalError."""
    lasting: dict[int, int] = {}

    def kept(packet: Packet) -> EncodedPacket:
        assert packet.pts is not None
        return EncodedPacket(bytes(packet), packet.pts, lasting.pop(packet.pts, 0), packet.is_keyframe)

    try:
        context = writing.context(clip)
        for frame in frames:
            assert frame.pts is not None
            frame.time_base, lasting[frame.pts] = clip.time_base, frame.duration or 0
            yield from map(kept, context.encode(frame))
        yield from map(kept, context.encode(None))
    except (av.FFmpegError, OSError) as error:
        said = getattr(error, "strerror", None) or error
        raise FatalError(f"{clip.path}: {writing.encoder} cannot encode it ({said})") from None
