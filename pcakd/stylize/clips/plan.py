"""The first pass over a clip: where its shots are, and what look each has. Memory does not grow with the clip's length
but by a look a shot, or a few numbers for every sample that is followed, and a mark a segment."""

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
from pcakd.video.options import VideoOptions
from pcakd.video.segments import SEGMENT
from pcakd.video.shots import FLASH, THUMBNAIL, ShotFinder

SAMPLES_EACH = 2.0
"""Samples in every `follow` seconds: the student decides on each."""

Told = Callable[[int], None]


@dataclass
class _Shot:
    """A shot while it is read. kept: (number, time in seconds, small copy), every `stride`th frame; told: where a look
    follows instead, (time, what the frame tells)."""

    first: int
    stride: int = 1
    kept: list[tuple[int, float, np.ndarray]] = field(default_factory=list)
    told: list[tuple[float, LookMoments]] = field(default_factory=list)

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
        finder, last = ShotFinder(self.video.cut), -1
        held: deque[Timed] = deque()  # frames of which it is not known yet whether they begin a shot
        marks: list[Mark] = []
        for timed in frames_of(self.clip):
            last = timed.number
            if last % SEGMENT == 0:
                marks.append(Mark.of(timed))
            told(last + 1)
            if self.look is not None:
                continue
            held.append(timed)
            begins = None if self.video.one_shot else finder.push(self.colours.small(timed.frame, THUMBNAIL))
            if len(held) > FLASH:
                self._take(held.popleft(), begins=begins is not None)
        back = finder.rest()
        for timed in held:
            self._take(timed, begins=back is not None and timed.number == last - back)
        self._end()
        courses = self._courses if self.look is None else [Course(0, (0.0,), (self.look,))]
        return CoursePlan(tuple(courses), last + 1, tuple(marks))

    def _take(self, timed: Timed, *, begins: bool) -> None:
        if begins:
            self._end()
            self._shot = _Shot(timed.number)
        shot, time = self._shot, float(timed.time * self.clip.time_base)
        if self.video.follow:
            if not shot.told or time - shot.told[-1][0] >= self.video.follow / SAMPLES_EACH:
                small = Small.of(Photo(rgb=self.colours.small(timed.frame, SIDE)))
                shot.told.append((time, told_by(self.stylizer.student, small, self.style, **self.how)))
        elif shot.wants(timed.number):
            shot.keep(timed.number, time, self.colours.small(timed.frame, SIDE))

    def _end(self) -> None:
        """The course of the shot that is over."""
        shot, finished = self._shot, self.stylizer.finished
        if self.video.follow and shot.told:
            times, told = zip(*shot.told, strict=True)
            looks = [look_of(moments) for moments in follow(times, told, self.video.follow)]
        elif shot.kept:
            photos = [Photo(rgb=small) for _, _, small in shot.kept]
            self._courses.append(
                Course(shot.first, (shot.kept[0][1],), (self.stylizer.shared_look(photos, self.style, self.options),))
            )
            return
        else:
            return
        made = tuple(finished(look, self.style, self.options) for look in looks)
        self._courses.append(Course(shot.first, times, made))
