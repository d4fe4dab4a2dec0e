"""Clips made of a real photo: a camera that pans, light that changes, a cut; and what a file says of its streams."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags

from tests.corpus import source_photo

SIZE = (160, 120)

_ASS = b"[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Layer, Start, End, Style, Text\n"
"""The header of styles that encoders of subtitles ask for."""
PLAIN_X265 = {"x265-params": "log-level=error:pools=2"}
"""Its encoder tells its settings on standard error, unless told not to."""
_SUBTITLES = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "srt", ".webm": "webvtt"}


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
    subtitles: tuple[str, ...] = (),
    rotation: int = 0,
    aspect: Fraction | None = None,
    tags: tuple[int, int, int, int] | None = None,
    interlaced: bool = False,
    metadata: dict[str, str] | None = None,
    chapters: tuple[str, ...] = (),
    attachment: bytes = b"",
    file: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """A clip of 25 frames a second, or shown at `times` in 1/1000 s.

    pictures: RGB, or RGBA. subtitles: a line each 40 ms, from the second frame on; chapters: a name each 40 ms. tags:
    range, matrix, primaries, transfer. file: options of its container; options: of the encoder.
    """
    pictures = list(pictures)
    with av.open(str(path), "w", options=file or {}) as out:
        stream: Any = out.add_stream(codec, 25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, context = pixels, stream.codec_context
        context.options = options
        if tags:
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = tags
        if rotation:
            stream.set_display_rotation(rotation)
        if aspect:
            context.sample_aspect_ratio = aspect
        if interlaced:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        if times:
            context.time_base = Fraction(1, 1000)
        out.metadata.update(metadata or {})
        sound: Any = out.add_stream(audio, 48000) if audio else None
        words: Any = None
        if subtitles:
            words = out.add_stream(_SUBTITLES[path.suffix])
            words.time_base = words.codec_context.time_base = Fraction(1, 1000)
            words.codec_context.subtitle_header = _ASS
            words.metadata["language"] = "dan"
        if attachment:
            out.add_attachment("font.ttf", "font/ttf", attachment)
        if chapters:
            out.set_chapters(
                [
                    {
                        "id": number,
                        "start": number * 40,
                        "end": number * 40 + 40,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": name},
                    }
                    for number, name in enumerate(chapters)
                ]
            )
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24" if picture.shape[2] == 3 else "rgba")
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
        for number, line in enumerate(subtitles, 1):
            content = line.encode()
            if path.suffix in (".mp4", ".mov"):
                content = len(content).to_bytes(2, "big") + content
            said = av.Packet(content)
            said.stream, said.time_base = words, Fraction(1, 1000)
            said.pts = said.dts = number * 40
            said.duration = 40
            out.mux(said)
    return path


def packets(path: Path, kind: str) -> list[tuple[Fraction, int, bytes]]:
    """(time in seconds, duration, content) of each packet of a stream, in the order of time."""
    with av.open(str(path)) as clip:
        stream = next(stream for stream in clip.streams if stream.type == kind)
        found = [(p.pts * p.time_base, p.duration, bytes(p)) for p in clip.demux(stream) if p.pts is not None]
    return sorted(found)


def probed(path: Path) -> dict[str, Any]:
    """What a program such as ffprobe says of a file: each stream, its packets, and what its pictures look like.

    Packets are (time in seconds, duration in seconds, content), of pictures without the content; in MP4 and MOV, which
    keep distances of the times to decode instead, without the duration.
    """
    found: dict[str, Any] = {"streams": []}
    with av.open(str(path)) as clip:
        held: dict[int, list] = defaultdict(list)
        for packet in clip.demux():
            if packet.pts is not None:
                whole = packet.pts * packet.time_base, (packet.duration or 0) * packet.time_base, bytes(packet)
                told = 3 if packet.stream.type != "video" else 1 if "mp4" in clip.format.name else 2
                held[packet.stream_index].append(whole[:told])
        for stream in clip.streams:
            context: Any = stream.codec_context
            own = {
                "type": stream.type,
                "codec": context.codec.canonical_name if context and stream.type != "attachment" else None,
                "packets": sorted(held[stream.index]),
                "language": stream.metadata.get("language"),
                "disposition": int(stream.disposition),
            }
            if isinstance(stream, av.VideoStream):
                own["rate"], own["aspect"] = stream.average_rate, stream.sample_aspect_ratio
            if isinstance(stream, av.AudioStream):
                own["sound"] = (context.sample_rate, context.layout.name, context.extradata)
            found["streams"].append(own)
        found["duration"] = clip.duration
        found["chapters"] = [(one["start"] * one["time_base"], one["metadata"]) for one in clip.chapters()]
        found["title"] = clip.metadata.get("title")
    with av.open(str(path)) as clip:
        frames = list(clip.decode(video=0))
        first = frames[0]
        beside: Any = first.side_data
        matrix = beside.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
        found |= {
            "frames": [frame.pts * frame.time_base for frame in frames],
            "size": (first.width, first.height),
            "pixels": first.format.name,
            "tags": (first.color_range, first.colorspace, first.color_primaries, first.color_trc),
            "matrix": None if matrix is None else tuple(memoryview(matrix).cast("i")),
        }
    return found
