"""Clips made of a real photo: a camera that pans, light that changes, a cut."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.corpus import source_photo

SIZE = (160, 120)


def pan(frames: int, *, name: str = "china.jpg", step: int = 2, size: tuple[int, int] = SIZE) -> Iterator[np.ndarray]:
    """uint8 height×width×3, a camera that moves by `step` pixels a frame."""
    photo, (width, height) = np.asarray(source_photo(name)), size
    for number in range(frames):
        left = number * step
        yield np.ascontiguousarray(photo[100 : 100 + height, left : left + width])


def write(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: list[int] | None = None,
    audio: str = "",
    rotation: int = 0,
    tags: tuple[int, int, int, int] | None = None,
) -> Path:
    """A clip of 25 frames a second, or shown at `times` in 1/1000 s. tags: range, matrix, primaries, transfer."""
    pictures = list(pictures)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, 25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        if tags:
            context = stream.codec_context
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = tags
        if rotation:
            stream.set_display_rotation(rotation)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = out.add_stream(audio, 48000) if audio else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = (times[number], Fraction(1, 1000)) if times else (number, Fraction(1, 25))
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if sound is not None:
            for start in range(0, 1920 * len(pictures), 960):
                wave = np.sin(np.arange(start, start + 960) * 0.05).astype(np.float32)[None].repeat(2, 0)
                tone = av.AudioFrame.from_ndarray(wave, "fltp", "stereo")
                tone.sample_rate, tone.pts = 48000, start
                out.mux(sound.encode(tone))
            out.mux(sound.encode())
    return path


def packets(path: Path, kind: str) -> list[tuple[Fraction, int, bytes]]:
    """(time in seconds, duration, content) of each packet of a stream, in the order of time."""
    with av.open(str(path)) as clip:
        stream = next(stream for stream in clip.streams if stream.type == kind)
        found = [(p.pts * p.time_base, p.duration, bytes(p)) for p in clip.demux(stream) if p.pts is not None]
    return sorted(found)
