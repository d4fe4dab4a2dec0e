"""The first pass over a clip: where its shots are, and what look each has. Memory does not grow with the clip's length
but by a look a shot, or a few numbers for every sample that is followed or whose light is measured, and a mark a
segment."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pcakd.photos.photo import Photo
from pcakd.stylize.clips.course import Course, CoursePlan, follow
from pcakd.stylize.look.decide import SERIES, Small, look_of, told_by
from pcakd.stylize.look.fit import LookMoments
from pcakd.stylize.look.look import SIDE, Look
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.style import Style
from pcakd.stylize.stylizer import Stylizer
from pcakd.video.clip import Clip, Mark, Timed, frames_of
from pcakd.video.colours import FrameColours
from pcakd.video.light import LightCourse, LightMeter, Lit
from pcakd.video.options import VideoOptions
from pcakd.video.segments import SEGMENT
from pcakd.video.shots import FLASH, THUMBNAIL, ShotFinder

TELLING = 0.25
"""Share of full light below which a frame is little but noise, and no sample."""

SAMPLES_EACH = 2.0
"""Samples in every `follow` seconds: the student decides on each."""

Told = Callable[[int], None]


@dataclass
class _Shot:
    """A shot while it is read. kept: (number, time in seconds, small copy), every `stride`th frame; told: where a look
    follows instead, (time, what the frame tells); lit: where it does not, the light of frames."""

    first: int
    stride: int = 1
    kept: list[tuple[int, float, np.ndarray]] = field(default_factory=list)
    told: list[tuple[float, LookMoments]] = field(default_factory=list)
    lit: list[Lit] = field(default_factory=list)

    def wants(self, number: int) -> bool:
        return (number - self.first) % self.stride == 0

    def keep(self, number: int, time: float, small: np.ndarray) -> None:
        self.kept.append((number, time, small))
        if len(self.kept) > 2 * SERIES:  # every second one goes: they stay spread over the shot
            self.stride *= 2
            self.kept = [one for one in self.kept if self.wants(one[0])]


class Planner:
    """Reads a clip once and finds the course of each shot."""

    def __init__(
        self,
        stylizer: Stylizer,
        clip: Clip,
        style: Style,
        options: StylizeOptions,
        video: VideoOptions,
        look: Look | None = None,
    ) -> None:
        """look: that the clip shares with others; None: each shot has its own."""
        self.look = look
        self.stylizer, self.clip, self.style, self.options, self.video = stylizer, clip, style, options, video
        self.colours = FrameColours(clip.tags, clip.height, deep=clip.deep)
        self.how: dict[str, Any] = {
            "transform": options.transform,
            "balance": options.balance,
            "settings": stylizer.settings,
        }
        self._courses: list[Course] = []
        self._shot = _Shot(0)

    def plan(self, told: Told = lambda done: None) -> CoursePlan:
        """The whole clip. told: called with how many frames are read."""
        finder, meter, last = ShotFinder(self.video.cut), LightMeter(), -1
        held: deque[tuple[Timed, Lit | None]] = deque()  # frames of which it is not known yet whether they begin a shot
        marks: list[Mark] = []
        for timed in frames_of(self.clip):
            last = timed.number
            if last % SEGMENT == 0:
                marks.append(Mark.of(timed))
            told(last + 1)
            if self.look is not None:
                continue
            begins = lit = None
            if self._keeps_light or not self.video.one_shot:
                thumbnail = self.colours.small(timed.frame, THUMBNAIL)
                lit = meter.push(thumbnail, self._seconds(timed)) if self._keeps_light else None
                begins = None if self.video.one_shot else finder.push(thumbnail)
            held.append((timed, lit))
            if len(held) > FLASH:
                self._take(*held.popleft(), begins=begins is not None)
        back = finder.rest()
        for timed, lit in held:
            self._take(timed, lit, begins=back is not None and timed.number == last - back)
        self._end()
        courses = self._courses if self.look is None else [Course(0, (0.0,), (self.look,))]
        return CoursePlan(tuple(courses), last + 1, tuple(marks))

    @property
    def _keeps_light(self) -> bool:
        return self.video.light == "keep" and not self.video.follow

    def _seconds(self, timed: Timed) -> float:
        return float(timed.time * self.clip.time_base)

    def _take(self, timed: Timed, lit: Lit | None, *, begins: bool) -> None:
        if begins:
            self._end()
            self._shot = _Shot(timed.number)
        shot, time = self._shot, self._seconds(timed)
        if lit is not None:
            shot.lit.append(lit)
        if self.video.follow:
            if not shot.told or time - shot.told[-1][0] >= self.video.follow / SAMPLES_EACH:
                small = Small.of(Photo(rgb=self.colours.small(timed.frame, SIDE)))
                shot.told.append((time, told_by(self.stylizer.student, small, self.style, **self.how)))
        elif shot.wants(timed.number):
            shot.keep(timed.number, time, self.colours.small(timed.frame, SIDE))

    def _end(self) -> None:
        """The course of the shot that is over."""
        shot, light = self._shot, None
        if shot.told:
            times, told = zip(*shot.told, strict=True)
            followed = map(look_of, follow(times, told, self.video.follow))
            looks = tuple(self.stylizer.finished(look, self.style, self.options) for look in followed)
        elif shot.kept:
            light, times = LightCourse.of(shot.lit), (shot.kept[0][1],)
            photos = [Photo(rgb=small) for small in _in_full_light(shot, light)]
            looks = (self.stylizer.shared_look(photos, self.style, self.options),)
        else:
            return
        self._courses.append(Course(shot.first, times, looks, light))


def _in_full_light(shot: _Shot, light: LightCourse | None) -> list[np.ndarray]:
    """A shot's small copies as they would be were the light full all the time; without those that are too dark to
    tell, unless all are."""
    if light is None:
        return [small for _, _, small in shot.kept]
    lights = [light.at(time) for _, time, _ in shot.kept]
    found = [
        (small / own).clip(0, 255).round().astype(np.uint8)
        for (_, _, small), own in zip(shot.kept, lights, strict=True)
    ]
    bright = [small for small, own in zip(found, lights, strict=True) if own.mean() >= TELLING]
    return bright or found
