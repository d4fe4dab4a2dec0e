"""The second pass over a clip: its frames through their looks, into a file or to whoever asks."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av import VideoFrame

from pcakd.errors import UsageError
from pcakd.stylize.clips.course import CoursePlan
from pcakd.stylize.clips.plan import Planner
from pcakd.stylize.look.look import Look
from pcakd.stylize.look.slicing import load_kernel
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.style import Style
from pcakd.stylize.stylizer import Stylizer
from pcakd.video.clip import Clip, Timed, frames_of, open_clip
from pcakd.video.codecs import Writing, choose_writing
from pcakd.video.colours import FrameColours
from pcakd.video.mux import write_clip
from pcakd.video.options import VideoOptions
from pcakd.video.segments import EncodedPacket, encode_segment

Told = Callable[[str, int, int | None], None]
"""Called with what is done ("reading", "writing"), how many frames of how many."""


class StylizedFrame(NamedTuple):
    """A frame in its look. rgb: uint8 H×W×3, uint16 of a clip of more than 8 bits; time: seconds."""

    rgb: np.ndarray
    time: float


def stylize_clip(
    stylizer: Stylizer,
    path: str | os.PathLike,
    target: Path,
    style: Style,
    options: StylizeOptions,
    video: VideoOptions,
    told: Told = lambda what, done, total: None,
) -> tuple[CoursePlan, list[str]]:
    """A clip from file to file; its shots, and what is not in the result, in words. Raises UsageError, FatalError."""
    clip = open_clip(path)
    writing = choose_writing(clip, target, video)
    plan = plan_clip(stylizer, clip, style, options, video, told)
    packets = encoded(clip, plan, writing, range(len(plan.marks)), lambda done: told("writing", done, plan.frames))
    notes = write_clip(clip, target, writing, packets)
    return plan, [*clip.notes, *writing.notes, *notes]


def encoded(
    clip: Clip,
    plan: CoursePlan,
    writing: Writing,
    segments: range,
    told: Callable[[int], None] = lambda done: None,
) -> Iterator[EncodedPacket]:
    """The packets of some segments, in order; they do not depend on which others are asked for with them.

    told: called with how many frames are done.
    """
    colours = FrameColours(clip.tags, clip.height, deep=clip.deep)
    starts = [*(mark.number for mark in plan.marks), plan.frames]
    frames, done = frames_of(clip, plan.marks[segments.start]), 0

    def counted(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        nonlocal done
        for frame in frames:
            done += 1
            told(done)
            yield frame

    for segment in segments:
        own = islice(frames, starts[segment + 1] - starts[segment])
        yield from encode_segment(clip, writing, counted(stylized(clip, plan, own, colours, writing)))


def plan_clip(
    stylizer: Stylizer,
    clip: Clip,
    style: Style,
    options: StylizeOptions,
    video: VideoOptions,
    told: Told = lambda what, done, total: None,
    look: Look | None = None,
) -> CoursePlan:
    """The first pass. look: that the clip shares with others.

    Raises UsageError for options that stylize every frame by itself.
    """
    if stylizer.rendering(options) == "full":
        raise UsageError(
            "clips are rendered by looks: a full rendering of each frame flickers; leave out --render full"
        )
    load_kernel()
    return Planner(stylizer, clip, style, options, video, look).plan(lambda done: told("reading", done, clip.frames))


def stylized(
    clip: Clip, plan: CoursePlan, frames: Iterable[Timed], colours: FrameColours, writing: Writing
) -> Iterator[VideoFrame]:
    """Frames as they are encoded. The next is decoded while one is sliced."""

    def one(timed: Timed) -> VideoFrame:
        rgb = _sliced(clip, plan, timed, colours)
        alpha = colours.alpha(timed.frame) if writing.alpha else None
        frame = colours.frame(rgb, writing.pixels, alpha)
        frame.pts, frame.duration = timed.time, timed.frame.duration
        return frame

    with ThreadPoolExecutor(1) as ahead:
        waiting = None
        for timed in frames:
            if waiting is not None:
                ready = waiting.result()
                waiting = ahead.submit(one, timed)
                yield ready
            else:
                waiting = ahead.submit(one, timed)
        if waiting is not None:
            yield waiting.result()


def video_frames(
    stylizer: Stylizer,
    path: str | os.PathLike,
    style: Style,
    options: StylizeOptions,
    video: VideoOptions,
) -> Iterator[StylizedFrame]:
    """The frames of a clip in their looks, in order. The clip is read twice."""
    clip = open_clip(path)
    plan = plan_clip(stylizer, clip, style, options, video)
    colours = FrameColours(clip.tags, clip.height, deep=clip.deep)
    for timed in frames_of(clip):
        yield StylizedFrame(_sliced(clip, plan, timed, colours), float(timed.time * clip.time_base))


def _sliced(clip: Clip, plan: CoursePlan, timed: Timed, colours: FrameColours) -> np.ndarray:
    rgb = colours.rgb(timed.frame)
    return plan.look(timed.number, float(timed.time * clip.time_base)).apply(rgb, out=rgb)
