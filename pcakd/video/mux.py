"""Packets of pictures, and everything of the clip that is copied, into a file that appears whole or not at all."""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
from av import Packet
from av.container import InputContainer, OutputContainer

from pcakd.errors import FatalError, UsageError
from pcakd.files import whole_file
from pcakd.video.clip import Clip, opened
from pcakd.video.codecs import Writing, check_target
from pcakd.video.segments import EncodedPacket

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_OWN = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
"""Entries of a file's metadata that are of the file itself."""
_SILENT = b"\0\0"


def write_clip(
    clip: Clip, target: Path, writing: Writing, packets: Iterable[EncodedPacket], *, name: str = ""
) -> list[str]:
    """Write a result; what was left out, in words. name: of it in errors, where that is not the target's.

    Audio, subtitles, attachments, chapters and metadata are copied. Raises UsageError for audio that the file has no
    room for, FatalError for a disk that is full. Whatever happens, the target is whole or as it was.
    """
    suffix, name = check_target(target), name or str(target)
    # Bit-exact: no random numbers in the file. Matroska keeps no time to decode: none is moved for it.
    options = {"fflags": "+bitexact"} | ({"avoid_negative_ts": "disabled"} if suffix in (".mkv", ".webm") else {})
    try:
        with (
            whole_file(target) as temporary,
            closing(opened(clip.path)) as source,
            av.open(str(temporary), "w", format=_FORMATS[suffix], options=options) as out,
        ):
            notes = _fill(clip, name, writing, packets, source, out)
    except (av.FFmpegError, OSError) as error:
        said = getattr(error, "strerror", None) or error
        raise FatalError(f"{name}: cannot be written ({said})") from None
    return notes


def _fill(
    clip: Clip,
    name: str,
    writing: Writing,
    packets: Iterable[EncodedPacket],
    source: InputContainer,
    out: OutputContainer,
) -> list[str]:
    own = source.streams[clip.index]
    picture: Any = out.add_stream(writing.encoder, Fraction(clip.rate), time_base=clip.time_base)
    writing.set_up(picture.codec_context, clip)
    picture.time_base = clip.time_base
    picture.metadata.update(own.metadata)
    if writing.tag:
        picture.codec_context.codec_tag = writing.tag
    if clip.matrix is not None:
        picture.set_display_matrix(list(clip.matrix))
    copied, notes = _copied(clip, name, source, out)
    out.metadata.update({key: value for key, value in source.metadata.items() if key not in _OWN})
    if chapters := source.chapters():
        out.set_chapters(chapters)
    waiting = _beside(source, copied)
    beside = next(waiting, None)
    for packet in _timed(packets, clip, writing):
        packet.stream = picture
        packet.time_base = clip.time_base
        while beside is not None and _when(beside) <= _when(packet):
            out.mux_one(beside)
            beside = next(waiting, None)
        out.mux_one(packet)
    while beside is not None:
        out.mux_one(beside)
        beside = next(waiting, None)
    return notes


def _timed(packets: Iterable[EncodedPacket], clip: Clip, writing: Writing) -> Iterator[Packet]:
    """Packets with the time to decode them: of the nth, when the frame is shown that is `reorder` before the nth.

    MP4 and MOV keep durations as distances of these times: the last is such that they add up to the clip's own.
    """
    first, last, end, count = 0, None, 0, 0
    for encoded, time in _in_time(packets, writing.reorder):
        if last is not None:
            yield last
        last = Packet(encoded.data)
        last.pts, last.dts, last.duration, last.is_keyframe = encoded.time, time, encoded.duration, encoded.key
        first, end, count = (time if count == 0 else first), max(end, encoded.time + encoded.duration), count + 1
    if last is None:
        return
    assert last.dts is not None
    whole = clip.duration if count == clip.counted else end - clip.start
    if whole and last.duration and first + whole > last.dts:
        last.duration = first + whole - last.dts
    yield last


def _in_time(packets: Iterable[EncodedPacket], reorder: int) -> Iterator[tuple[EncodedPacket, int]]:
    """(packet, time to decode it). The first ones go as far ahead as the frame is shown later that is `reorder` on."""
    waiting = iter(packets)
    # Among so many are the first frames, whatever order they come in.
    ahead = list(islice(waiting, 2 * reorder + 1))
    shown = sorted(packet.time for packet in ahead)
    if not shown:
        return
    early = [time - (shown[min(reorder, len(shown) - 1)] - shown[0]) for time in shown[:reorder]]
    shown = []
    for number, packet in enumerate(chain(ahead, waiting)):
        heapq.heappush(shown, packet.time)
        yield packet, early[number] if number < reorder else heapq.heappop(shown)


def _copied(clip: Clip, name: str, source: InputContainer, out: OutputContainer) -> tuple[dict[int, Any], list[str]]:
    """(index in the source → stream of the result, what was left out)."""
    copied: dict[int, Any] = {}
    notes: list[str] = []
    for stream in source.streams:
        if stream.index == clip.index:
            continue
        codec = stream.codec_context.name if stream.codec_context else stream.type
        try:
            if stream.type not in ("audio", "subtitle", "attachment"):
                raise ValueError
            made = out.add_stream_from_template(stream)
        except (ValueError, av.FFmpegError):
            if stream.type == "audio":
                raise UsageError(f"{name}: has no room for the clip's audio ({codec}); a result in .mkv has") from None
            notes.append(f"a stream of {stream.type} ({codec}) is left out")
            continue
        made.metadata.update(stream.metadata)
        made.disposition = stream.disposition
        if stream.type != "attachment":
            copied[stream.index] = made
    return copied, notes


def _beside(source: InputContainer, copied: dict[int, Any]) -> Iterator[Packet]:
    """The packets of the streams that are copied, in the file's order."""
    if not copied:
        return
    packets = source.demux([source.streams[index] for index in copied])
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # truncated
            return
        if packet is None:
            return
        # Where nothing is said, MP4 and MOV have an empty subtitle, which is made anew.
        if packet.dts is not None and not (bytes(packet) == _SILENT and packet.stream.codec_context.name == "mov_text"):
            packet.stream = copied[packet.stream_index]
            yield packet


def _when(packet: Packet) -> Fraction:
    assert packet.dts is not None
    return packet.dts * packet.time_base
